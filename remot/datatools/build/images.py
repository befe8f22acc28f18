"""The images of built prompts: their names, and each of them decoded and written once."""

import dataclasses
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from remot.data.media import each_frame
from remot.data.media.transforms import show
from remot.data.tasks.base import ImageSize, TaskPlan
from remot.structures import Clip, ImageTransform
from remot.viewer.images import as_image

FRAMES = "frames"
#: Longest name of a folder of images before its hash.
_MAX_NAME = 100
#: Clip ids that are names of folders everywhere, whatever the case of letters counts for; others end in a hash.
_PLAIN_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
#: Names that mean devices on Windows.
_DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")


def image_name(clip_id: str, index: int, transform: ImageTransform | None, prompt_id: str) -> str:
    """Such as ``frames/kitchen-7/000012.png``; a transformed image has a hash of its transform behind the number.

    Transforms that are records of equal values share a name; others are marked by the prompt that shows them.
    """
    marked = ""
    if transform is not None:
        marked = f"-{short_hash(repr(transform) if dataclasses.is_dataclass(transform) else prompt_id)}"
    return f"{FRAMES}/{folder_name(clip_id)}/{index:06d}{marked}.png"


def folder_name(clip_id: str) -> str:
    """A name of a folder that no other clip has, on any file system: ``kitchen-7``, ``Kitchen%207~0b5e8f9c2a41``."""
    if _PLAIN_ID.fullmatch(clip_id) and not _DEVICES.fullmatch(clip_id):
        return clip_id
    return f"{quote(clip_id, safe='').replace('.', '%2E')[:_MAX_NAME]}~{short_hash(clip_id)}"


def short_hash(text: str) -> str:
    """Twelve digits that no other text is likely to have."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, eq=False)
class PlannedPrompt:
    """A prompt before its images are written."""

    clip: Clip
    plan: TaskPlan
    prompt_id: str

    @property
    def images(self) -> dict[str, tuple[int, ImageTransform | None]]:
        """For each path of an image, relative to the folder, its frame and transform, in the order shown."""
        places = zip(self.plan.frame_indices, self.plan.frame_transforms, strict=True)
        return {image_name(self.clip.clip_id, *place, self.prompt_id): place for place in places}


@dataclass
class ImageFolder:
    """Decodes the frames that are new, and writes each image of them once below ``root``, as PNG without loss."""

    root: Path
    _written: set[str] = field(default_factory=set)
    _sizes: dict[tuple[str, int], ImageSize] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        """How many have been written."""
        return len(self._written)

    def decoded_size(self, planned: PlannedPrompt) -> ImageSize:
        """Width and height of the first frame of an added prompt, before its transform."""
        return self._sizes[planned.clip.clip_id, planned.plan.frame_indices[0]]

    def add(self, planned: Sequence[PlannedPrompt], on_progress: Callable[[int], None] = lambda _: None) -> None:
        """Write the images that are new, clip by clip, so that a video is not opened for each prompt.

        ``on_progress`` is called after each clip with the number of prompts that are done.

        Raises:
            DecodeError: If a frame cannot be decoded.
        """
        by_clip: dict[str, list[PlannedPrompt]] = defaultdict(list)
        for one in planned:
            by_clip[one.clip.clip_id].append(one)
        done = 0
        for of_clip in by_clip.values():
            self._write_clip(of_clip[0].clip, {name: place for one in of_clip for name, place in one.images.items()})
            done += len(of_clip)
            on_progress(done)

    def _write_clip(self, clip: Clip, places: dict[str, tuple[int, ImageTransform | None]]) -> None:
        by_frame: dict[int, list[str]] = defaultdict(list)
        for name in sorted(places.keys() - self._written):
            by_frame[places[name][0]].append(name)
        frames = sorted(by_frame)
        for frame, decoded in zip(frames, each_frame(clip, frames), strict=True):
            self._sizes[clip.clip_id, frame] = decoded.shape[2], decoded.shape[1]
            for name in by_frame[frame]:
                path = self.root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                as_image(show(decoded, places[name][1], clip, frame)).save(path, compress_level=1)
                self._written.add(name)
