"""Readers of whole recordings, which may be too long for one clip."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from remot.data.annotations.base import AnnotationReader, ClipSource
from remot.data.annotations.cutting import cut, num_parts
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
            reads each recording twice, its pictures not at all.

    Raises:
        ConfigError: If it leaves too few frames for a question.
    """

    def __init__(self, max_clip_frames: int | None = None) -> None:
        if max_clip_frames is not None and max_clip_frames < MIN_CLIP_FRAMES:
            msg = f"max_clip_frames is {max_clip_frames}; give at least {MIN_CLIP_FRAMES}, or null not to cut"
            raise ConfigError(msg)
        self.max_clip_frames = max_clip_frames
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
            return [sequence]  # what is wrong is told when it is read
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
