"""Writes scores per question, which :mod:`remot.evaluation.answer_table` reads."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from remot.evaluation.answer_table import GREEDY
from remot.evaluation.scores import JudgedCompletion, metric_key, score_columns
from remot.strict_json import json_text
from remot.structures import PromptBatch, Question, reference_of


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
    scores: dict[str, dict[str, float]] = {prompt_id: {} for prompt_id in rows}
    for prompt_id, chosen in rows.items():
        for name, column in columns.items():
            present = column[chosen][~np.isnan(column[chosen])]
            if present.size:
                scores[prompt_id][name] = float(present.mean())
    return scores


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
