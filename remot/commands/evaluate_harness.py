"""``remot evaluate --harness lmms-eval``."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from remot.commands.evaluate_data import data_of
from remot.commands.evaluate_weights import WeightChoice, folder_digest, weights_hash
from remot.errors import ConfigError
from remot.terminal import write_err

if TYPE_CHECKING:
    from remot.evaluation.benchmarks.base import Verdict
    from remot.evaluation.benchmarks.report import Report
    from remot.models.loading import ModelSource


@dataclass(frozen=True)
class HarnessChoice:
    """What the options name.

    Args:
        tasks: Tasks of lmms-eval; none for remot-bench.
        model: One of its model classes; chosen by the weights if None.
        include: Folder of further tasks.
        batch_size: Prompts answered together.
        limit: Prompts of each task.
        generation: Arguments of generation in place of the tasks' own.
        num_frames: Frames shown of a video; the class's own number if None.
    """

    tasks: Sequence[str]
    model: str | None
    include: Path | None
    batch_size: int
    limit: int | None
    generation: Mapping[str, object]
    num_frames: int | None


def evaluate_by_harness(
    benchmark: str | None, data: Path | None, weights: WeightChoice, choice: HarnessChoice, out: Path | None
) -> tuple["Report", list["Verdict"], Path]:
    """Run the tasks, or remot-bench written as one, and return report, samples and folder.

    Raises:
        ConfigError: If lmms-eval is missing, or weights and tasks are not named.
        EngineError: If it fails.
    """
    from remot.evaluation.benchmarks.harness import HarnessRun, require_installed, run_harness
    from remot.evaluation.benchmarks.harness.results import metrics_of, num_rows, verdicts_of, version_of
    from remot.evaluation.benchmarks.report import Facts, report_of
    from remot.strategies.settings import PolicySettings

    require_installed()
    source = _source(weights)
    slug = json.dumps([source.pretrained, choice.model, *choice.tasks], allow_nan=False)
    folder = out or Path("evaluations") / f"lmms-eval-{hashlib.sha256(slug.encode()).hexdigest()[:8]}"
    tasks, include = (list(choice.tasks), choice.include) if choice.tasks else _bench(benchmark, data, folder)
    name = choice.model or _class_of(source)
    arguments = _arguments(name, source, weights, choice)
    where = folder / "lmms_eval"
    write_err(f"running lmms-eval on {', '.join(tasks)} with its model class {name}; its log is in {where}\n")
    run = HarnessRun(tasks, name, arguments, where, include, choice.batch_size, choice.limit, choice.generation)
    file, results = run_harness(run)
    samples = verdicts_of(results, file)
    verdicts = [one for found in samples.values() for one in found]
    hashed = weights_hash(folder_digest(source.resolve()), PolicySettings(source))
    facts = Facts(
        benchmark=f"lmms-eval {', '.join(tasks)}",
        weights=source.pretrained,
        data=str(data) if data is not None else "that of the tasks",
        settings={"model class": name, **arguments, **choice.generation},
        num_rows=num_rows(results) or len(verdicts),
        limit=choice.limit,
        num_missing_files=0,
        num_skipped=0,
        more={"version": version_of(results), "weights_hash": hashed},
    )
    return report_of(metrics_of(results, samples), verdicts, facts), verdicts, folder


def _bench(benchmark: str | None, data: Path | None, folder: Path) -> tuple[list[str], Path]:
    """remot-bench, written as a task of lmms-eval."""
    from remot.evaluation.benchmarks.harness.bench_task import TASK, write_task

    if benchmark != "remot-bench":
        msg = "--harness lmms-eval needs --task NAME, one of its tasks, or --benchmark remot-bench"
        raise ConfigError(msg)
    return [TASK], write_task(data_of(benchmark, data), folder / "lmms_eval_task").parent


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


def _arguments(name: str, source: "ModelSource", weights: WeightChoice, choice: HarnessChoice) -> dict[str, object]:
    """What the model class is made with."""
    import torch

    from remot.evaluation.benchmarks.harness import OUR_CLASS

    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = found if weights.device == "auto" else weights.device
    is_ours = name == OUR_CLASS
    own: dict[str, object] = {"dtype": source.dtype} if is_ours else {"device_map": device}
    given = {"pretrained": source.pretrained if is_ours else source.resolve(), "device": device, **own}
    frames = {} if choice.num_frames is None else {"num_frames" if is_ours else "max_num_frames": choice.num_frames}
    return given | frames | ({} if source.max_pixels is None else {"max_pixels": source.max_pixels})
