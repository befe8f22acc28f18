"""Images that say which pixels are an object's, written beside clips in the native format."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from remot.data.media.images import images_of
from remot.errors import AnnotationError
from remot.structures import Clip, Media


def write_masks(labels: NDArray[np.uint8], folder: Path) -> Path:
    """Write label images as grey PNG files that are the same, byte for byte, for the same labels.

    Args:
        labels: [N, H, W], in each pixel the ``mask_value`` of its object.
        folder: Folder to write to, created if missing.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(labels):
        Image.fromarray(image).save(folder / f"{index:05d}.png", optimize=False)
    return folder


@dataclass(eq=False)
class MaskFolders:
    """Where the masks of a clip's objects lie, seen from the annotation file; objects may share images.

    Args:
        clip: The clip that is written.
        folder: Where its annotation file is written.
    """

    clip: Clip
    folder: Path
    _copied: dict[Path | tuple[Path, ...], str] = field(default_factory=dict, init=False)

    def place(self, masks: Path | tuple[Path, ...]) -> str | list[str]:
        """Path of the images from the folder, copied into it first if they lie elsewhere.

        Raises:
            AnnotationError: If there is no image for each frame.
        """
        paths = masks if isinstance(masks, tuple) else (masks,)
        if all(path.resolve().is_relative_to(self.folder.resolve()) for path in paths):
            named = relative_to(masks, self.folder)
            assert named is not None
            return named
        if masks not in self._copied:
            number = f"-{len(self._copied) + 1}" if self._copied else ""
            self._copied[masks] = f"{self.clip.clip_id}-masks{number}"
            images = masks if isinstance(masks, tuple) else images_of(masks, 0)
            num_frames, folder = self.clip.num_frames, self.folder / self._copied[masks]
            if len(images) < num_frames:
                msg = f"clip {self.clip.clip_id}: {len(images)} masks for {num_frames} frames, give one for each"
                raise AnnotationError(msg, reason="unsynchronised")
            folder.mkdir(exist_ok=True)
            for index, image in enumerate(images[:num_frames]):
                shutil.copyfile(image, folder / f"{index:05d}{image.suffix}")
        return self._copied[masks]


def relative_to(media: Media, folder: Path) -> str | list[str] | None:
    """Path from ``folder``, with forward slashes, of files."""
    if isinstance(media, Path):
        return Path(os.path.relpath(media.resolve(), folder.resolve())).as_posix()
    if isinstance(media, tuple):
        return [Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix() for path in media]
    return None
