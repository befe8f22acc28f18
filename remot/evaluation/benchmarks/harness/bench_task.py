"""remot-bench as a task of lmms-eval: a folder with YAML, rows and the functions that its YAML names."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remot.data.media.images import read_image
from remot.data.records.folder import RECORDS
from remot.data.records.jsonl import read_lines
from remot.data.records.parsing import from_record
from remot.errors import ConfigError
from remot.evaluation.benchmarks.base import BenchmarkOptions, BenchmarkPrompt, ModelReply
from remot.evaluation.benchmarks.remot_bench import RemotBench, bench_prompt
from remot.strict_json import json_text

TASK = "remot_bench"
#: Scores by their names in lmms-eval's table, prompts with letters first.
METRICS = {
    **{name: name for name in ("overall", "partial_strict", "partial", "logic", "format", "direction")},
    "task_success": "right",
    "task_score": "score",
}
_FUNCTIONS = ("doc_to_text", "doc_to_visual", "doc_to_messages", "process_results", "mean_score")


def write_task(data: Path, folder: Path, split: str | None = None) -> Path:
    """Write the task of a built folder: ``remot_bench.yaml``, ``utils.py`` and ``rows.jsonl``.

    Args:
        data: A folder that ``remot data build`` wrote, or the one that ``remot evaluate`` built.
        folder: Made if it does not exist; ``lmms-eval --include_path`` takes it.
        split: As of :class:`RemotBench`.

    Returns:
        The YAML file.

    Raises:
        ConfigError: If the folder cannot be written, or ``data`` is no such folder.
    """
    benchmark = RemotBench(BenchmarkOptions(split=split))
    wanted = {prompt.prompt_id: prompt for prompt in benchmark.read(data)}
    if any(prompt.as_pairs for prompt in wanted.values()):
        msg = f"{data} shows images in pairs, which lmms-eval would show one by one; use remot evaluate"
        raise ConfigError(msg)
    records = {str(record.get("id")): record for _, record in read_lines(data / RECORDS)}
    rows = [_row(prompt, records[name]) for name, prompt in wanted.items()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json_text(row, ensure_ascii=True) + "\n" for row in rows]
        (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
        (folder / "utils.py").write_text(_UTILS, encoding="utf-8")
        (folder / f"{TASK}.yaml").write_text(_yaml(folder, benchmark), encoding="utf-8")
    except OSError as error:
        msg = f"{folder}: the task cannot be written ({error}); choose another folder"
        raise ConfigError(msg) from error
    return folder / f"{TASK}.yaml"


def _row(prompt: BenchmarkPrompt, record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": prompt.prompt_id,
        "scene": prompt.scene,
        "question": prompt.text,
        "images": [str(file.resolve()) for file in prompt.files],
        "image_seconds": list(prompt.image_seconds),
        "answer": prompt.row.solution or prompt.row.target,
        "record": json_text(record, ensure_ascii=True),
    }


_UTILS = f"""\
# Written by remot; scores as `remot evaluate` does.
from remot.evaluation.benchmarks.harness.bench_task import {", ".join(_FUNCTIONS)}  # noqa: F401
"""


def _yaml(folder: Path, benchmark: RemotBench) -> str:
    metrics = "".join(
        f"  - metric: {name}\n    aggregation: !function utils.mean_score\n    higher_is_better: true\n"
        for name in METRICS
    )
    return f"""\
task: {TASK}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {json_text(str((folder / "rows.jsonl").resolve()))}
test_split: test
output_type: generate_until
reasoning_tags: none
doc_to_text: !function utils.doc_to_text
doc_to_visual: !function utils.doc_to_visual
doc_to_messages: !function utils.doc_to_messages
doc_to_target: answer
process_results: !function utils.process_results
generation_kwargs:
  max_new_tokens: {benchmark.max_new_tokens}
  temperature: 0
  do_sample: false
metric_list:
{metrics}"""


def doc_to_text(doc: Mapping[str, Any], lmms_eval_specific_kwargs: object = None) -> str:  # noqa: ARG001 (lmms-eval's)
    """The question."""
    return str(doc["question"])


def doc_to_visual(doc: Mapping[str, Any]) -> list[Any]:
    """The images, as Pillow opens them."""
    from torchvision.transforms.functional import to_pil_image

    return [to_pil_image(read_image(Path(file))) for file in doc["images"]]


def doc_to_messages(doc: Mapping[str, Any], lmms_eval_specific_kwargs: object = None) -> list[dict[str, Any]]:  # noqa: ARG001
    """Images, or one video of them, then the question."""
    if doc["image_seconds"]:
        shown = [{"type": "video", "url": list(doc["images"])}]
    else:
        shown = [{"type": "image", "url": image} for image in doc_to_visual(doc)]
    return [{"role": "user", "content": [*shown, {"type": "text", "text": doc_to_text(doc)}]}]


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The scores of a reply that apply to its prompt, each with the scene and what was read from the reply."""
    name = str(doc["id"])
    prompt = bench_prompt(name, from_record(name, json.loads(doc["record"])), Path())
    verdict = RemotBench().judged(prompt, ModelReply(results[0]))
    found = {metric: verdict.scores.get(score, math.nan) for metric, score in METRICS.items()}
    facts = {"scene": prompt.scene, "parsed": verdict.parsed}
    return {metric: {"score": value, **facts} for metric, value in found.items() if not math.isnan(value)}


def mean_score(scores: Sequence[Mapping[str, Any]]) -> float:
    """Mean over the prompts that a score applies to."""
    return math.fsum(float(one["score"]) for one in scores) / len(scores) if scores else math.nan
