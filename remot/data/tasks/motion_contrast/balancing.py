"""Which clips can answer which pattern, so that a whole data set is balanced and not only each clip."""

import math
from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from remot.data.tasks.motion_contrast.sampler import TripletCandidate, TripletSampler
from remot.data.tasks.weights import WeightedDraw, weights_of
from remot.motion import ATTRIBUTES, Attribute, Pattern
from remot.structures import Clip, FloatArray

#: Over what answers are balanced: all questions about an attribute, or those about one subject.
BalanceBy = Literal["attribute", "subject"]

#: Rounds of balancing, and the gap between two rounds at which it ends.
_ROUNDS, _GAP = 1000, 1e-9


class Entry(NamedTuple):
    """One subject of one clip under one expert and one negative."""

    clip_index: int
    expert_index: int
    subject: str
    negative_index: int = 0


class _Group:
    """What is balanced together: the subjects that show each pattern of codes, asked about one attribute."""

    def __init__(self, owners: dict[Pattern, list[Entry]], attribute: Attribute, weights: Sequence[float]) -> None:
        self.owners = owners
        self.patterns = sorted(owners)
        self.answers = [attribute.answers(pattern) for pattern in self.patterns]
        shares = np.array([attribute.patterns[pattern] for pattern in self.patterns])
        self.shares = balanced_shares(self.answers, shares)
        entries = {entry for held in owners.values() for entry in held}
        self.weight = math.fsum(weights[entry.clip_index] for entry in entries)  # whatever the order of a set
        self.by_negative: dict[Pattern, list[tuple[list[Entry], WeightedDraw]]] = {}
        for pattern, held in owners.items():
            kinds: dict[int, list[Entry]] = {}
            for entry in held:
                kinds.setdefault(entry.negative_index, []).append(entry)
            self.by_negative[pattern] = [
                (kind, WeightedDraw([weights[entry.clip_index] for entry in kind])) for _, kind in sorted(kinds.items())
            ]


class TripletIndex:
    """Draws a pattern of answers first and a clip that has it second.

    A clip lacks some patterns more often than others: one that only ever turns right has no "nothing moved". Drawing
    the clip first would therefore give likely answers away; drawing the pattern first keeps every answer of every
    slot equally likely over the data set.

    Args:
        clips: The clips of one split.
        sampler: Lists the candidates of each.
        balance_by: ``attribute`` balances the answers over all subjects, ``subject`` over each by its name as well, so
            that the subject gives nothing away; it needs enough clips of every subject.
        candidates: The candidates of each clip, if they are known already.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        sampler: TripletSampler,
        balance_by: BalanceBy = "attribute",
        candidates: Sequence[Sequence[TripletCandidate]] | None = None,
    ) -> None:
        self.balance_by: BalanceBy = balance_by
        weights = weights_of(clips)
        owners: dict[str, dict[str, dict[Pattern, list[Entry]]]] = {}
        found = map(sampler.candidates, clips) if candidates is None else candidates
        for clip_index, of_clip in enumerate(found):
            for one in of_clip:
                entry = Entry(clip_index, one.expert_index, one.subject, one.negative_index)
                by_group = owners.setdefault(sampler.experts[one.expert_index].attribute.name, {})
                by_pattern = by_group.setdefault(one.subject if self.balance_by == "subject" else "", {})
                for pattern in one.patterns:
                    by_pattern.setdefault(pattern, []).append(entry)
        self._groups = {
            name: {key: _Group(of_group, ATTRIBUTES[name], weights) for key, of_group in sorted(by_group.items())}
            for name, by_group in owners.items()
        }
        #: Names of the attributes that can be asked about, in alphabetical order.
        self.attributes = tuple(sorted(self._groups))

    def entries(self, attribute: str) -> dict[Pattern, list[Entry]]:
        """For each available pattern of ``attribute`` the subjects that show it."""
        merged: dict[Pattern, list[Entry]] = {}
        for group in self._groups[attribute].values():
            for pattern, entries in group.owners.items():
                merged.setdefault(pattern, []).extend(entries)
        return merged

    def values(self, attribute: str, subject: str) -> tuple[str, ...]:
        """The answers that occur among the questions balanced together with those about ``subject``.

        One that never occurs, such as "none" for a camera that never rests, is no option: leaving it out would beat
        chance.
        """
        group = self._groups[attribute][subject if self.balance_by == "subject" else ""]
        occurring = {value for answers in group.answers for value in answers}
        return tuple(value for value in ATTRIBUTES[attribute].values if value in occurring)

    def slot_values(self, attribute: str, subject: str) -> tuple[tuple[str, ...], ...]:
        """For each question of a prompt the answers that occur in its place; :meth:`values` where only one does.

        A negative may allow an answer in some places only: with time reversed nothing rests from image 2 to 3, so that
        guessing would beat chance if "none" were an option there.
        """
        group = self._groups[attribute][subject if self.balance_by == "subject" else ""]
        values = self.values(attribute, subject)
        by_place = [set(answers) for answers in zip(*group.answers, strict=True)]
        return tuple(
            tuple(value for value in values if value in found) if len(found) > 1 else values for found in by_place
        )

    def draw(self, attribute: str, generator: np.random.Generator) -> tuple[Entry, Pattern]:
        """A pattern of answers by its share, a negative that allows it, and one of its owners by its clip's weight."""
        groups = list(self._groups[attribute].values())
        weights = np.array([group.weight for group in groups], dtype=np.float64)
        group = groups[0] if len(groups) == 1 else groups[int(generator.choice(len(groups), p=weights / weights.sum()))]
        pattern = group.patterns[generator.choice(len(group.patterns), p=group.shares)]
        kinds = group.by_negative[pattern]  # each negative as often, however many subjects it has
        owners, draw = kinds[0] if len(kinds) == 1 else kinds[int(generator.integers(len(kinds)))]
        return owners[draw(generator)], pattern


def balanced_shares(answers: Sequence[Sequence[Hashable]], shares: FloatArray) -> FloatArray:
    """Shares [M] of the available patterns under which all answers that occur in a slot are equally frequent there.

    Found by iterative proportional fitting, which changes the given shares [M] as little as possible. ``answers`` [M,
    Q] are those of each pattern to its Q questions. Where no shares balance all slots, the result is a compromise.
    """
    fitted: FloatArray = shares / shares.sum()
    given = np.array(answers)
    for _ in range(_ROUNDS):
        before = fitted
        for place in range(given.shape[1]):
            occurring, answer = np.unique(given[:, place], return_inverse=True)
            totals = np.bincount(answer, weights=fitted, minlength=len(occurring))
            fitted = fitted / (totals[answer] * len(occurring))
        if np.abs(fitted - before).max() < _GAP:
            break
    normalised: FloatArray = fitted / fitted.sum()
    return normalised
