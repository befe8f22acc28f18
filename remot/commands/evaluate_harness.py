"""``remot evaluate --harness lmms-eval``."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from remot.commands.evaluate_data import DecodingChoice, RowChoice, data_of, results_folder
from remot.commands.evaluate_weights import WeightChoice, folder_digest, weights_hash
from remot.errors import ConfigError
from remot.terminal import write_err

if TYPE_CHECKING:
    from remot.evaluation.benchmarks.base import Verdict
    from remot.evaluation.benchmarks.report import Report
    from remot.models.loading import ModelSource


@dataclass(frozen=True)
class HarnessChoice:
    """What lmms-eval runs, if it is to.

    Args:
        harness: Run lmms-eval, which has to be installed, and bring its scores into the same table and files.
        task: A task of lmms-eval; may be given several times. Without one, remot-bench is written as its task.
        harness_model: One of lmms-eval's model classes; remot is this library's own, for anything it loads.
        include_path: Folder of further tasks of lmms-eval.
    """

    harness: Literal["lmms-eval"] | None = None
    task: list[str] | None = None
    harness_model: str | None = None
    include_path: Path | None = None


def evaluate_by_harness(
    choice: HarnessChoice, rows: RowChoice, weights: WeightChoice, decoding: DecodingChoice, out: Path | None
) -> tuple["Report", list["Verdict"], Path]:
    """Run the tasks, or remot-bench written as one, and return report, samples and folder.

    Raises:
        ConfigError: If lmms-eval is missing, or weights and tasks are not named.
        EngineError: If it fails.
    """
    from remot.evaluation.benchmarks.harness import OUR_CLASS, HarnessRun, require_installed, run_harness
    from remot.evaluation.benchmarks.harness.results import metrics_of, num_rows, verdicts_of, version_of
    from remot.evaluation.benchmarks.replies import settings_hash
    from remot.evaluation.benchmarks.report import Facts, report_of
    from remot.strategies.settings import PolicySettings

    require_installed()
    source = _source(weights)
    named = choice.task or []
    asked = {"tasks": named, "weights": asdict(source), "class": choice.harness_model, **decoding.generation()}
    words = ["lmms-eval", "-".join(named) or rows.benchmark, weights.named, *decoding.words()]
    folder = out or results_folder(words, {**asked, **rows.named(), "seed": decoding.seed})
    tasks, include = (named, choice.include_path) if named else _bench(rows, folder)
    name = choice.harness_model or _class_of(source)
    arguments, generation = _arguments(name, source, weights.device, rows.num_frames), decoding.generation()
    where = folder / "lmms_eval"
    write_err(f"running lmms-eval on {', '.join(tasks)} with its model class {name}; its log is in {where}\n")
    record = where / f"replies-{settings_hash({**arguments, **generation})[:8]}.jsonl" if name == OUR_CLASS else None
    made_with = arguments | ({"record": record} if record is not None else {})
    run = HarnessRun(tasks, name, made_with, where, include, decoding.batch_size, rows.limit, generation)
    file, results = run_harness(run)
    samples = verdicts_of(results, file, record)
    verdicts = [one for found in samples.values() for one in found]
    hashed = weights_hash(folder_digest(source.resolve()), PolicySettings(source))
    facts = Facts(
        benchmark=f"lmms-eval {', '.join(tasks)}",
        weights=source.pretrained,
        data=str(rows.data) if rows.data is not None else "that of the tasks",
        settings={"model class": name, **arguments, **generation},
        num_rows=num_rows(results) or len(verdicts),
        limit=rows.limit,
        num_missing_files=0,
        num_skipped=0,
        more={"version": version_of(results), "weights_hash": hashed},
    )
    return report_of(metrics_of(results, samples), verdicts, facts), verdicts, folder


def _bench(rows: RowChoice, folder: Path) -> tuple[list[str], Path]:
    """remot-bench, written as a task of lmms-eval."""
    from remot.evaluation.benchmarks.harness.bench_task import TASK, write_task

    if rows.benchmark != "remot-bench":
        msg = "--harness lmms-eval needs --task NAME, one of its tasks, or --benchmark remot-bench"
        raise ConfigError(msg)
    return [TASK], write_task(data_of(rows), folder / "lmms_eval_task").parent


def _source(weights: WeightChoice) -> "ModelSource":
    from remot.models.loading import ModelSource

    named = weights.adapter or weights.model
    if weights.ckpt_path is not None or named is None:
        msg = "--harness lmms-eval needs --model or --adapter; `remot export` makes them of a checkpoint"
        raise ConfigError(msg)
    return ModelSource(str(named), dtype=weights.dtype or "float32", max_pixels=weights.max_pixels)


def _class_of(source: "ModelSource") -> str:
    """lmms-eval's own class of a whole model of a type it knows, else ours."""
    from remot.evaluation.benchmarks.harness import OUR_CLASS, OWN_CLASSES

    try:
        held = json.loads((Path(source.resolve()) / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return OUR_CLASS
    found = held.get("model_type") if isinstance(held, dict) else None
    return found if source.adapter() is None and found in OWN_CLASSES else OUR_CLASS


def _arguments(name: str, source: "ModelSource", device: str, num_frames: int | None) -> dict[str, object]:
    """What the model class is made with."""
    import torch

    from remot.evaluation.benchmarks.harness import OUR_CLASS

    found = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = found if device == "auto" else device
    is_ours = name == OUR_CLASS
    own: dict[str, object] = {"dtype": source.dtype} if is_ours else {"device_map": chosen}
    given = {"pretrained": source.pretrained if is_ours else source.resolve(), "device": chosen, **own}
    frames = {} if num_frames is None else {"num_frames" if is_ours else "max_num_frames": num_frames}
    return given | frames | ({} if source.max_pixels is None else {"max_pixels": source.max_pixels})
