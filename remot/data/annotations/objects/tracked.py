"""What readers of tracking data sets share: several clips of one sequence, images and small files beside them."""

import configparser
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import AnnotationReader, ClipSource, OnMissingImage, media_inside, read_text
from remot.data.annotations.objects.notices import Notices
from remot.data.media import probe, video_named
from remot.data.media.images import IMAGE_SUFFIXES, size_of_image
from remot.data.media.video.probe import size_of_video
from remot.errors import AnnotationError, DecodeError
from remot.files import files_in, find_files, gap_in_numbers, in_number_order
from remot.structures import Clip, FloatArray

#: Names that become part of a path.
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class TrackedReader(AnnotationReader):
    """Reads formats in which one annotated sequence gives a clip for each of several tracks.

    A format needs a pattern for its sequences and a way to read all clips of one of them.

    Args:
        on_missing_image: What to do where there are fewer images than frames, each named by its frame's number:
            ``raise`` calls the sequence bad, ``skip`` leaves those frames out and logs how many there are.
    """

    #: Glob pattern below the root of the files that each describe one sequence.
    pattern: ClassVar[str]

    def __init__(self, on_missing_image: OnMissingImage = "raise") -> None:
        self.on_missing_image: OnMissingImage = on_missing_image
        self._last: tuple[Path, dict[str, Clip]] | None = None
        self._notices = Notices()

    @abstractmethod
    def read_sequence(self, file: Path, root: Path) -> dict[str, Clip]:
        """All clips of one sequence by key; none to leave the sequence out, after a log message that says why.

        Args:
            file: What the pattern found.
            root: The resolved folder that every media path must stay in.

        Raises:
            AnnotationError: If the annotation is malformed or does not fit its media.
        """

    def notice(self, files: list[Path]) -> str:  # noqa: ARG002 - most formats have none
        """What is to be logged about all sequences together, such as how many cameras move; empty for nothing."""
        return ""

    def files(self, root: Path) -> list[Path]:
        """The files that each describe one sequence, in order."""
        return find_files(root, self.pattern)

    def sources(self, root: Path) -> list[ClipSource]:
        """Each clip of each sequence; a sequence that cannot be read or is left out stands for itself.

        Raises:
            AnnotationError: If there is no sequence.
        """
        files = self.files(root)
        if not files:
            msg = f"{root}: no {self.pattern} found, give the folder that holds the sequences"
            raise AnnotationError(msg, reason="missing")
        self._notices.warn_once(self.notice(files))
        return [ClipSource(file, key) for file in files for key in self._keys(file, root.resolve())]

    def read_source(self, source: ClipSource, root: Path) -> Clip | None:
        """One clip of a sequence."""
        return self._clips(source.file, root).get(source.key)

    def _keys(self, file: Path, root: Path) -> list[str]:
        try:
            return list(self._clips(file, root)) or [""]
        except AnnotationError:
            return [""]  # read_source names the fault, so that one bad sequence can be skipped

    def _clips(self, file: Path, root: Path) -> dict[str, Clip]:
        if self._last is None or self._last[0] != file:
            self._last = None
            self._last = file, self.read_sequence(file, root)
        return self._last[1]


def images_in(file: Path, root: Path, folder: str) -> tuple[Path, ...]:
    """The images of ``folder`` beside ``file`` in the order of their numbers.

    Raises:
        AnnotationError: If there is none, the order of two is not clear, or one leads outside ``root``.
    """
    directory = media_inside(file, root, folder)
    if not directory.is_dir():
        msg = f"{file}: {folder!r:.80} is no folder of images, put the images there"
        raise AnnotationError(msg, reason="missing media")
    names = (path.name for path in files_in(directory, IMAGE_SUFFIXES))
    found = [directory / name for name in in_number_order(str(directory), names, AnnotationError)]
    if not found:
        msg = f"{file}: {folder!r:.80} holds no image, put the images there"
        raise AnnotationError(msg, reason="missing media")
    for path in found:
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            msg = f"{file}: image {path.name!r:.80} leads outside {root}, keep media below the data folder"
            raise AnnotationError(msg, reason="outside root")
    return tuple(found)


def frames_shown(
    where: str, images: Sequence[Path], num_frames: int, first: int, on_missing_image: str, notices: Notices
) -> NDArray[np.int64]:
    """[K] frames, from 0, that K images show: all of a sequence, or by the numbers in their names.

    Args:
        where: The annotation, for messages.
        images: In number order.
        num_frames: Of the sequence.
        first: Number of the first frame's image.
        on_missing_image: ``raise`` or ``skip``, see :class:`~remot.data.annotations.cameras.sequences.SequenceReader`.
        notices: Reports how many are left out.

    Raises:
        AnnotationError: If images are missing and are not to be left out, or there are others than those frames'.
    """
    if len(images) == num_frames:
        return np.arange(num_frames)
    fault = f"{where}: {counted(images)} for {num_frames} frames"
    names = [path.stem for path in images]
    numbers = np.array([int(name) - first if name.isdecimal() and len(name) < 10 else -1 for name in names])
    if len(images) > num_frames or numbers.min() < 0 or numbers.max() >= num_frames:
        msg = f"{fault}, fetch them again"
        raise AnnotationError(msg, reason="unsynchronised")
    if on_missing_image == "raise":
        msg = f"{fault}, fetch them again, or set on_missing_image to skip to leave out the frames without one"
        raise AnnotationError(msg, reason="unsynchronised")
    notices.warn_once(f"{fault}; {num_frames - len(images)} frames without one are left out")
    return numbers


def counted(images: Sequence[Path]) -> str:
    """How many images there are, and where their numbers skip one: ``11 images (none between 4.jpg and 6.jpg)``."""
    gap = gap_in_numbers([path.name for path in images])
    return f"{len(images)} images" + (gap and f" ({gap})")


def read_ini_section(file: Path, section: str) -> Mapping[str, str]:
    """One section of an INI file, keys in lower case.

    Raises:
        AnnotationError: If the file is missing or malformed, or has no such section.
    """
    parser = configparser.ConfigParser(interpolation=None)
    if not file.exists():
        msg = f"{file}: does not exist, fetch the sequence again"
        raise AnnotationError(msg, reason="missing")
    try:
        parser.read_string(read_text(file))
        return dict(parser[section])
    except (configparser.Error, KeyError) as error:
        msg = f"{file}: no INI file with a section [{section}] ({' '.join(str(error).split())[:120]})"
        raise AnnotationError(msg) from error


def ini_number(file: Path, values: Mapping[str, str], key: str, largest: float = 1e6) -> float:
    """The number in (0, largest] under ``key``, which may carry a unit as in ``10Hz``.

    Raises:
        AnnotationError: If it is missing or no such number.
    """
    text = values.get(key.lower(), "").strip().removesuffix("Hz")
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number <= largest:
        msg = f"{file}: {key} is {text[:40]!r}, expected a number above 0 and at most {largest:g}"
        raise AnnotationError(msg)
    return number


def require_resolution(where: str, media: Path | Sequence[Path], stated: tuple[int, int], source: str) -> None:
    """Refuse media of another size than that which boxes in pixels belong to; an unreadable image is left to others.

    Args:
        where: The clip or its annotation, for the error.
        media: A video, or images of which the first is looked at.
        stated: Width and height in pixels.
        source: File and key that state it.

    Raises:
        AnnotationError: With both sizes.
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


def video_beside(file: Path, root: Path, name: str) -> Path | None:
    """The video ``<name>.mp4``, ``.avi``… beside ``file`` or in a folder beside it; None if there is none.

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
    return media_inside(file, root, str(found.relative_to(file.parent))) if found.exists() else None


def times_of(file: Path, video: Path | None) -> FloatArray:
    """[N] times of the images of ``video``, or only 0 if there is none.

    Raises:
        AnnotationError: If the video cannot be read.
    """
    if video is None:
        return np.zeros(1)
    try:
        return probe(video).pts_seconds
    except DecodeError as error:
        msg = f"{file}: video {video.name} cannot be read, fetch it again ({error})"
        raise AnnotationError(msg, reason="media") from error
