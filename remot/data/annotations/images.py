"""Images and videos of recordings: found beside the annotation, counted, and held against what it says of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import AnnotationReader, media_inside
from remot.data.media import VideoInfo, probe, video_named
from remot.data.media.images import IMAGE_SUFFIXES, size_of_image
from remot.data.media.video.probe import size_of_video
from remot.errors import AnnotationError, DecodeError
from remot.files import files_in, gap_in_numbers, in_number_order
from remot.structures import FloatArray

#: What to do where an annotation is about an image that does not exist.
OnMissingImage = Literal["raise", "skip"]
#: Names that become part of a path.
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(eq=False, kw_only=True)
class ImageReader(AnnotationReader):
    """Reads formats whose images are files of their own, some of which may be missing.

    Args:
        on_missing_image: What to do where an annotation is about an image that does not exist: ``raise`` calls the
            recording bad, ``skip`` leaves the frame out and logs how many there are. Times do not move.
    """

    on_missing_image: OnMissingImage = "raise"

    def listed_images(
        self, where: Path, folder: Path, root: Path, names: Sequence[str]
    ) -> tuple[tuple[Path, ...], NDArray[np.int64]]:
        """The images that an annotation lists by name.

        Args:
            where: The annotation, for messages.
            folder: What the names are relative to.
            root: The resolved folder that images must stay in.
            names: N names.

        Returns:
            The K images to use, and their positions [K] among the names: all of them, or those that exist.

        Raises:
            AnnotationError: If one leads outside ``root``; if one does not exist and is not to be left out; or if none
                exists.
        """
        found = [_existing(folder, root, name) for name in names]
        missing = [name for name, image in zip(names, found, strict=True) if image is None]
        if missing:
            fault = f"{where}: media {missing[0]!r:.80} {_why_missing(folder, missing[0])} in {folder}; "
            count = f"{len(missing)} of {len(names)} listed images are missing"
            if self.on_missing_image == "raise" or len(missing) == len(names):
                hint = "" if len(missing) == len(names) else ", or set on_missing_image to skip to leave them out"
                msg = f"{fault}{count}, fetch them again{hint}"
                raise AnnotationError(msg, reason="missing media")
            self._notices.warn_once(f"{fault}{count} and are left out")
        kept = np.array([k for k, image in enumerate(found) if image is not None], dtype=np.int64)
        return tuple(image for image in found if image is not None), kept

    def numbered_images(
        self, where: Path, images: Sequence[Path], num_frames: int, first: int, rows: str = "frames"
    ) -> NDArray[np.int64]:
        """[K] frames, from 0, that K images show: all of a recording, or by the numbers in their names.

        Args:
            where: The annotation, for messages.
            images: In number order.
            num_frames: Of the recording.
            first: Number of the first frame's image.
            rows: What the annotation has one of for each frame, such as ``rows in oxts``.

        Raises:
            AnnotationError: If images are missing and are not to be left out, or there are others than those frames'.
        """
        if len(images) == num_frames:
            return np.arange(num_frames)
        fault = f"{where}: {num_frames} {rows} but {counted(images)} in {images[0].parent}"
        numbers = np.array([number_of(image) - first for image in images])
        can_skip = len(images) < num_frames and numbers.min() >= 0 and numbers.max() < num_frames
        if self.on_missing_image == "raise" or not can_skip:
            hint = ", or set on_missing_image to skip to leave out the frames without one" if can_skip else ""
            msg = f"{fault}, fetch them again{hint}"
            raise AnnotationError(msg, reason="missing media" if can_skip else "unsynchronised")
        self._notices.warn_once(f"{fault}; {num_frames - len(images)} frames without one are left out")
        return numbers


def _existing(folder: Path, root: Path, name: str) -> Path | None:
    """One image, None if it does not exist."""
    try:
        return media_inside(folder / "annotation", root, name)  # media are looked up beside a file
    except AnnotationError as error:
        if error.reason != "missing media":
            raise
        return None


def _why_missing(folder: Path, name: str) -> str:
    """What is wrong with a name of an image that was not found."""
    try:
        (folder / name).stat()
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except (OSError, ValueError):
        return "is no valid path"
    return "cannot be reached"


def number_of(image: Path) -> int:
    """The number that is an image's whole name, else -1."""
    return int(image.stem) if image.stem.isdecimal() and len(image.stem) < 10 else -1


def image_names(folder: Path) -> list[str]:
    """Names of the images in ``folder`` in number order; empty if there is no such folder.

    Raises:
        AnnotationError: If the order of two of them is not clear.
    """
    names = (path.name for path in files_in(folder, IMAGE_SUFFIXES)) if folder.is_dir() else ()
    return in_number_order(str(folder), names, AnnotationError)


def images_in(file: Path, root: Path, folder: str) -> tuple[Path, ...]:
    """The images of ``folder`` beside ``file`` in the order of their numbers.

    Raises:
        AnnotationError: If there is none, the order of two is not clear, or one leads outside ``root``.
    """
    directory = media_inside(file, root, folder)
    if not directory.is_dir():
        msg = f"{file}: {folder!r:.80} is no folder of images, put the images there"
        raise AnnotationError(msg, reason="missing media")
    found = [directory / name for name in image_names(directory)]
    if not found:
        msg = f"{file}: {folder!r:.80} holds no image, put the images there"
        raise AnnotationError(msg, reason="missing media")
    for path in found:
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            msg = f"{file}: image {path.name!r:.80} leads outside {root}, keep media below the data folder"
            raise AnnotationError(msg, reason="outside root")
    return tuple(found)


def counted(images: Sequence[Path]) -> str:
    """How many images there are, and where their numbers skip one: ``11 images (none between 4.jpg and 6.jpg)``."""
    gap = gap_in_numbers([path.name for path in images])
    return f"{len(images)} images" + (gap and f" ({gap})")


def require_resolution(where: str, media: Path | Sequence[Path], stated: tuple[int, int], source: str) -> None:
    """Refuse media of another size than that which boxes in pixels belong to; an unreadable image is left to others.

    Args:
        where: The clip or its annotation, for the error.
        media: A video, or images of which the first is looked at.
        stated: Width and height in pixels.
        source: File and key that state it.
    """
    try:
        found = size_of_video(media) if isinstance(media, Path) else size_of_image(media[0])
    except DecodeError:
        return
    if found != stated:
        name = (media if isinstance(media, Path) else media[0]).name
        msg = (
            f"{where}: {name} has {found[0]}x{found[1]} pixels, but the boxes belong to {stated[0]}x{stated[1]} "
            f"({source}); fetch the media in that size, or scale the boxes and correct that file"
        )
        raise AnnotationError(msg, reason="unsynchronised")


def video_beside(file: Path, root: Path, name: str) -> tuple[Path | None, FloatArray]:
    """The video ``<name>.mp4``, ``.avi``… beside ``file`` or in a folder beside it, and the times [N] of its images.

    Without one these are None and the single time 0.

    Args:
        file: The annotation file.
        root: The resolved folder that the video must stay in.
        name: Name of the clip, as an annotation has it.

    Raises:
        AnnotationError: If the name is no plain file name, or the video leads outside ``root``.
    """
    if not SAFE_NAME.fullmatch(name):
        msg = f"{file}: {name!r:.80} cannot name a clip, use letters, digits, dots, hyphens and underscores"
        raise AnnotationError(msg)
    found = video_named(file.parent, name)
    if not found.exists():
        folders = sorted(path for path in file.parent.iterdir() if path.is_dir())
        found = next((path for path in (video_named(folder, name) for folder in folders) if path.exists()), found)
    if not found.exists():
        return None, np.zeros(1)
    video = media_inside(file, root, str(found.relative_to(file.parent)))
    return video, probed(file, video).pts_seconds


def probed(where: object, video: Path, num_rows: int | None = None, rows: str = "rows") -> VideoInfo:
    """What a video says about itself.

    Args:
        where: The annotation, for errors.
        video: The video.
        num_rows: Frames it must have; None allows any number.
        rows: What the annotation has one of for each frame.

    Raises:
        AnnotationError: If it cannot be read, or has another number of frames.
    """
    try:
        found = probe(video)
    except DecodeError as error:
        msg = f"{where}: its video {video.name} cannot be read, fetch it again ({error})"
        raise AnnotationError(msg, reason="media") from error
    if num_rows is not None and found.num_frames != num_rows:
        msg = f"{where}: {num_rows} {rows} but {found.num_frames} images in {video.name}; there must be one for each"
        raise AnnotationError(msg, reason="unsynchronised")
    return found
