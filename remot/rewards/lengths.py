"""Rewards of the length of a completion, and of its repetitions."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from remot.answers import MAX_COMPLETION_CHARS, ParsedAnswer, parse_response
from remot.errors import ConfigError
from remot.rewards.base import PointwiseReward, ReferenceReward, Reward, WrapperReward, letters_right, scored_by
from remot.rewards.functional.numbers import cosine_scaled, repeated_share
from remot.structures import Question, Reference, RewardOutput

CountUnit = Literal["tokens", "words", "characters"]
LengthUnit = Literal["words", "characters"]


#: Words are runs of non-white-space.
LENGTHS: Mapping[LengthUnit, Callable[[str], int]] = {"words": lambda text: len(text.split()), "characters": len}


def check_unit(unit: str) -> None:
    """Refuse what nothing can be counted in.

    Raises:
        ConfigError: If ``unit`` is no :data:`CountUnit`.
    """
    if unit != "tokens" and unit not in LENGTHS:
        msg = f"lengths are counted in tokens, {' or '.join(LENGTHS)}, not {unit!r}"
        raise ConfigError(msg)


def lengths_of(completions: Sequence[str], unit: CountUnit, num_tokens: Sequence[int] | None) -> list[int]:
    """Length of each of the B completions.

    Args:
        completions: B texts; the words of the first ``MAX_COMPLETION_CHARS`` characters count.
        unit: What is counted. Where tokens are not known, as for texts from elsewhere, words stand for them.
        num_tokens: Tokens of each, if known.
    """
    if unit == "tokens":
        if num_tokens is not None:
            return list(num_tokens)
        unit = "words"
    if unit == "words":
        completions = [text[:MAX_COMPLETION_CHARS] for text in completions]
    return [LENGTHS[unit](text) for text in completions]


@dataclass(eq=False)
class ConcisenessReward(PointwiseReward):
    """``max(floor, −max(0, |think| − target_length) / scale)``: free up to the target, then a linear cost.

    R_length of ReMoT (arXiv 2603.00461, section "Reward") is −max(0, |o_think| − L_target). L_target, the unit and any
    normalisation are not published, and without one a long completion would drown every other term: the defaults,
    ``scale`` and ``floor`` are a reconstruction. A completion without a closed think element counts as length 0.

    Args:
        target_length: Length of reasoning that costs nothing.
        unit: What lengths are counted in.
        scale: Surplus that costs 1.
        floor: Lowest value.
    """

    name = "conciseness"

    target_length: float = 200
    unit: LengthUnit = "words"
    scale: float = 200
    floor: float = -1

    def __post_init__(self) -> None:
        is_bounded = all(map(math.isfinite, (self.target_length, self.scale, self.floor)))
        if not (is_bounded and self.target_length >= 0 and self.scale > 0 and self.floor <= 0):
            given = f"{self.target_length}, {self.scale}, {self.floor}"
            msg = f"conciseness needs target_length >= 0, scale > 0, floor <= 0, all finite; got {given}"
            raise ConfigError(msg)
        if self.unit not in LENGTHS:
            msg = f"conciseness counts in {' or '.join(LENGTHS)}, not {self.unit!r}"
            raise ConfigError(msg)

    def score(self, parsed: ParsedAnswer, question: Question) -> Mapping[str, float]:  # noqa: ARG002
        """Part ``conciseness``."""
        surplus = max(0.0, LENGTHS[self.unit](parsed.reasoning) - self.target_length)
        return {self.name: max(self.floor, -surplus / self.scale)}


@dataclass(eq=False)
class CosineLengthReward(WrapperReward):
    """A cosine of the length from one value at 0 to another at ``max_length``, one curve each for right and wrong.

    end + (start − end) · (1 + cos(π·length / max_length)) / 2 (arXiv 2502.03373). The values are those of the public
    Open-R1 code: right 1 → 0.5, wrong −1 → −0.5, so that a wrong answer is excused by having tried longer. There
    lengths are counted in characters.

    Args:
        reward: Says by its success whether an answer is right.
        max_length: Length from which the second value holds.
        right: Values of a right answer of no length and of ``max_length``.
        wrong: The same of a wrong answer.
        beyond: Value of anything longer than ``max_length``; its curve's end if None.
        unit: What lengths are counted in; words stand for tokens where these are not known.
        name: Metric key.
    """

    reward: Reward
    max_length: int = 1000
    right: tuple[float, float] = (1.0, 0.5)
    wrong: tuple[float, float] = (-1.0, -0.5)
    beyond: float | None = None
    unit: CountUnit = "characters"
    name: str = "cosine_length"

    def __post_init__(self) -> None:
        check_unit(self.unit)
        if self.max_length < 1:
            msg = f"the cosine needs max_length >= 1, got {self.max_length}"
            raise ConfigError(msg)

    def score(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
    ) -> RewardOutput:
        """The value of each completion; NaN where the inner reward does not say whether it is right."""
        inner = scored_by(self.reward, completions, questions, num_tokens)
        lengths = lengths_of(completions, self.unit, num_tokens)
        values = []
        for length, is_right in zip(lengths, inner.success.tolist(), strict=True):
            value = cosine_scaled(length, self.max_length, *(self.right if is_right else self.wrong))
            values.append(self.beyond if self.beyond is not None and length > self.max_length else value)
        judged = inner.verdicts & ~inner.total.isnan()
        total = torch.where(judged, torch.tensor(values, dtype=torch.float32), torch.nan)
        return RewardOutput(total, {self.name: total}, inner.success, judged=judged)


def soft_overlong(length: float, max_length: float, cache: float) -> float:
    """0 if n ≤ L_max − L_cache, −1 if n > L_max, ((L_max − L_cache) − n) / L_cache between (DAPO, arXiv 2503.14476).

    >>> [soft_overlong(length, 100, 20) for length in (80, 90, 101)]
    [0.0, -0.5, -1.0]
    """
    return max(-1.0, min(0.0, (max_length - cache - length) / cache))


@dataclass(eq=False)
class SoftOverlongReward(Reward):
    """:func:`soft_overlong` of each completion: the soft overlong punishment of DAPO (arXiv 2503.14476).

    Published: L_max 20480 and L_cache 4096 tokens, added with weight 1. ``max_length`` has no default because it
    belongs to ``max_new_tokens`` of the objective; with a larger one nothing is ever punished fully.

    Args:
        max_length: L_max; choose ``max_new_tokens``.
        cache: L_cache, at most ``max_length``.
        unit: What lengths are counted in. The paper counts tokens, which only training knows.
    """

    name = "overlong"

    max_length: int
    cache: int
    unit: CountUnit = "tokens"

    def __post_init__(self) -> None:
        if not 0 < self.cache <= self.max_length:
            msg = f"the overlong penalty needs 0 < cache <= max_length; got {self.cache} and {self.max_length}"
            raise ConfigError(msg)
        check_unit(self.unit)

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """Score B completions by their words or characters.

        Raises:
            ValueError: If tokens are to be counted: their number does not follow from the text.
        """
        if self.unit == "tokens":
            msg = "the overlong penalty counts tokens, which texts do not tell: call rate(), or count words"
            raise ValueError(msg)
        return self.rate(completions, questions, ())

    def rate(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int]
    ) -> RewardOutput:
        """Score B completions; ``num_tokens`` counts only where ``unit`` is tokens."""
        lengths = num_tokens if self.unit == "tokens" else lengths_of(completions, self.unit, None)
        if not len(completions) == len(questions) == len(lengths):
            msg = f"{len(completions)} completions, {len(questions)} questions and {len(lengths)} lengths"
            raise ValueError(msg)
        scores = [soft_overlong(length, self.max_length, self.cache) for length in lengths]
        total = torch.tensor(scores, dtype=torch.float32)
        right, judged = letters_right([parse_response(text) for text in completions], questions)
        return RewardOutput(total, {self.name: total}, right, judged=judged)


@dataclass(eq=False)
class RepetitionReward(ReferenceReward):
    """−``penalty`` · (1 − different / all n-grams), words in lower case (arXiv 2502.03373, Open-R1).

    Args:
        ngram_words: Words of an n-gram; 3 as published.
        penalty: Cost of a completion that is one n-gram again and again.
        name: Metric key.
    """

    success_at = None

    ngram_words: int = 3
    penalty: float = 1.0
    name: str = "repetition"

    def __post_init__(self) -> None:
        if not 1 <= self.ngram_words <= 16 or self.penalty < 0:
            given = f"{self.ngram_words} and {self.penalty}"
            msg = f"the repetition penalty needs 1 to 16 words and penalty >= 0, got {given}"
            raise ConfigError(msg)

    def score(self, completion: str, reference: Reference) -> float:  # noqa: ARG002
        """In [−penalty, 0]."""
        return -self.penalty * repeated_share(completion, self.ngram_words)
