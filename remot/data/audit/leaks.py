"""Scenes and pictures that stand in two splits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from remot.data.video import read_frames
from remot.data.warping import SMALL_SIDE, small_copy
from remot.structures import Clip

#: Cosine terms kept along each side for the hash.
_TERMS = 8
#: Bits of 63 in which the hashes of two copies may differ. Unrelated pictures differ in about 31; this only saves the
#: comparison of colours and is therefore wide.
MAX_HASH_BITS = 12
#: Mean difference in grey levels of 255 up to which two small copies are the same picture. On the embedded clips a
#: picture and its copy at three quarters of the size, coded with visible loss (crf 30), differ by 3.6 at most, and the
#: two most alike of different scenes, over plain backgrounds, by 14.8.
MAX_GREY_LEVELS = 6.0
#: Standard deviation in grey levels below which a picture is plain, such as black before a fade: it shows nothing that
#: could be remembered, and all such pictures are alike.
MIN_CONTRAST = 3.0


@dataclass(frozen=True)
class FramePrint:
    """What is kept of a picture.

    Args:
        split: Split of its clip.
        clip_id: Its clip.
        frame: Its annotated frame.
        small: Copy [3, 32, 32] in grey levels of 255.
        bits: Hash [63] of its shape, -1 or +1.
    """

    split: str
    clip_id: str
    frame: int
    small: NDArray[np.float32]
    bits: NDArray[np.float32]


@dataclass(frozen=True)
class Duplicate:
    """One picture in two splits, as (split, clip, frame) each.

    Args:
        first: Where it is.
        second: Where it is too.
        grey_levels: Mean difference of the small copies.
    """

    first: tuple[str, str, int]
    second: tuple[str, str, int]
    grey_levels: float


def scenes_in_two_splits(splits: Mapping[str, Sequence[Clip]]) -> list[str]:
    """Scenes of which clips are in more than one split, in alphabetical order."""
    scenes = [{clip.scene_id for clip in clips} for clips in splits.values()]
    return sorted({scene for one, other in combinations(scenes, 2) for scene in one & other})


def print_frames(
    splits: Mapping[str, Sequence[Clip]],
    frames_per_clip: int = 4,
    progress: Callable[[int], None] = lambda _: None,
) -> list[FramePrint]:
    """Prints of a few pictures of every clip, spread over it; plain pictures are left out.

    Args:
        splits: Clips of each split.
        frames_per_clip: Pictures to decode of each clip.
        progress: Told how many clips are done.

    Raises:
        DecodeError: If a picture cannot be decoded.
    """
    prints = []
    clips = [(split, clip) for split, of_split in splits.items() for clip in of_split]
    for done, (split, clip) in enumerate(clips, 1):
        wanted = sorted(set(np.linspace(0, clip.num_frames - 1, frames_per_clip).round().astype(int).tolist()))
        for frame, picture in zip(wanted, read_frames(clip, wanted), strict=True):
            small = small_copy(picture)
            if small.std() >= MIN_CONTRAST:
                prints.append(FramePrint(split, clip.clip_id, frame, small, shape_bits(small)))
        progress(done)
    return prints


def shape_bits(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """Hash [63], -1 or +1, of a small copy [3, 32, 32]: which of its low cosine terms exceed their median.

    The constant term is left out, so that a brighter copy has the same hash.
    """
    place = (np.arange(SMALL_SIDE) + 0.5) / SMALL_SIDE
    cosines = np.cos(np.pi * np.arange(_TERMS)[:, None] * place)
    terms = (cosines @ small.mean(0) @ cosines.T).ravel()[1:]
    return np.where(terms > np.median(terms), 1, -1).astype(np.float32)


def duplicates_across_splits(prints: Sequence[FramePrint]) -> list[Duplicate]:
    """All pairs of prints from two different splits that show the same picture."""
    by_split: dict[str, list[FramePrint]] = {}
    for one in prints:
        by_split.setdefault(one.split, []).append(one)
    found = []
    for ours, theirs in combinations(by_split.values(), 2):
        for i, j in _alike_in_shape(ours, theirs):
            difference = float(np.abs(ours[i].small - theirs[j].small).mean())
            if difference <= MAX_GREY_LEVELS:
                found.append(Duplicate(_address(ours[i]), _address(theirs[j]), difference))
    return found


def _alike_in_shape(ours: Sequence[FramePrint], theirs: Sequence[FramePrint]) -> list[tuple[int, int]]:
    """Pairs whose hashes differ in few bits: a product of -1 and +1 is the bits that agree less those that do not."""
    agreement = torch.from_numpy(np.stack([one.bits for one in ours])) @ torch.from_numpy(
        np.stack([one.bits for one in theirs]).T
    )
    num_bits = len(ours[0].bits)
    return [(int(i), int(j)) for i, j in torch.nonzero(agreement >= num_bits - 2 * MAX_HASH_BITS).tolist()]


def _address(one: FramePrint) -> tuple[str, str, int]:
    return one.split, one.clip_id, one.frame
