"""Single objects of the OTB benchmark, also known as TB-50 and TB-100 (https://doi.org/10.1109/TPAMI.2014.2388226)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import ClipSource, FileReader
from remot.data.annotations.images import ImageReader, counted, images_in, number_of
from remot.data.annotations.notices import listed
from remot.data.annotations.objects.still_cameras import StillCameraReader, known_sequence
from remot.data.annotations.parsing.number_rows import read_number_rows, xyxy_from_xywh
from remot.errors import AnnotationError, ConfigError
from remot.files import gap_in_numbers
from remot.structures import Clip, ObjectTrack

_T = TypeVar("_T")

#: Sequences whose camera surely stands still. Most of the benchmark's cameras move.
STATIC_SEQUENCES = frozenset({"Crossing", "Subway", "Walking", "Walking2"})

#: Unambiguous names of the objects. Crossing shows a second person, who wears red.
NAMES = {"Crossing": "person in the black jacket", "Dudek": "man's face"}

#: Position in number order, from 1, of the image that row 1 belongs to, as the benchmark's own tool has it; any
#: further images after the last row are left over.
FIRST_IMAGES = {"David": 300, "Diving": 1, "Football1": 1, "Freeman3": 1, "Freeman4": 1}

#: David_2 is no David: these are known so that they are not taken for others.
OTHER_SEQUENCES = ("David2", "David3", "Football")
KNOWN_SEQUENCES = STATIC_SEQUENCES | NAMES.keys() | FIRST_IMAGES.keys() | set(OTHER_SEQUENCES)

#: What an object is called of which nothing else is known.
UNNAMED = "tracked object"


@dataclass(eq=False)
class OTBReader(FileReader, ImageReader, StillCameraReader):
    """Reads ``<sequence>/groundtruth_rect.txt`` and the images in ``<sequence>/img`` or beside the text.

    The source's conventions: row k is ``left, top, width, height`` of the object in the k-th image, separated by
    commas, tabs or spaces, pixels counted from 1; a row of NaN or of zeros says that the object is not visible.
    Sequences with several objects have ``groundtruth_rect.1.txt`` and so on, which give a clip each. There are no
    times: ``fps`` is an assumption. A folder that holds a sequence's name among other words, such as ``otb_crossing``,
    is taken for that sequence.

    An object without a name is called "tracked object". Only a mask can point at it, so its clip is marked as if the
    camera moved: nothing is asked about motion in the image.

    Args:
        names: What questions call the object, by sequence (``Jogging.1`` where there are several), besides the few
            names that the reader knows.
        first_images: By sequence, the position in number order, from 1, of the image that row 1 belongs to;
            images after the last row are then left over. Where it is not given, there must be as many images as
            rows. Images are counted by the numbers in their names, from 1, where some are missing.
        fps: Images per second.
    """

    pattern: ClassVar[str] = "groundtruth_rect*.txt"
    known_still: ClassVar[frozenset[str]] = STATIC_SEQUENCES
    names: dict[str, str] | None = None
    first_images: dict[str, int] | None = None
    fps: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(first < 1 for first in (self.first_images or {}).values()):
            msg = f"OTBReader: first_images is {self.first_images}; images are counted from 1"
            raise ConfigError(msg)

    def sources(self, root: Path) -> list[ClipSource]:
        """The objects, in order; log messages say how many have no name or a camera that may move."""
        found = super().sources(root)
        targets = [self._target(source.file) for source in found]
        self._notices.warn_once(self._still_cameras.about_others([sequence for sequence, _, _ in targets]))
        if unnamed := [sequence + suffix for sequence, suffix, name in targets if name == UNNAMED]:
            self._notices.warn_once(
                f"{len(unnamed)} of {len(found)} objects have no name, so nothing is asked about their motion; look at "
                f"the images and add to names: {listed(unnamed)}"
            )
        return found

    def read_clip(self, file: Path, root: Path) -> Clip:
        """The clip of one object."""
        sequence, suffix, name = self._target(file)
        rows = read_number_rows(file, (4,), finite=False)
        is_absent = (rows == 0).all(axis=1, keepdims=True)
        boxes_xyxy = xyxy_from_xywh(str(file), np.where(is_absent, np.nan, rows), first_pixel=1)
        folder = "img" if (file.parent / "img").is_dir() else "."
        media, kept = self._images_of_rows(file, sequence, images_in(file, root, folder), len(boxes_xyxy))
        return Clip(
            clip_id=sequence + suffix,
            scene_id=known_sequence(sequence, KNOWN_SEQUENCES) or sequence,
            domain="otb",
            media=media,
            pts_seconds=kept / self.fps,
            objects={name: ObjectTrack(boxes_xyxy[kept])},
            camera_moves=name == UNNAMED or not self._still_cameras.hold(sequence),
        )

    def _target(self, file: Path) -> tuple[str, str, str]:
        """Folder, suffix such as ``.1`` where there are several objects, and what questions call the object."""
        sequence, suffix = file.resolve().parent.name, file.stem.removeprefix("groundtruth_rect")
        return sequence, suffix, _of(NAMES | (self.names or {}), sequence, suffix) or UNNAMED

    def _images_of_rows(
        self, file: Path, sequence: str, images: Sequence[Path], num_rows: int
    ) -> tuple[tuple[Path, ...], NDArray[np.int64]]:
        """The images of K rows, and the numbers [K] of these rows from 0."""
        stated, known = _of(self.first_images or {}, sequence), _of(FIRST_IMAGES, sequence)
        first, start = stated or known or 1, number_of(images[0])
        if stated is None and known is None:
            found = tuple(images)
            is_clear = len(images) == num_rows or (start == 1 and len(images) < num_rows)
        elif stated is None or gap_in_numbers([image.name for image in images]):
            first -= start == 0
            found = tuple(image for image in images if first <= number_of(image) < first + num_rows)
            is_clear = bool(found)
        else:
            found = tuple(images[first - 1 : first - 1 + num_rows])
            is_clear = len(found) == num_rows
        if not is_clear:
            msg = f"{file}: {num_rows} rows but {counted(images)}, fetch them again, or name the image of row 1 "
            raise AnnotationError(msg + "in first_images", reason="unsynchronised")
        return found, self.numbered_images(file, found, num_rows, first, "rows")


def _of(table: Mapping[str, _T], sequence: str, suffix: str = "") -> _T | None:
    """What a table holds for a folder, or else for the known sequence that the folder holds."""
    if sequence + suffix in table:
        return table[sequence + suffix]
    known = known_sequence(sequence, KNOWN_SEQUENCES)
    return None if known is None else table.get(known + suffix)
