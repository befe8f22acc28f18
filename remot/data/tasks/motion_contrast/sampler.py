"""Which three frames of a clip make a triplet: every pair clear, and any wanted pattern of answers."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from remot.data.experts.base import AMBIGUOUS, CodeMatrix, Expert, IntArray
from remot.data.negatives import Case, Negative, Retrieval, View
from remot.data.negatives.base import BoolMatrix
from remot.errors import AnnotationError, ConfigError
from remot.motion import Pattern
from remot.seeding import numpy_generator
from remot.structures import Clip, FloatArray, Triplet


@dataclass(frozen=True)
class TripletCandidate:
    """What can be asked about one subject of a clip with one kind of negative.

    ``patterns`` are those of answers (1 to 2, 1 to 3, 2 to 3) for which the clip holds three images; the indices are
    positions among the sampler's experts and negatives.
    """

    expert_index: int
    subject: str
    patterns: tuple[Pattern, ...]
    negative_index: int = 0


@dataclass(frozen=True, eq=False)
class _Judged:
    """The images a clip gives under one negative, and for each (expert index, subject) the codes between them."""

    view: View
    codes: dict[tuple[int, str], CodeMatrix]


class TripletSampler:
    """Finds anchor, positive and negative frames in one clip; keeps the verdicts of ``cache_size`` clips.

    See :class:`Sampling` for the limits on frames; negatives are other frames of the clip by default.
    """

    def __init__(
        self,
        experts: Sequence[Expert],
        max_candidate_frames: int = 64,
        min_gap_frames: int = 1,
        cache_size: int = 256,
        negatives: Sequence[Negative] | None = None,
    ) -> None:
        if not experts or max_candidate_frames < 3 or min_gap_frames < 1 or cache_size < 1:
            msg = (
                "a TripletSampler needs at least one expert, max_candidate_frames >= 3, min_gap_frames >= 1 and "
                f"cache_size >= 1; it got {len(experts)}, {max_candidate_frames}, {min_gap_frames} and {cache_size}"
            )
            raise ConfigError(msg)
        self.experts = tuple(experts)
        self.negatives: tuple[Negative, ...] = tuple(negatives or [Retrieval()])
        self.max_candidate_frames = max_candidate_frames
        self.min_gap_frames = min_gap_frames
        self.cache_size = cache_size
        self._cache: OrderedDict[str, Mapping[int, _Judged]] = OrderedDict()

    def candidates(self, clip: Clip) -> list[TripletCandidate]:
        """Everything that can be asked about ``clip``.

        A subject that never clearly moves is left out: all its answers are "none", and a policy that recognises the
        clip would know them without comparing the images.
        """
        found: list[TripletCandidate] = []
        for negative_index, judged in self._judge(clip).items():
            for (expert_index, subject), codes in judged.codes.items():
                attribute = self.experts[expert_index].attribute
                counts = _PatternCounts(codes, judged.view.cases)
                available = tuple(pattern for pattern in attribute.patterns if counts.any(pattern))
                if any(any(pattern) for pattern in available):
                    found.append(TripletCandidate(expert_index, subject, available, negative_index))
        return found

    def frame_triples(self, clip: Clip) -> int:
        """How many distinct sets of three frames of ``clip`` can be asked about, whatever is asked."""
        digits = clip.num_frames ** np.arange(3, dtype=np.int64)
        found = np.empty(0, dtype=np.int64)
        for one in self.candidates(clip):
            judged = self._judge(clip)[one.negative_index]
            counts = _PatternCounts(judged.codes[one.expert_index, one.subject], judged.view.cases)
            for pattern in one.patterns:
                triples = judged.view.source_frames[counts.all(pattern)]  # [T, 3]
                found = np.union1d(found, triples @ digits)
        return len(found)

    def sample(
        self,
        clip: Clip,
        expert_index: int,
        subject: str,
        pattern: Pattern,
        generator: np.random.Generator,
        negative_index: int = 0,
    ) -> Triplet:
        """A triplet drawn uniformly among those of ``clip`` whose answers are ``pattern``; see :meth:`candidates`."""
        judged, negative = self._judge(clip).get(negative_index), self.negatives[negative_index]
        codes = None if judged is None else judged.codes.get((expert_index, subject))
        if judged is None or codes is None or not (counts := _PatternCounts(codes, judged.view.cases)).any(pattern):
            msg = f"clip {clip.clip_id} has no three frames with the signs {pattern}; choose one of candidates(clip)"
            raise AnnotationError(msg)
        drawn = [counts.draw(pattern, generator) for _ in range(negative.num_draws)]
        return self._triplet(clip, judged.view, negative.choose(judged.view, drawn), expert_index, subject, negative)

    def _triplet(
        self, clip: Clip, view: View, images: IntArray, expert_index: int, subject: str, negative: Negative
    ) -> Triplet:
        expert = self.experts[expert_index]
        positions, sources = view.positions[images], view.source_frames[images]
        labels = expert.labels(view.clip, (int(positions[0]), int(positions[1]), int(positions[2])), subject)
        indices = int(sources[0]), int(sources[1]), int(sources[2])
        if labels is None:
            msg = (
                f"clip {clip.clip_id}: {type(expert).__name__} judges frames {indices} differently "
                "alone and among others; its judge() must depend on the two frames of a pair only"
            )
            raise AnnotationError(msg)
        first, second, third = (view.transforms[image] for image in images)
        transforms = first, second, expert.third_transform(subject) or third
        return Triplet(clip, indices, labels, negative.name, transforms)

    def _judge(self, clip: Clip) -> Mapping[int, _Judged]:
        """For each negative that the clip allows, by its number, the experts' verdicts."""
        if clip.clip_id in self._cache:
            self._cache.move_to_end(clip.clip_id)
            return self._cache[clip.clip_id]
        frames = self._candidate_frames(clip)
        views = {index: negative.view(clip, frames) for index, negative in enumerate(self.negatives)}
        judged = {index: self._judge_view(view) for index, view in views.items() if view is not None}
        self._cache[clip.clip_id] = judged
        if len(self._cache) > self.cache_size:
            self._cache.popitem(last=False)
        return judged

    def _judge_view(self, view: View) -> _Judged:
        too_close = self._too_close(view)
        same = view.positions[:, None] == view.positions[None, :]
        judged = _Judged(view, {})
        for expert_index, expert in enumerate(self.experts):
            if not expert.compares_images and not view.is_plain:
                continue  # a mask drawn from the source would not fit a transformed image
            barred = too_close if expert.compares_images else too_close & ~same
            for subject, verdicts in expert.judge(view.clip, view.positions).items():
                judged.codes[expert_index, subject] = np.where(barred, np.int8(AMBIGUOUS), verdicts.codes)
        return judged

    def _too_close(self, view: View) -> BoolMatrix:
        """[M, M] True for images of frames too near each other in time, unless they are seen differently."""
        near = np.abs(view.source_frames[:, None] - view.source_frames[None, :]) < self.min_gap_frames
        if view.is_plain:
            return np.asarray(near)
        kinds = {transform: number for number, transform in enumerate(dict.fromkeys(view.transforms))}
        seen_as = np.array([kinds[transform] for transform in view.transforms])
        return np.asarray(near & (seen_as[:, None] == seen_as[None, :]))

    def _candidate_frames(self, clip: Clip) -> IntArray:
        """[K] frames: all of a short clip, one drawn from each of K equal stretches of a long one."""
        count = min(clip.num_frames, self.max_candidate_frames)
        if count == clip.num_frames:
            return np.arange(count, dtype=np.int64)
        edges = np.linspace(0, clip.num_frames, count + 1)
        starts, ends = np.ceil(edges[:-1]).astype(np.int64), np.ceil(edges[1:]).astype(np.int64)
        return numpy_generator(0, "candidates", clip.clip_id).integers(starts, ends).astype(np.int64)


class _PatternCounts:
    """Triplets of images with a pattern of codes [M, M], of which ``cases`` limit the places."""

    def __init__(self, codes: CodeMatrix, cases: Sequence[Case]) -> None:
        self.codes = codes
        self.cases: tuple[Case | None, ...] = tuple(cases) or (None,)

    def any(self, pattern: Pattern) -> bool:
        """Whether there is a triplet with this pattern."""
        return any(counts.any() for counts, *_ in self._counted(pattern))

    def all(self, pattern: Pattern) -> IntArray:
        """[T, 3] all images (a, b, c) that have the pattern."""
        found = [
            np.argwhere(one_two[:, :, None] & two_three[None, :, :] & (counts > 0)[:, None, :])
            for counts, one_two, two_three in self._counted(pattern)
        ]
        return np.concatenate(found)

    def draw(self, pattern: Pattern, generator: np.random.Generator) -> IntArray:
        """[3] images (a, b, c), uniform among all that have the pattern."""
        counted = list(self._counted(pattern))
        cumulative = np.concatenate([counts.ravel() for counts, *_ in counted]).cumsum()
        place = int(np.searchsorted(cumulative, generator.integers(int(cumulative[-1])), side="right"))
        case, outer = divmod(place, self.codes.size)
        a, c = divmod(outer, len(self.codes))
        _, one_two, two_three = counted[case]
        middles = np.flatnonzero(one_two[a] & two_three[:, c])
        return np.array([a, generator.choice(middles), c], dtype=np.int64)

    def _counted(self, pattern: Pattern) -> Iterator[tuple[FloatArray, BoolMatrix, BoolMatrix]]:
        """For each case: number of middle images b for each outer pair (a, c), and the pairs (a, b) and (b, c)."""
        for case in self.cases:
            one_two, one_three, two_three = (self.codes == code for code in pattern)
            if case is not None:
                one_two, one_three, two_three = one_two & case[0], one_three & case[1], two_three & case[2]
            counts = one_three * (one_two.astype(np.float64) @ two_three.astype(np.float64))
            yield counts, one_two, two_three
