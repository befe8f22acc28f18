"""What two splits have in common, and which of it gives held-out answers away.

Readers call each episode a scene where a format does not say which episodes show one place, so all of them may show one
table before one camera. Such images are alike without giving an answer away. What does:

- a scene, or a frame of one file, in two splits;
- two clips of different splits that show the same images at two moments and whose annotations say the same of the
  motion between them: a copy under another name. Images count as the same at both moments only if they differ less than
  half as much as the two moments do, so that a camera that never moves does not make episodes into copies.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from remot.data.experts import Expert
from remot.data.experts.base import AMBIGUOUS
from remot.datatools.audit.leaks import (
    MAX_LOCAL_GREY_LEVELS,
    FramePrint,
    SimilarPair,
    local_difference,
    print_frames,
    similar_pairs,
)
from remot.structures import Clip

#: How many of a kind are named in a record.
MAX_NAMED = 10
#: Times in a video that are this close in seconds are one frame.
SAME_TIME_SECONDS = 1e-3
#: Share of the difference between two moments below which two images of one moment have to stay.
MAX_SHARE_OF_MOTION = 0.5


@dataclass(frozen=True)
class SplitOverlap:
    """What was found.

    Args:
        scenes: Number of scenes of each split, as the reader divides them.
        shared_scenes: Scenes that are in two splits.
        shared_frames: Clips of two splits that show the same frames of one file, one sentence for each pair of clips.
        num_frames: Images compared between splits; plain ones are not.
        duplicates: Pairs of the same image in clips of two splits that are copies of each other.
        num_alike: Further pairs of images in two splits that are alike, which give no answer away.
        shared_views: Clips of each split with a view that a clip of another split shows, too.
    """

    scenes: Mapping[str, int] = field(default_factory=dict)
    shared_scenes: Sequence[str] = ()
    shared_frames: Sequence[str] = ()
    num_frames: int = 0
    duplicates: Sequence[SimilarPair] = ()
    num_alike: int = 0
    shared_views: Mapping[str, int] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        """What makes the splits unfit, the first of each kind named."""
        found = []
        if self.shared_scenes:
            found.append(f"{len(self.shared_scenes)} scenes are in two splits, such as {self.shared_scenes[0]}")
        if self.shared_frames:
            found.append(f"{len(self.shared_frames)} pairs of clips share frames, such as {self.shared_frames[0]}")
        if self.duplicates:
            both = self.duplicates[0].first.address, self.duplicates[0].second.address
            named = " and ".join(f"{split} (clip {clip}, frame {k})" for split, clip, k in both)
            found.append(
                f"{len(self.duplicates)} pairs of images are the same in two splits, with the same motion between "
                f"them, such as {named}; leave out one of the clips with data.exclude"
            )
        return found

    def record(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        examples = [
            {"first": one.first.address, "second": one.second.address, "grey_levels": one.grey_levels}
            for one in self.duplicates[:MAX_NAMED]
        ]
        return {
            "alike_frames_across_splits": self.num_alike,
            "num_scenes": dict(self.scenes),
            "scenes_in_two_splits": list(self.shared_scenes),
            "shared_frames": len(self.shared_frames),
            "shared_frame_examples": list(self.shared_frames[:MAX_NAMED]),
            "clips_with_a_shared_view": dict(self.shared_views),
            "compared_frames": self.num_frames,
            "duplicate_examples": examples,
            "unfit_splits": self.faults,
        }

    def rows(self) -> Iterator[tuple[str, str]]:
        """The same for people."""
        for name, count in self.scenes.items():
            yield f"scenes of the {name} split", str(count)
        yield "scenes in two splits", str(len(self.shared_scenes))
        yield "pairs of clips in two splits with the same frames of one file", str(len(self.shared_frames))
        yield f"same images and motion in two splits, of {self.num_frames} images", str(len(self.duplicates))
        yield "images that are alike in two splits, without the same motion (no fault)", str(self.num_alike)
        for name, count in self.shared_views.items():
            yield f"clips of the {name} split with a view of another split (no fault)", str(count)


def overlap_of(
    splits: Mapping[str, Sequence[Clip]],
    experts: Sequence[Expert],
    frames_per_clip: int = 4,
    progress: Callable[[int], None] = lambda _: None,
) -> SplitOverlap:
    """Compare the splits; experts determine whether two clips show the same motion.

    ``progress`` is called with the number of clips whose images are read.

    Raises:
        DecodeError: If an image cannot be decoded.
    """
    prints = print_frames(splits, frames_per_clip, progress)
    pairs = similar_pairs(prints)
    leaks = _copies(pairs, prints, splits, experts)
    views = {
        name: {one.clip_id for pair in pairs for one in (pair.first, pair.second) if one.split == name}
        for name in splits
    }
    return SplitOverlap(
        scenes={name: len({clip.scene_id for clip in clips}) for name, clips in splits.items()},
        shared_scenes=scenes_in_two_splits(splits),
        shared_frames=shared_frames(splits),
        num_frames=len(prints),
        duplicates=leaks,
        num_alike=sum(one.is_same for one in pairs) - len(leaks),
        shared_views={name: len(clips) for name, clips in views.items()},
    )


def scenes_in_two_splits(splits: Mapping[str, Sequence[Clip]]) -> list[str]:
    """Scenes of which clips are in more than one split, in alphabetical order."""
    scenes = [{clip.scene_id for clip in clips} for clips in splits.values()]
    return sorted({scene for one, other in combinations(scenes, 2) for scene in one & other})


def shared_frames(splits: Mapping[str, Sequence[Clip]]) -> list[str]:
    """Pairs of clips in two splits that show the same frames of one file, one sentence each."""
    shown: dict[object, dict[str, str]] = defaultdict(dict)
    counts: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for split, clips in splits.items():
        for clip in clips:
            for moment in set(_moments(clip)):
                for other, other_id in shown[moment].items():
                    if other != split:
                        counts[other, other_id, split, clip.clip_id] += 1
                shown[moment].setdefault(split, clip.clip_id)
    return [
        f"{count} frames of clip {other_id} ({other}) and clip {clip_id} ({split})"
        for (other, other_id, split, clip_id), count in counts.items()
    ]


def _moments(clip: Clip) -> Iterable[object]:
    """Keys of the frames of a clip, unique over all files."""
    media = clip.media
    if isinstance(media, tuple):
        return media
    if isinstance(media, Path) and not media.is_dir():
        return [(media, round(float(time) / SAME_TIME_SECONDS)) for time in clip.frame_times_in_media]
    spans = getattr(media, "spans", range(clip.num_frames))
    return [] if media is None else [(str(media), span) for span in spans]


def _copies(
    pairs: Sequence[SimilarPair],
    prints: Sequence[FramePrint],
    splits: Mapping[str, Sequence[Clip]],
    experts: Sequence[Expert],
) -> list[SimilarPair]:
    """The pairs of the same image that lie in clips which are copies of each other."""
    of_clips: dict[tuple[tuple[str, str], tuple[str, str]], list[SimilarPair]] = defaultdict(list)
    for pair in pairs:
        if pair.is_same:
            of_clips[pair.first.clip, pair.second.clip].append(pair)
    num_prints = Counter(one.clip for one in prints)
    named = {key for both in of_clips for key in both}
    everything = ((split, clip) for split, of_split in splits.items() for clip in of_split)
    clips = {(split, clip.clip_id): clip for split, clip in everything if (split, clip.clip_id) in named}
    found = []
    for (ours, theirs), same in of_clips.items():
        whole = min(num_prints[ours], num_prints[theirs])
        if _is_copy(same, whole, clips[ours], clips[theirs], experts):
            found += same
    return found


def _is_copy(same: Sequence[SimilarPair], num_prints: int, ours: Clip, theirs: Clip, experts: Sequence[Expert]) -> bool:
    """Whether two clips show the same at two moments, or in all of their images where nothing moves."""
    moments, distinct, moves = [], [], False
    for one, two in product(same, same):
        if not (one.first.frame < two.first.frame and one.second.frame < two.second.frame):
            continue
        moments.append((one, two))
        of_clips = _gap(one.first, two.first), _gap(one.second, two.second)
        moves = moves or max(of_clips) > MAX_LOCAL_GREY_LEVELS
        of_moments = _gap(one.first, one.second), _gap(two.first, two.second)
        if max(of_moments) <= MAX_SHARE_OF_MOTION * min(of_clips):
            distinct.append((one, two))
    if distinct:
        return any(_same_motion(one, two, ours, theirs, experts) for one, two in distinct)
    covered = min(len({one.first.frame for one in same}), len({one.second.frame for one in same}))
    is_whole = covered == num_prints and not moves
    return is_whole and all(_same_motion(one, two, ours, theirs, experts, may_move=False) for one, two in moments)


def _gap(one: FramePrint, other: FramePrint) -> float:
    return float(local_difference(np.abs(one.small - other.small)[None])[0])


def _same_motion(
    one: SimilarPair, two: SimilarPair, ours: Clip, theirs: Clip, experts: Sequence[Expert], *, may_move: bool = True
) -> bool:
    """Whether no label of the motion between two moments differs between the clips (nor is one unless ``may_move``)."""
    frames = np.array([one.first.frame, two.first.frame]), np.array([one.second.frame, two.second.frame])
    for expert in experts:
        first, second = expert.judge(ours, frames[0]), expert.judge(theirs, frames[1])
        for subject in first.keys() & second.keys():
            codes = int(first[subject].codes[0, 1]), int(second[subject].codes[0, 1])
            if AMBIGUOUS not in codes and (codes[0] != codes[1] or not (may_move or codes[0] == 0)):
                return False
    return True
