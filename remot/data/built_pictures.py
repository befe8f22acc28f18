"""The pictures of built prompts: their names, and each of them decoded and written once."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote

import numpy as np
from PIL import Image
from torch import Tensor

from remot.data.transforms import show
from remot.data.video import read_frames
from remot.structures import Clip, PictureTransform, Triplet

FRAMES = "frames"
#: Longest name of a folder of pictures before its hash.
_MAX_NAME = 100
#: Clip ids that are names of folders everywhere, whatever the case of letters counts for; others end in a hash.
_PLAIN_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
#: Names that mean devices on Windows.
_DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")
#: Pictures of a clip that are decoded at once.
_AT_ONCE = 32


def picture_name(clip_id: str, index: int, transform: PictureTransform | None) -> str:
    """Such as ``frames/kitchen-7/000012.png``; a transformed picture has a hash of its transform behind the number."""
    marked = "" if transform is None else f"-{short_hash(repr(transform))}"
    return f"{FRAMES}/{folder_name(clip_id)}/{index:06d}{marked}.png"


def folder_name(clip_id: str) -> str:
    """A name of a folder that no other clip has, on any file system: ``kitchen-7``, ``Kitchen%207~0b5e8f9c2a41``."""
    if _PLAIN_ID.fullmatch(clip_id) and not _DEVICES.fullmatch(clip_id):
        return clip_id
    return f"{quote(clip_id, safe='').replace('.', '%2E')[:_MAX_NAME]}~{short_hash(clip_id)}"


def short_hash(text: str) -> str:
    """Twelve digits that no other text is likely to have."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass
class PictureWriter:
    """Decodes the frames that are new, and writes each picture of them once.

    Args:
        root: Folder of the built prompts.
    """

    root: Path
    _written: set[str] = field(default_factory=set)
    _sizes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def beside(cls, other: "PictureWriter") -> Self:
        """A writer to the same folder, which writes nothing again that ``other`` has written, and the other way."""
        return cls(other.root, other._written, other._sizes)

    @property
    def num_pictures(self) -> int:
        """How many have been written."""
        return len(self._written)

    def new_frames(self, clip: Clip, frame_of: Mapping[str, int]) -> Iterator[tuple[int, Tensor, list[str]]]:
        """Frames of which a picture is missing: number, uint8 [3, H, W], and the names of these pictures.

        Args:
            clip: The source.
            frame_of: For each name of a picture the frame it is made of.

        Raises:
            DecodeError: If a frame cannot be decoded.
        """
        by_frame: dict[int, list[str]] = defaultdict(list)
        for name in sorted(frame_of.keys() - self._written):
            by_frame[frame_of[name]].append(name)
        frames = sorted(by_frame)
        for start in range(0, len(frames), _AT_ONCE):
            part = frames[start : start + _AT_ONCE]
            for frame, picture in zip(part, read_frames(clip, part), strict=True):
                self._sizes[clip.clip_id, frame] = picture.shape[2], picture.shape[1]
                yield frame, picture, by_frame[frame]

    def write(self, name: str, picture: Tensor) -> None:
        """Write a picture, uint8 [3, H, W], as a PNG."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(picture.permute(1, 2, 0).numpy())).save(path, compress_level=1)
        self._written.add(name)


class PictureFolder(PictureWriter):
    """Writes the pictures of triplets."""

    def decoded_size(self, triplet: Triplet) -> tuple[int, int]:
        """Width and height of the first picture of an added triplet, before its transform."""
        return self._sizes[triplet.clip.clip_id, triplet.frame_indices[0]]

    def add(self, shown: Iterable[tuple[Triplet, int]], progress: Callable[[int], None] = lambda _: None) -> None:
        """Write the pictures that are new, clip by clip, so that a video is not opened for each prompt.

        Args:
            shown: Triplets and how many of their pictures are shown.
            progress: Told after each clip how many of the triplets are done.

        Raises:
            DecodeError: If a picture cannot be decoded.
        """
        by_clip: dict[str, list[tuple[Triplet, int]]] = defaultdict(list)
        for triplet, num_pictures in shown:
            by_clip[triplet.clip.clip_id].append((triplet, num_pictures))
        done = 0
        for of_clip in by_clip.values():
            wanted = {
                place
                for triplet, num_pictures in of_clip
                for place in zip(triplet.frame_indices[:num_pictures], triplet.transforms, strict=False)
            }
            self._write_clip(of_clip[0][0].clip, wanted)
            done += len(of_clip)
            progress(done)

    def _write_clip(self, clip: Clip, wanted: Iterable[tuple[int, PictureTransform | None]]) -> None:
        names = {picture_name(clip.clip_id, *place): place for place in wanted}
        for frame, picture, new in self.new_frames(clip, {name: place[0] for name, place in names.items()}):
            for name in new:
                self.write(name, show(picture, names[name][1], clip, frame))


def names_of(triplet: Triplet, num_pictures: int) -> Sequence[str]:
    """Paths of the pictures shown of a triplet, relative to the folder of the built prompts."""
    places = zip(triplet.frame_indices[:num_pictures], triplet.transforms, strict=False)
    return [picture_name(triplet.clip.clip_id, *place) for place in places]
