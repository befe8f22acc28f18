"""Which sequences have a camera that stands still, and which known sequence a folder holds, whatever its name.

Without poses "the object moved" and "the camera moved" cannot be distinguished. So a clip whose camera may move is
marked :attr:`~remot.structures.Clip.camera_moves`: its masks and distances can be asked about, motion in
its images cannot.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from remot.data.annotations.base import AnnotationReader
from remot.data.annotations.notices import listed

_WORD = re.compile(r"[^\W_]+")


def known_sequence(folder: str, known: Collection[str]) -> str | None:
    """The name in ``known`` that ``folder`` bears, alone or beside other words; None if it bears none.

    Upper and lower case do not matter, nor what joins the words. Of several names the longest counts.

    >>> known_sequence("otb_crossing", {"Crossing", "Walking"})
    'Crossing'
    >>> known_sequence("Walking_2", {"Walking", "Walking2"})
    'Walking2'
    """
    if folder in known:
        return folder
    words = _WORD.findall(folder.casefold())
    runs = {"".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
    found = [name for name in sorted(known) if "".join(_WORD.findall(name.casefold())) in runs]
    return max(found, key=len, default=None)


@dataclass(frozen=True)
class StillCameras:
    """Which sequences were filmed by a camera that is known to stand still.

    Args:
        static_camera: Sequences that the user states, by folder or by known name; None for all of ``known``.
        known: Sequences that the reader lists.
        assume_static: The user states it of all sequences.
    """

    static_camera: Collection[str] | None
    known: Collection[str]
    assume_static: bool

    def hold(self, sequence: str) -> bool:
        """Whether the camera of ``sequence`` is known to stand still."""
        if self.assume_static or (self.static_camera is not None and sequence in self.static_camera):
            return True
        recognised = known_sequence(sequence, self.known)
        return recognised in (self.known if self.static_camera is None else self.static_camera)

    def about_others(self, sequences: Collection[str]) -> str:
        """A message that says of how many of ``sequences`` the camera may move; empty if of none."""
        others = sorted({sequence for sequence in sequences if not self.hold(sequence)})
        if not others:
            return ""
        return (
            f"{len(others)} of {len(set(sequences))} sequences have a camera that is not known to stand still, so "
            "nothing is asked about motion in their images; name those whose camera does in static_camera: "
            f"{listed(others)}"
        )


@dataclass(eq=False, kw_only=True)
class StillCameraReader(AnnotationReader):
    """Reads formats without camera poses.

    Args:
        static_camera: Sequences whose camera stands still; by default those that the reader lists, if any. Nothing is
            asked about motion in the images of others.
        assume_static: Take the camera of every sequence to stand still.
    """

    #: Sequences whose camera stands still, listed by the reader.
    known_still: ClassVar[frozenset[str]] = frozenset()
    static_camera: list[str] | None = None
    assume_static: bool = False

    @property
    def _still_cameras(self) -> StillCameras:
        return StillCameras(self.static_camera, self.known_still, self.assume_static)
