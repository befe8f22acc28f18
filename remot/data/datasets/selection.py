"""Training prompts chosen by how often a policy answers them, from the file that ``remot data score`` writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from remot.data.records.jsonl import read_lines
from remot.errors import AnnotationError, ConfigError
from remot.seeding import numpy_generator

#: ``format`` of the first line of a file of scores.
FORMAT = "remot-prompt-scores/1"


def informative_probability(share_right: float, num_completions: int) -> float:
    """1 − p^G − (1 − p)^G: the chance that G completions are neither all right nor all wrong, so that GRPO learns.

    >>> informative_probability(0.5, 2), informative_probability(1.0, 8)
    (0.5, 0.0)
    """
    return 1.0 - share_right**num_completions - (1.0 - share_right) ** num_completions


@dataclass(frozen=True)
class PromptScore:
    """How a policy answered one training prompt.

    Args:
        address: Of the prompt.
        prompt_id: Its name.
        task: Its task.
        num_completions: Completions that were sampled.
        num_right: Of these, the right ones.
        num_cut_off: Of these, those that did not end by themselves.
    """

    address: int
    prompt_id: str
    task: str
    num_completions: int
    num_right: int
    num_cut_off: int = 0

    def __post_init__(self) -> None:
        counts = (self.num_right, self.num_cut_off)
        if any(type(count) is not int for count in (self.address, self.num_completions, *counts)):
            msg = "counts are whole numbers"
            raise TypeError(msg)
        if self.address < 0 or self.num_completions < 1 or not all(0 <= n <= self.num_completions for n in counts):
            msg = f"{self.num_right} right and {self.num_cut_off} cut off of {self.num_completions} at {self.address}"
            raise ValueError(msg)

    @property
    def share_right(self) -> float:
        """Share of the completions that were right."""
        return self.num_right / self.num_completions

    @property
    def variance(self) -> float:
        """P (1 − p) of :attr:`share_right`."""
        return self.share_right * (1 - self.share_right)


def read_scores(file: Path) -> tuple[dict[str, Any], list[PromptScore]]:
    """Header and scores of a file.

    Raises:
        AnnotationError: If it cannot be read or is none of scores, or a line is malformed.
    """
    lines = read_lines(file)
    _, header = next(lines, (0, {}))
    if header.get("format") != FORMAT:
        msg = f"{file} holds no scores of prompts; `remot data score` writes them"
        raise AnnotationError(msg)
    scores, places = [], dict[int, int]()
    for number, line in lines:
        try:
            scores.append(PromptScore(**line))
        except (TypeError, ValueError) as error:
            msg = f"{file}: line {number}: not the score of a prompt ({error})"
            raise AnnotationError(msg) from error
        if (first := places.setdefault(scores[-1].address, number)) != number:
            msg = f"{file}: line {number}: prompt {scores[-1].address} is that of line {first}, keep one of them"
            raise AnnotationError(msg, reason="duplicate id")
    return header, scores


@dataclass(frozen=True)
class PromptSelection:
    """Which scored training prompts are trained on, and in which order; every choice is a function of the address.

    Temporal-RLT (arXiv 2506.01908) trains on the prompts whose rewards vary most (32k of 490k); its threshold is not
    published, so ``least_informative`` is a parameter.

    Args:
        scores: File that ``remot data score`` wrote with the same clips, tasks and seed.
        num_completions: G of the informative probability; that of ``model.grpo.num_completions``.
        least_informative: Prompts below this probability of a group with a difference are left out.
        order: ``as_drawn`` keeps the order of the prompts, ``easy_to_hard`` is a curriculum from the prompts that are
            answered most often to the others, over an epoch, and ``weighted`` draws them in proportion to the
            probability.
    """

    scores: Path
    num_completions: int = 8
    least_informative: float = 0.05
    order: Literal["as_drawn", "easy_to_hard", "weighted"] = "as_drawn"

    def __post_init__(self) -> None:
        if self.num_completions < 2 or not 0 <= self.least_informative < 1:
            given = f"{self.num_completions} and {self.least_informative}"
            msg = f"data.options.selection: num_completions is at least 2, least_informative from 0 to 1, got {given}"
            raise ConfigError(msg)

    @cached_property
    def _held(self) -> tuple[dict[str, Any], list[PromptScore]]:
        return read_scores(self.scores.expanduser())

    @cached_property
    def kept(self) -> list[PromptScore]:
        """The prompts that are trained on, in the order of an epoch.

        Raises:
            ConfigError: If none is left.
        """
        _, scores = self._held
        kept = [one for one in scores if self._informative(one) >= self.least_informative]
        if not kept:
            msg = (
                f"{self.scores}: none of {len(scores)} prompts has a probability of {self.least_informative} or more "
                "of a group with a difference; lower data.options.selection.least_informative"
            )
            raise ConfigError(msg)
        is_sorted = self.order == "easy_to_hard"
        return sorted(kept, key=lambda one: (-one.share_right if is_sorted else 0.0, one.address))

    def _informative(self, score: PromptScore) -> float:
        return informative_probability(score.share_right, self.num_completions)

    def require_same(self, fingerprint: str, seed: int, names: Mapping[int, str]) -> None:
        """Refuse scores of other prompts.

        Args:
            fingerprint: Of the data.
            seed: Of the training prompts.
            names: Names of the prompts at the kept addresses.

        Raises:
            ConfigError: If they are others.
        """
        header, _ = self._held
        here = {"fingerprint": fingerprint, "seed": seed}
        other = [name for name, value in here.items() if header.get(name) != value]
        renamed = next((one.prompt_id for one in self.kept if names[one.address] != one.prompt_id), None)
        if other or renamed is not None:
            why = f"its {other[0]} is another" if other else f"{renamed} has another name"
            msg = f"{self.scores} is of other prompts than this run's ({why}): run `remot data score` with its settings"
            raise ConfigError(msg)

    def describe(self) -> str:
        """What is trained on, in one line."""
        count, total = len(self.kept), len(self._held[1])
        return f"selection: {count} of {total} scored prompts, {self.order.replace('_', ' ')} ({self.scores})"

    def address(self, number: int, seed: int) -> int:
        """The address of training prompt ``number``, counted over all epochs of as many prompts as are kept."""
        epoch, position = divmod(number, len(self.kept))
        if self.order == "weighted":
            position = _drawn(self, seed, epoch)[position]
        return self.kept[position].address


@lru_cache(maxsize=4)
def _drawn(selection: PromptSelection, seed: int, epoch: int) -> list[int]:
    """Positions of an epoch, drawn with replacement in proportion to the informative probability."""
    weights = np.array([selection._informative(one) for one in selection.kept])
    generator = numpy_generator(seed, "selection", epoch)
    drawn: list[int] = generator.choice(len(weights), size=len(weights), p=weights / weights.sum()).tolist()
    return drawn
