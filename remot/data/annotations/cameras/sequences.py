"""Readers of whole recordings, which may be too long for one clip."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import AnnotationReader, ClipSource, OnMissingImage
from remot.data.annotations.cameras.cutting import cut, num_parts
from remot.data.annotations.cameras.folders import images_at
from remot.data.annotations.objects.notices import Notices
from remot.errors import AnnotationError, ConfigError
from remot.structures import Clip

#: Fewest frames a part may have: a question needs three, and parts of one recording differ by one at most.
MIN_CLIP_FRAMES = 4


@dataclass(frozen=True)
class PartSource(ClipSource):
    """One of several consecutive clips of a recording.

    Args:
        part: From 0.
        parts: Number of clips of the recording.
    """

    part: int = 0
    parts: int = 1

    def __str__(self) -> str:
        return f"{super().__str__()}, part {self.part}"


class SequenceReader(AnnotationReader):
    """Reads formats with one long recording for each clip, and cuts long ones on request.

    A format needs a way to find its recordings and a way to read one of them whole.

    Args:
        max_clip_frames: Recordings with more frames are cut into consecutive clips of nearly equal length, called
            ``<id>-0000`` and so on, of the same scene. A clip is thinned to ``data.max_candidate_frames`` when
            questions are made of it, which leaves no short-range pairs in an uncut one. None never cuts. Cutting
            reads each recording twice, its images not at all.
        on_missing_image: What to do where an annotation lists an image that does not exist: ``raise`` calls the
            recording bad, ``skip`` leaves the frame out and logs how many there are. Times do not move.

    Raises:
        ConfigError: If it leaves too few frames for a question.
    """

    def __init__(self, max_clip_frames: int | None = None, on_missing_image: OnMissingImage = "raise") -> None:
        if max_clip_frames is not None and max_clip_frames < MIN_CLIP_FRAMES:
            msg = f"max_clip_frames is {max_clip_frames}; give at least {MIN_CLIP_FRAMES}, or null not to cut"
            raise ConfigError(msg)
        self.max_clip_frames = max_clip_frames
        self.on_missing_image: OnMissingImage = on_missing_image
        self.notices = Notices()
        self._last: tuple[ClipSource, Clip | None] | None = None

    @abstractmethod
    def sequences(self, root: Path) -> list[ClipSource]:
        """Every recording below ``root`` in a stable order.

        Raises:
            AnnotationError: If there is none, or the list itself cannot be read.
        """

    @abstractmethod
    def read_sequence(self, sequence: ClipSource, root: Path) -> Clip | None:
        """One whole recording, or None to leave it out.

        Args:
            sequence: One of :meth:`sequences`.
            root: The resolved folder that every media path must stay in.

        Raises:
            AnnotationError: If it is malformed or does not fit its media.
        """

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
            self.notices.warn_once(f"{fault}{count} and are left out")
        kept = np.array([k for k, image in enumerate(found) if image is not None], dtype=np.int64)
        return tuple(image for image in found if image is not None), kept

    def sources(self, root: Path) -> list[ClipSource]:
        """Every clip below ``root``: the recordings, or their parts.

        Raises:
            AnnotationError: If there is none.
        """
        found = self.sequences(root)
        if self.max_clip_frames is None:
            return found
        return [part for sequence in found for part in self._parts(sequence, root.resolve())]

    def read_source(self, source: ClipSource, root: Path) -> Clip | None:
        """One recording or part of one.

        Raises:
            AnnotationError: Naming the file and what does not fit.
        """
        if not isinstance(source, PartSource):
            return self._read_named(source, root)
        sequence = ClipSource(source.file, source.key)
        if self._last is None or self._last[0] != sequence or source.part == 0:
            self._last = (sequence, self._read_named(sequence, root))
        clip = self._last[1]
        return None if clip is None else cut(clip, source.part, source.parts)

    def _parts(self, sequence: ClipSource, root: Path) -> list[ClipSource]:
        try:
            clip = self._read_named(sequence, root)
        except AnnotationError:
            return [sequence]  # reading it reports what is wrong
        parts = 1 if clip is None else num_parts(clip.num_frames, self.max_clip_frames)
        return [sequence] if parts == 1 else [PartSource(sequence.file, sequence.key, k, parts) for k in range(parts)]

    def _read_named(self, sequence: ClipSource, root: Path) -> Clip | None:
        """The recording; errors that do not name its place get it in front."""
        try:
            return self.read_sequence(sequence, root)
        except AnnotationError as error:
            if str(sequence.file) in str(error):
                raise
            msg = f"{sequence}: {error}"
            raise AnnotationError(msg, reason=error.reason) from error


def _existing(folder: Path, root: Path, name: str) -> Path | None:
    """One image, None if it does not exist."""
    try:
        return images_at(folder, root, [name])[0]
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


def sources_of(root: Path, found: Iterable[Path], wanted: str) -> list[ClipSource]:
    """The recordings at the paths ``found``, sorted.

    Args:
        root: Where they were looked for.
        found: Their files or folders, repetitions allowed.
        wanted: What a recording consists of, for the error.

    Raises:
        AnnotationError: If there is none.
    """
    paths = sorted(set(found))
    if not paths:
        msg = f"{root}: no {wanted} found, give the folder that holds the recordings"
        raise AnnotationError(msg, reason="missing")
    return [ClipSource(path) for path in paths]
