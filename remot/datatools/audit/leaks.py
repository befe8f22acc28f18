"""Images that stand in two splits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d

from remot.data.media import read_frames
from remot.data.media.warps import SMALL_SIDE, small_copy
from remot.structures import Clip

#: Cosine terms kept along each side for the hash.
_TERMS = 8
#: Bits of 63 in which the hashes of two copies may differ. Unrelated images differ in about 31; this only saves the
#: comparison of colours and is therefore wide.
MAX_HASH_BITS = 12
#: Mean difference in grey levels of 255 up to which two small copies show the same view. On the embedded clips an image
#: and its copy at three quarters of the size, coded with visible loss (crf 30), differ by 5.6 at most, and the two most
#: alike of different scenes, over plain backgrounds, by 14.8. Images of one fixed camera are often below it, too.
MAX_GREY_LEVELS = 6.0
#: Difference within any 3 x 3 of the 32 x 32 places up to which images of one view are the same image. Copies as above
#: differ by 26 at most there. Two seconds of a robot arm before a fixed camera (BridgeData, 64 x 64 pixels) make 70 or
#: more in half of the pairs of images, and so do half of the pairs within an embedded clip.
MAX_LOCAL_GREY_LEVELS = 30.0
#: Standard deviation in grey levels below which an image is plain, such as black before a fade: it shows nothing that
#: could be remembered, and all such images are alike.
MIN_CONTRAST = 3.0


@dataclass(frozen=True)
class FramePrint:
    """What is kept of an image: a copy [3, 32, 32] in grey levels of 255 and a hash [63], -1 or +1, of its shape."""

    split: str
    clip_id: str
    frame: int
    small: NDArray[np.float32]
    bits: NDArray[np.float32]

    @property
    def clip(self) -> tuple[str, str]:
        """Split and clip."""
        return self.split, self.clip_id

    @property
    def address(self) -> tuple[str, str, int]:
        """Split, clip and frame."""
        return self.split, self.clip_id, self.frame


def print_frames(
    splits: Mapping[str, Sequence[Clip]], frames_per_clip: int = 4, progress: Callable[[int], None] = lambda _: None
) -> list[FramePrint]:
    """Prints of a few images of every clip, spread over it; plain images are left out.

    ``progress`` is called with the number of clips done.

    Raises:
        DecodeError: If an image cannot be decoded.
    """
    prints = []
    clips = [(split, clip) for split, of_split in splits.items() for clip in of_split]
    for done, (split, clip) in enumerate(clips, 1):
        wanted = sorted(set(np.linspace(0, clip.num_frames - 1, frames_per_clip).round().astype(int).tolist()))
        for frame, image in zip(wanted, read_frames(clip, wanted), strict=True):
            small = small_copy(image)
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


@dataclass(frozen=True)
class SimilarPair:
    """Two prints from different splits that show the same view, and whether also the same image."""

    first: FramePrint
    second: FramePrint
    grey_levels: float
    is_same: bool


def similar_pairs(prints: Sequence[FramePrint]) -> list[SimilarPair]:
    """All pairs of prints from two different splits that show the same view, the same image or not."""
    by_split: dict[str, list[FramePrint]] = {}
    for one in prints:
        by_split.setdefault(one.split, []).append(one)
    found = []
    for ours, theirs in combinations(by_split.values(), 2):
        small = np.stack([one.small for one in theirs])
        for i, candidates in _alike_in_shape(ours, theirs):
            differences = np.abs(ours[i].small - small[candidates])  # [J, 3, 32, 32]
            means = differences.mean(axis=(1, 2, 3))
            near = np.flatnonzero(means <= MAX_GREY_LEVELS)
            is_same = local_difference(differences[near]) <= MAX_LOCAL_GREY_LEVELS
            found += [
                SimilarPair(ours[i], theirs[candidates[j]], float(means[j]), bool(same))
                for j, same in zip(near, is_same, strict=True)
            ]
    return found


def local_difference(differences: NDArray[np.float32]) -> NDArray[np.float32]:
    """[J] largest mean over 3 x 3 places and three channels of absolute ``differences`` [J, 3, 32, 32]."""
    windows = avg_pool2d(torch.from_numpy(differences).mean(1, keepdim=True), kernel_size=3, stride=1)
    largest: NDArray[np.float32] = windows.amax(dim=(1, 2, 3)).numpy()
    return largest


def _alike_in_shape(ours: Sequence[FramePrint], theirs: Sequence[FramePrint]) -> Iterator[tuple[int, list[int]]]:
    """For each of ours those of theirs whose hashes differ in few bits.

    A product of -1 and +1 is the number of bits that agree less those that do not.
    """
    others = torch.from_numpy(np.stack([one.bits for one in theirs]).T)
    for i, one in enumerate(ours):
        agreement = torch.from_numpy(one.bits) @ others
        candidates = torch.nonzero(agreement >= len(one.bits) - 2 * MAX_HASH_BITS).flatten().tolist()
        if candidates:
            yield i, candidates
