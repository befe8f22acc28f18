"""Scores per question on disk, by which runs and evaluations are paired: one JSON object a line.

A question is identified by its address (``id``) and by a digest of all that is shown and asked (``content``). The files
are untrusted when they are read.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from remot.errors import ConfigError
from remot.evaluation.scores import JudgedCompletion, metric_key, score_columns
from remot.strict_json import json_text
from remot.structures import FloatArray, PromptBatch, Question, reference_of

#: In a run's folder beside ``held_out.json``, and as an artifact of its MLflow run.
ANSWERS_FILE = "held_out_answers.jsonl"
#: Longest file that is read; a line is a few hundred bytes.
MAX_BYTES = 1 << 28
GREEDY = "_greedy"

#: Address of a question and digest of its content.
QuestionKey = tuple[str, str]


@dataclass(frozen=True, eq=False)
class PolicyAnswers:
    """What one policy scored on each question.

    Args:
        scenes: Scene of each question.
        scores: Scores of each question by name, means over its completions; what does not apply is left out.
    """

    scenes: Mapping[QuestionKey, str]
    scores: Mapping[QuestionKey, Mapping[str, float]]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the scores that any question has, sorted."""
        return tuple(sorted({name for scores in self.scores.values() for name in scores}))

    def column(self, metric: str, keys: Sequence[QuestionKey]) -> FloatArray:
        """[Q] scores of questions; NaN where one has none."""
        return np.array([self.scores[key].get(metric, math.nan) for key in keys])

    def mean(self, metric: str) -> float:
        """Mean over the questions that have the score."""
        values = [scores[metric] for scores in self.scores.values() if metric in scores]
        return float(np.mean(values)) if values else math.nan


def question_digests(batch: PromptBatch) -> list[tuple[str, str]]:
    """Address and digest of each prompt of a batch."""
    shown = zip(batch.questions, batch.images, batch.videos, strict=True)
    return [
        (question.prompt_id, question_digest(question, [*images, *(video.frames for video in videos)]))
        for question, images, videos in shown
    ]


def question_digest(question: Question, frames: Iterable[Tensor]) -> str:
    """Digest of the text, the right answer, and every image and video as decoded.

    The last line of a question with letters says how to answer, with reasoning or at once, and does not count.
    """
    reference = reference_of(question)
    asked = question.text.rpartition("\n")[0] or question.text if question.slots else question.text
    truth = [question.solution, reference.answer, reference.number, reference.intervals]
    found = hashlib.sha256(json_text([asked, *truth, reference.boxes]).encode("utf-8", "surrogatepass"))
    for frame in frames:
        found.update(str(tuple(frame.shape)).encode())
        found.update(frame.contiguous().numpy().tobytes())
    return found.hexdigest()[:32]


def question_scores(judged: Sequence[JudgedCompletion]) -> dict[str, dict[str, float]]:
    """By address of the question the mean of each score over its completions, and ``num_tokens``."""
    columns = {metric_key(name): column for name, column in score_columns(judged).items()}
    columns["num_tokens"] = np.array([float(one.num_tokens) for one in judged])
    rows: dict[str, list[int]] = {}
    for row, one in enumerate(judged):
        rows.setdefault(one.prompt_id, []).append(row)
    return {
        prompt_id: {name: mean for name, column in columns.items() if not math.isnan(mean := _mean(column[chosen]))}
        for prompt_id, chosen in rows.items()
    }


def _mean(values: FloatArray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else math.nan


def answer_lines(
    digests: Mapping[str, str],
    sides: Mapping[str, tuple[Sequence[JudgedCompletion], Sequence[JudgedCompletion]]],
) -> Iterator[str]:
    """The lines of :data:`ANSWERS_FILE`.

    Args:
        digests: Of each question by its address.
        sides: Sampled and greedy completions of each policy, by its name: ``base`` and ``final``.
    """
    scenes = {one.prompt_id: one.scene_id for sampled, _ in sides.values() for one in sampled}
    scores = {name: (question_scores(sampled), question_scores(greedy)) for name, (sampled, greedy) in sides.items()}
    for prompt_id, content in digests.items():
        record: dict[str, Any] = {"id": prompt_id, "content": content, "scene": scenes.get(prompt_id, "")}
        for name, (sampled, greedy) in scores.items():
            decoded_greedily = {f"{key}{GREEDY}": value for key, value in greedy.get(prompt_id, {}).items()}
            record[name] = sampled.get(prompt_id, {}) | decoded_greedily
        yield json_text(record, ensure_ascii=True) + "\n"


def read_answers(where: str, content: bytes, sides: Sequence[str]) -> dict[str, PolicyAnswers]:
    """The answers of policies in a file of this module, or in ``answers.jsonl`` of ``remot evaluate``.

    Args:
        where: The file, for errors.
        content: Its bytes.
        sides: Keys of a line that hold scores: ``base`` and ``final``, or ``scores``.

    Raises:
        ConfigError: If it is no such file.
    """
    scenes: dict[QuestionKey, str] = {}
    scores: dict[str, dict[QuestionKey, Mapping[str, float]]] = {side: {} for side in sides}
    if len(content) > MAX_BYTES:
        msg = f"{where} has more than {MAX_BYTES} bytes, and is no table of answers"
        raise ConfigError(msg)
    for number, line in enumerate(content.splitlines(), 1):
        record = _record(line)
        key = (record.get("id"), record.get("content"))
        if not (isinstance(key[0], str) and isinstance(key[1], str)):
            msg = f"{where}: line {number} names no question; run the command that wrote it again"
            raise ConfigError(msg)
        scenes[key[0], key[1]] = str(record.get("scene", ""))
        for side in sides:
            if isinstance(held := record.get(side), dict):
                scores[side][key[0], key[1]] = _numbers(held)
    return {side: PolicyAnswers(scenes, held) for side, held in scores.items() if len(held) == len(scenes) > 0}


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _numbers(held: Mapping[str, Any]) -> dict[str, float]:
    """What are finite numbers; others do not apply."""
    return {
        name: float(value)
        for name, value in held.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
