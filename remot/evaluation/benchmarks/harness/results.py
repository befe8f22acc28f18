"""What lmms-eval writes, as metrics and verdicts of this library."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from remot.data.records.tables import rows_in
from remot.evaluation.benchmarks.base import BenchmarkPrompt, Mean, Metric, ModelReply, Verdict
from remot.evaluation.benchmarks.replies import ReplyStore
from remot.strict_json import json_text
from remot.structures import FloatArray

#: How far a mean of samples may lie from a result and still be what it is the mean of.
TOLERANCE = 1e-6
NO_MEAN = "as lmms-eval reports it, which is no mean of its samples"
#: Entries of a sample that are no scores.
_NO_SCORES = frozenset(
    {"doc_id", "target", "resps", "filtered_resps", "doc_hash", "input", "token_counts", "arguments", "doc"}
)


def recorded_key(name: str, text: str) -> str:
    """Names a reply in the record of :class:`remot.evaluation.benchmarks.harness.model.RemotModel`."""
    return hashlib.sha256(json_text([name, text], ensure_ascii=True).encode()).hexdigest()


def verdicts_of(results: Mapping[str, Any], file: Path, record: Path | None = None) -> dict[str, list[Verdict]]:
    """The samples of each task that has any, from the files beside its results.

    Args:
        results: What ``file`` holds.
        file: Of lmms-eval's results.
        record: Replies with their lengths and cut-offs, as this library's model class leaves them.

    Raises:
        AnnotationError: If a file is malformed.
        ConfigError: If the record cannot be read.
    """
    stamp, found = file.name.removesuffix("_results.json"), {}
    recorded = ReplyStore(record) if record is not None and record.is_file() else None
    for task in results["results"]:
        samples = file.with_name(f"{stamp}_samples_{task}.jsonl")
        if samples.is_file():
            found[task] = [_verdict(task, row, recorded) for _, row in rows_in(samples)]
    return found


def num_rows(results: Mapping[str, Any]) -> int:
    """Rows of all tasks together, before any limit; 0 if lmms-eval does not say."""
    counts = results.get("n-samples")
    held = counts.values() if isinstance(counts, dict) else ()
    originals = [one.get("original") for one in held if isinstance(one, dict)]
    return sum(number for number in originals if type(number) is int)


def version_of(results: Mapping[str, Any]) -> str:
    """Hash of lmms-eval's own hashes of the rows of each task; "" if it gives none."""
    hashes = results.get("task_hashes")
    if not isinstance(hashes, dict) or not hashes:
        return ""
    return hashlib.sha256(json_text(hashes, ensure_ascii=True).encode()).hexdigest()


def _verdict(task: str, row: Mapping[str, Any], recorded: ReplyStore | None) -> Verdict:
    """A line of lmms-eval's samples; scores are what it holds as numbers, or as objects with a number."""
    scores = {}
    for name, value in row.items():
        number = value.get("score") if isinstance(value, dict) else value
        if name not in _NO_SCORES and isinstance(number, bool | int | float) and not math.isnan(number):
            scores[name] = float(number)
    objects = [value for value in row.values() if isinstance(value, dict)]
    clusters = [str(value["scene"]) for value in objects if "scene" in value]
    parsed = [value["parsed"] for value in objects if "parsed" in value]  # of this library's own task
    name = f"{task}/{row.get('doc_id')}"
    prompt = BenchmarkPrompt(name, str(row.get("input", "")), row.get("target"), clusters[0] if clusters else name)
    text, counts = _first(row.get("resps", row.get("filtered_resps"))), _first(row.get("token_counts"))
    num_tokens = counts.get("output_tokens") if isinstance(counts, dict) else None
    reply = ModelReply(text if isinstance(text, str) else "", num_tokens if type(num_tokens) is int else 0)
    if recorded is not None:
        reply = recorded.get(recorded_key(name, reply.text)) or reply
    return Verdict(prompt, reply, parsed[0] if parsed else None, scores, knows_parsed=bool(parsed))


def _first(value: object) -> object:
    """The first value of lists in lists."""
    while isinstance(value, list) and value:
        value = value[0]
    return value


@dataclass(frozen=True)
class Reported:
    """A number that lmms-eval gives for a whole task, without what it was computed from."""

    value: float
    count: int
    scenes: frozenset[str] = frozenset()

    def over(self, place: Mapping[str, int], times: FloatArray) -> FloatArray:  # noqa: ARG002 (nothing is known of scenes)
        """The number, whatever is drawn."""
        return np.full(len(times), self.value)


def metrics_of(results: Mapping[str, Any], verdicts: Mapping[str, Sequence[Verdict]]) -> list[Metric]:
    """A row for each number of each task: over its samples where that gives lmms-eval's own value, else as reported."""
    found = []
    for task, numbers in results["results"].items():
        samples = verdicts.get(task, ())
        for key, value in numbers.items() if isinstance(numbers, dict) else ():
            name, _, kept = str(key).partition(",")
            if "stderr" in name or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            title = f"{task}/{name}" if kept in ("", "none") else f"{task}/{name} ({kept})"
            units = [(one.prompt.scene, one.scores[name]) for one in samples if name in one.scores]
            mean = math.fsum(number for _, number in units) / len(units) if units else math.nan
            metric = Metric(title, Reported(float(value), len(samples)), NO_MEAN)
            for scale in (1.0, 100.0):
                if abs(scale * mean - value) <= TOLERANCE * scale:
                    metric = Metric(title, Mean([(scene, scale * number) for scene, number in units]))
                    break
            found.append(metric)
    return found
