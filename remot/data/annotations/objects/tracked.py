"""What readers of tracking data sets share: several clips of one sequence, whole tracks, and small files."""

import configparser
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from remot.data.annotations.base import ClipSource, read_text, require_any
from remot.data.annotations.images import ImageReader
from remot.data.annotations.objects.nearest import IntArray
from remot.errors import AnnotationError
from remot.files import find_files
from remot.structures import Clip, FloatArray


@dataclass(eq=False, kw_only=True)
class TrackedReader(ImageReader):
    """Reads formats in which one annotated sequence gives a clip for each of several tracks.

    A format needs a pattern for its sequences and a way to read all clips of one of them.
    """

    #: Glob pattern below the root of the files that each describe one sequence.
    pattern: ClassVar[str]

    @abstractmethod
    def read_sequence(self, file: Path, root: Path) -> dict[str, Clip]:
        """All clips of one sequence by key; none to leave the sequence out, after a log message that says why.

        Args:
            file: What the pattern found.
            root: The resolved folder that every media path must stay in.

        Raises:
            AnnotationError: Naming the file, the row and what does not fit.
        """

    def files(self, root: Path) -> list[Path]:
        """The files that each describe one sequence, in order; logs what is to be said of all of them together."""
        return find_files(root, self.pattern)

    def sources(self, root: Path) -> list[ClipSource]:
        """Each clip of each sequence; a sequence that cannot be read or is left out stands for itself."""
        files = require_any(self.files(root), root, self.pattern, "the sequences")
        found = []
        for file in files:
            try:
                keys = list(self._kept(self.read_sequence, file, root.resolve()))
            except AnnotationError:
                keys = []  # read_source names the fault, so that one bad sequence can be skipped
            found += [ClipSource(file, key) for key in keys or [""]]
        return found

    def read_source(self, source: ClipSource, root: Path) -> Clip | None:
        """One clip of a sequence."""
        return self._kept(self.read_sequence, source.file, root).get(source.key)


def track_names(nouns: Sequence[str], tracks: IntArray) -> dict[str, IntArray]:
    """Rows of each track by name, such as ``car 2``; numbers count the tracks of a noun in order of their first rows.

    Args:
        nouns: What each of R rows is about, "" for what is left out.
        tracks: [R] track numbers.
    """
    rows: dict[tuple[str, int], list[int]] = {}
    for row, (noun, track) in enumerate(zip(nouns, tracks.tolist(), strict=True)):
        if noun:
            rows.setdefault((noun, track), []).append(row)
    found, counts = {}, dict.fromkeys((noun for noun, _ in rows), 0)
    for (noun, _), listed in rows.items():
        counts[noun] += 1
        found[f"{noun} {counts[noun]}"] = np.array(listed, dtype=np.int64)
    return found


def rows_by_frame(where: str, name: str, frames: IntArray, values: FloatArray, num_frames: int) -> FloatArray:
    """[N, C] values of a track, a row of NaN for each frame without one.

    Raises:
        AnnotationError: If a frame has two.
    """
    if len(np.unique(frames)) < len(frames):
        msg = f"{where}: the track of {name} has two rows in one frame, keep one of them"
        raise AnnotationError(msg, reason="duplicate id")
    found = np.full((num_frames, values.shape[1]), np.nan)
    found[frames] = values
    return found


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
    """The number in (0, largest] under ``key``, which may carry a unit as in ``10Hz``."""
    text = values.get(key.lower(), "").strip().removesuffix("Hz")
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number <= largest:
        msg = f"{file}: {key} is {text[:40]!r}, expected a number above 0 and at most {largest:g}"
        raise AnnotationError(msg)
    return number
