"""Which clips can answer which pattern, so that a whole data set is balanced and not only each clip."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from remot.data.triplets import SIGN_TRIPLE_WEIGHTS, TripletSampler
from remot.motion import SignTriple
from remot.structures import Clip


class Entry(NamedTuple):
    """One subject of one clip under one expert."""

    clip_index: int
    expert_index: int
    subject: str


class TripletIndex:
    """Draws a pattern of answers first and a clip that has it second.

    A clip lacks some patterns more often than others: one that only ever turns right has no "nothing moved". Drawing
    the clip first would therefore tell how likely each answer is; drawing the pattern first keeps every answer of every
    slot equally likely over the data set.

    Args:
        clips: The clips of one split.
        sampler: Tells what can be asked about each.
    """

    def __init__(self, clips: Sequence[Clip], sampler: TripletSampler) -> None:
        self._entries: dict[str, dict[SignTriple, list[Entry]]] = {}
        for clip_index, clip in enumerate(clips):
            for askable in sampler.askable(clip):
                entry = Entry(clip_index, askable.expert_index, askable.subject)
                by_triple = self._entries.setdefault(sampler.experts[entry.expert_index].attribute.name, {})
                for triple in askable.sign_triples:
                    by_triple.setdefault(triple, []).append(entry)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes that can be asked about, in alphabetical order."""
        return tuple(sorted(self._entries))

    def entries(self, attribute: str) -> dict[SignTriple, list[Entry]]:
        """For each available pattern of ``attribute`` the subjects that show it."""
        return self._entries[attribute]

    def draw(self, attribute: str, generator: np.random.Generator) -> tuple[Entry, SignTriple]:
        """A pattern of answers by its weight among the available ones, then a subject uniformly among its owners."""
        by_triple = self._entries[attribute]
        triples = sorted(by_triple)
        weights = np.array([SIGN_TRIPLE_WEIGHTS[triple] for triple in triples])
        triple = triples[generator.choice(len(triples), p=weights / weights.sum())]
        owners = by_triple[triple]
        return owners[generator.integers(len(owners))], triple
