"""Scores per question as a run or an evaluation has kept them, by which these are paired: one JSON object a line.

A question is identified by its address (``id``) and by a digest of all that is shown and asked (``content``). The files
are untrusted when they are read.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remot.errors import ConfigError
from remot.strict_json import json_object

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

    def column(self, metric: str, keys: Sequence[QuestionKey]) -> NDArray[np.float64]:
        """[Q] scores of questions; NaN where one has none."""
        return np.array([self.scores[key].get(metric, math.nan) for key in keys])

    def mean(self, metric: str) -> float:
        """Mean over the questions that have the score."""
        values = [scores[metric] for scores in self.scores.values() if metric in scores]
        return float(np.mean(values)) if values else math.nan


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
        record = json_object(line)
        key = (record.get("id"), record.get("content"))
        if not (isinstance(key[0], str) and isinstance(key[1], str)):
            msg = f"{where}: line {number} names no question; run the command that wrote it again"
            raise ConfigError(msg)
        scenes[key[0], key[1]] = str(record.get("scene", ""))
        for side in sides:
            if isinstance(held := record.get(side), dict):
                scores[side][key[0], key[1]] = {  # what are no finite numbers do not apply
                    name: float(value)
                    for name, value in held.items()
                    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
                }
    return {side: PolicyAnswers(scenes, held) for side, held in scores.items() if len(held) == len(scenes) > 0}
