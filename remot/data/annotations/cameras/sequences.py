"""Readers of whole recordings, which may be too long for one clip."""

import re
from abc import abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import ClipSource, naming, require_any
from remot.data.annotations.cameras.cutting import cut, num_parts
from remot.data.annotations.cameras.poses import interpolated, pinhole
from remot.data.annotations.images import ImageReader
from remot.errors import AnnotationError, ConfigError
from remot.structures import Clip, FloatArray

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


@dataclass(eq=False, kw_only=True)
class SequenceReader(ImageReader):
    """Reads formats with one long recording for each clip, and cuts long ones on request.

    A format needs a way to find its recordings and a way to read one of them whole.

    Args:
        max_clip_frames: Recordings with more frames are cut into consecutive clips of nearly equal length, called
            ``<id>-0000`` and so on, of the same scene. A clip is thinned to ``data.max_candidate_frames`` when
            questions are made of it, which leaves no short-range pairs in an uncut one. None never cuts. Cutting
            reads each recording twice, its images not at all.

    Raises:
        ConfigError: If it leaves too few frames for a question.
    """

    max_clip_frames: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        pinhole(self.intrinsics)
        if self.max_clip_frames is not None and self.max_clip_frames < MIN_CLIP_FRAMES:
            msg = f"max_clip_frames is {self.max_clip_frames}; give at least {MIN_CLIP_FRAMES}, or null not to cut"
            raise ConfigError(msg)

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
            AnnotationError: Naming the file, the line or row, and what does not fit.
        """

    def sources(self, root: Path) -> list[ClipSource]:
        """Every clip below ``root``: the recordings, or their parts."""
        found = self.sequences(root)
        if self.max_clip_frames is None:
            return found
        cut_up: list[ClipSource] = []
        for one in found:
            parts = 1
            with suppress(AnnotationError):  # reading it again reports what is wrong
                clip = self.read_source(one, root.resolve())
                parts = 1 if clip is None else num_parts(clip.num_frames, self.max_clip_frames)
            cut_up += [one] if parts == 1 else [PartSource(one.file, one.key, k, parts) for k in range(parts)]
        return cut_up

    def read_source(self, source: ClipSource, root: Path) -> Clip | None:
        """One recording or part of one."""
        sequence = ClipSource(source.file, source.key)
        with naming(sequence, sequence.file):
            if not isinstance(source, PartSource):
                return self.read_sequence(sequence, root)
            clip = self._kept(self.read_sequence, sequence, root)
        return None if clip is None else cut(clip, source.part, source.parts)


@dataclass(eq=False, kw_only=True)
class TimedPosesReader(SequenceReader):
    """Reads recordings whose poses have times of their own, so that an image lies between two poses.

    Args:
        max_gap_seconds: Largest distance in time from an image to either of its two neighbouring poses; an image with
            none so near is left out.
    """

    max_gap_seconds: float = 0.05

    def poses_between(
        self, file: Path, times: FloatArray, positions: FloatArray, quaternions: FloatArray, wanted: FloatArray
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """What :func:`interpolated` gives for the times ``wanted`` of images; images without a pose are logged.

        Raises:
            AnnotationError: If no image has a pose; names ``file``, which holds the poses.
        """
        poses, found = interpolated(times, positions, quaternions, wanted, self.max_gap_seconds)
        if not found.any():
            msg = (
                f"{file}: none of {len(wanted)} images lies within {self.max_gap_seconds} s of two poses; "
                "both must be timed by one clock, or raise max_gap_seconds"
            )
            raise AnnotationError(msg, reason="unsynchronised")
        if not found.all():
            missing = f"{len(found) - int(found.sum())} of {len(found)} images are left out"
            limit = f"without a pose within {self.max_gap_seconds} s before and after them"
            self._notices.warn_once(f"{file}: {missing}, {limit}")
        return poses, found


def sources_of(root: Path, found: Iterable[Path], wanted: str) -> list[ClipSource]:
    """The recordings at the paths ``found``, sorted, each once.

    Raises:
        AnnotationError: If there is none of the ``wanted`` files or folders.
    """
    return [ClipSource(path) for path in require_any(sorted(set(found)), root, wanted, "the recordings")]


def sequence_id(folder: Path, root: Path) -> str:
    """Name of a recording: its path below ``root`` with ``-`` between the folders, safe as a file name."""
    folder, root = folder.resolve(), root.resolve()
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    name = re.sub(r"[^A-Za-z0-9._-]", "_", "-".join(parts or (folder.name,)))
    return name.lstrip("._-") or "sequence"
