"""What may be asked about a clip and what is refused, how one of it is drawn, and how often each comes."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np


@dataclass(frozen=True)
class Refusal:
    """Something that is not asked.

    Args:
        reason: Why, in a few words that are the same for all of its kind.
    """

    reason: str


class HasVerdict(Protocol):
    """Something that can be asked, whose verdicts are to be equally frequent."""

    @property
    def verdict(self) -> str:
        """What the answer says, "" if any candidate is as good as another."""


C = TypeVar("C", bound=HasVerdict)


def drawn(found: Iterable[C | Refusal], generator: np.random.Generator) -> C | None:
    """One of the candidates: a verdict first, each equally likely, then one that has it; None if all are refused."""
    by_verdict: dict[str, list[C]] = {}
    for one in found:
        if not isinstance(one, Refusal):
            by_verdict.setdefault(one.verdict, []).append(one)
    if not by_verdict:
        return None
    alike = by_verdict[sorted(by_verdict)[int(generator.integers(len(by_verdict)))]]
    return alike[int(generator.integers(len(alike)))]


def counted(found: Iterable[HasVerdict | Refusal]) -> Counter[str]:
    """How often something is ``asked`` or refused, by reason."""
    return Counter(one.reason if isinstance(one, Refusal) else "asked" for one in found)
