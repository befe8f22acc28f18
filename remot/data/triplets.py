"""Which three frames of a clip make a triplet: every pair clear, and any wanted pattern of answers."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from remot.data.experts.base import AMBIGUOUS, IntArray, MotionExpert, SignMatrix
from remot.errors import AnnotationError, ConfigError
from remot.motion import CONSISTENT_TRIPLES, PAIRS, SignTriple
from remot.seeding import numpy_generator
from remot.structures import Clip, FloatArray, MotionLabel, Triplet

#: Share of each sign triple that makes each of the three answers +, 0 and - equally often and no triple of answers
#: more frequent than 1 in 9, the least that is possible: three zeros 1/9, one zero 1/9 each, no zero 1/27 each.
SIGN_TRIPLE_WEIGHTS: dict[SignTriple, float] = {
    triple: 1 / 9 if 0 in triple else 1 / 27 for triple in CONSISTENT_TRIPLES
}


@dataclass(frozen=True)
class Askable:
    """What can be asked about one subject of a clip.

    Args:
        expert_index: Position of the expert among the sampler's experts.
        subject: Arm or object, "" for the camera.
        sign_triples: Patterns of answers (1 to 2, 1 to 3, 2 to 3) for which the clip holds three frames.
    """

    expert_index: int
    subject: str
    sign_triples: tuple[SignTriple, ...]


@dataclass(frozen=True, eq=False)
class _Judged:
    """A clip's candidate frames [K] and, for each (expert index, subject), the signs [K, K] between them."""

    frames: IntArray
    signs: dict[tuple[int, str], SignMatrix]


class TripletSampler:
    """Finds anchor, positive and negative frames in one clip.

    Args:
        experts: Judges of the motion between two frames.
        max_candidate_frames: Clips with more frames are thinned to this many, spread over the clip.
        min_gap_frames: Frames of a triplet are at least this many annotated frames apart.
        cache_size: Number of clips whose verdicts are kept.
    """

    def __init__(
        self,
        experts: Sequence[MotionExpert],
        max_candidate_frames: int = 64,
        min_gap_frames: int = 1,
        cache_size: int = 256,
    ) -> None:
        if not experts or max_candidate_frames < 3 or min_gap_frames < 1 or cache_size < 1:
            msg = (
                "a TripletSampler needs at least one expert, max_candidate_frames >= 3, min_gap_frames >= 1 and "
                f"cache_size >= 1; it got {len(experts)}, {max_candidate_frames}, {min_gap_frames} and {cache_size}"
            )
            raise ConfigError(msg)
        self.experts = tuple(experts)
        self.max_candidate_frames = max_candidate_frames
        self.min_gap_frames = min_gap_frames
        self.cache_size = cache_size
        self._cache: OrderedDict[str, _Judged] = OrderedDict()

    def askable(self, clip: Clip) -> list[Askable]:
        """Everything that can be asked about ``clip``.

        A subject that never clearly moves is left out: all its answers are "none", and a policy that recognises the
        clip would know them without comparing the pictures.
        """
        found: list[Askable] = []
        for (expert_index, subject), signs in self._judge(clip).signs.items():
            available = tuple(triple for triple in CONSISTENT_TRIPLES if _counts(signs, triple).any())
            if any(any(triple) for triple in available):
                found.append(Askable(expert_index, subject, available))
        return found

    def sample(
        self, clip: Clip, expert_index: int, subject: str, sign_triple: SignTriple, generator: np.random.Generator
    ) -> Triplet:
        """A triplet drawn uniformly among those of ``clip`` whose answers are ``sign_triple``.

        Raises:
            AnnotationError: If the clip holds none, see :meth:`askable`.
        """
        judged = self._judge(clip)
        signs = judged.signs.get((expert_index, subject))
        if signs is None or not (counts := _counts(signs, sign_triple)).any():
            msg = f"clip {clip.clip_id} has no three frames with the signs {sign_triple}; choose one of askable(clip)"
            raise AnnotationError(msg)
        frames = judged.frames[_draw(signs, sign_triple, counts, generator)]
        indices = (int(frames[0]), int(frames[1]), int(frames[2]))
        first, second, third = (self._label(clip, indices, expert_index, subject, pair) for pair in PAIRS)
        return Triplet(clip=clip, frame_indices=indices, labels=(first, second, third))

    def _label(
        self, clip: Clip, indices: tuple[int, int, int], expert_index: int, subject: str, pair: tuple[int, int]
    ) -> MotionLabel:
        label = self.experts[expert_index].label(clip, indices[pair[0] - 1], indices[pair[1] - 1], subject, pair)
        if label is None:
            msg = (
                f"clip {clip.clip_id}: {type(self.experts[expert_index]).__name__} judges frames {indices} differently "
                "alone and among others; its measure() must depend on the two frames of a pair only"
            )
            raise AnnotationError(msg)
        return label

    def _judge(self, clip: Clip) -> _Judged:
        if clip.clip_id in self._cache:
            self._cache.move_to_end(clip.clip_id)
            return self._cache[clip.clip_id]
        frames = self._candidates(clip)
        too_close = np.abs(frames[:, None] - frames[None, :]) < self.min_gap_frames
        judged = _Judged(frames, {})
        for expert_index, expert in enumerate(self.experts):
            for subject, signs in expert.signs(clip, frames).items():
                judged.signs[expert_index, subject] = np.where(too_close, np.int8(AMBIGUOUS), signs)
        self._cache[clip.clip_id] = judged
        if len(self._cache) > self.cache_size:
            self._cache.popitem(last=False)
        return judged

    def _candidates(self, clip: Clip) -> IntArray:
        """[K] frames: all of a short clip, one drawn from each of K equal stretches of a long one."""
        count = min(clip.num_frames, self.max_candidate_frames)
        if count == clip.num_frames:
            return np.arange(count, dtype=np.int64)
        edges = np.linspace(0, clip.num_frames, count + 1)
        starts, ends = np.ceil(edges[:-1]).astype(np.int64), np.ceil(edges[1:]).astype(np.int64)
        return numpy_generator(0, "candidates", clip.clip_id).integers(starts, ends).astype(np.int64)


def _pair_masks(signs: SignMatrix, sign_triple: SignTriple) -> tuple[FloatArray, FloatArray, FloatArray]:
    one_two, one_three, two_three = ((signs == sign).astype(np.float64) for sign in sign_triple)
    return one_two, one_three, two_three


def _counts(signs: SignMatrix, sign_triple: SignTriple) -> FloatArray:
    """[K, K] number of middle frames b for which (a, b, c) has the wanted signs, for each outer pair (a, c)."""
    one_two, one_three, two_three = _pair_masks(signs, sign_triple)
    counts: FloatArray = one_three * (one_two @ two_three)
    return counts


def _draw(signs: SignMatrix, sign_triple: SignTriple, counts: FloatArray, generator: np.random.Generator) -> IntArray:
    """[3] candidate positions (a, b, c), uniform among all that have the wanted signs."""
    cumulative = counts.cumsum()
    outer = int(np.searchsorted(cumulative, generator.integers(int(cumulative[-1])), side="right"))
    a, c = divmod(outer, len(signs))
    middles = np.flatnonzero((signs[a] == sign_triple[0]) & (signs[:, c] == sign_triple[2]))
    return np.array([a, generator.choice(middles), c], dtype=np.int64)
