"""Single objects of the OTB benchmark, also known as TB-50 and TB-100 (https://doi.org/10.1109/TPAMI.2014.2388226)."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from remot.data.annotations.base import FileReader
from remot.data.annotations.number_rows import read_number_rows, xyxy_from_xywh
from remot.data.annotations.tracked import camera_stands_still, pictures_in
from remot.errors import AnnotationError, ConfigError
from remot.structures import Clip, FloatArray, ObjectTrack

_logger = logging.getLogger(__name__)

#: Sequences whose camera surely stands still. Most of the benchmark's cameras move.
STATIC_SEQUENCES = frozenset({"Crossing", "Subway", "Walking", "Walking2"})

#: What a viewer would call the object, told apart from others in the pictures. Crossing shows a second person, who
#: wears red.
NAMES = {"Crossing": "person in the black jacket", "Dudek": "man's face"}

#: Position in name order, from 1, of the picture that row 1 belongs to, as the benchmark's own tool has it; any further
#: pictures after the last row are left over.
FIRST_PICTURES = {"David": 300, "Diving": 1, "Football1": 1, "Freeman3": 1, "Freeman4": 1}


class OTBReader(FileReader):
    """Reads ``<sequence>/groundtruth_rect.txt`` and the pictures in ``<sequence>/img`` or beside the text.

    The source's conventions: row k is ``left, top, width, height`` of the object in the k-th picture, separated by
    commas, tabs or spaces, pixels counted from 1; a row of NaN or of zeros says that the object is not visible.
    Sequences with several objects have ``groundtruth_rect.1.txt`` and so on, which give a clip each. There are no
    times: ``fps`` is an assumption.

    Args:
        names: What questions call the object, by sequence (``Jogging.1`` where there are several), besides the few
            names that the reader knows. Sequences without a name are left out: nobody can tell what "the target" is.
        static_camera: Sequences whose camera stands still; by default the few of which that is sure. Others are left
            out.
        assume_static: Take the camera of every sequence to stand still.
        first_pictures: By sequence, the position in name order, from 1, of the picture that row 1 belongs to; pictures
            after the last row are then left over. Where it is not given, there must be as many pictures as rows.
        fps: Pictures per second.
    """

    pattern: ClassVar[str] = "groundtruth_rect*.txt"

    def __init__(
        self,
        names: dict[str, str] | None = None,
        static_camera: list[str] | None = None,
        assume_static: bool = False,  # noqa: FBT001, FBT002 - a setting
        first_pictures: dict[str, int] | None = None,
        fps: float = 30.0,
    ) -> None:
        if not fps > 0 or any(first < 1 for first in (first_pictures or {}).values()):
            msg = f"OTBReader: fps {fps} and first_pictures {first_pictures}; choose fps > 0 and pictures from 1"
            raise ConfigError(msg)
        self.names = NAMES | (names or {})
        self.static_camera = static_camera
        self.assume_static = assume_static
        self.first_pictures = FIRST_PICTURES | (first_pictures or {})
        self.fps = fps

    def read_clip(self, file: Path, root: Path) -> Clip | None:
        """The clip of one object; None if its camera may move or it has no name, with a log message.

        Raises:
            AnnotationError: Naming the file, the row and what does not fit.
        """
        sequence = file.resolve().parent.name
        target = sequence + file.stem.removeprefix("groundtruth_rect")
        if not camera_stands_still(sequence, self.static_camera, STATIC_SEQUENCES, assume_static=self.assume_static):
            return None
        name = self.names.get(target)
        if name is None:
            _logger.warning("%s: left out, nobody knows what its object is called; add %s to names", file, target)
            return None
        boxes_xyxy = _boxes(file)
        folder = "img" if (file.parent / "img").is_dir() else "."
        media = self._pictures_of_rows(file, sequence, pictures_in(file, root, folder), len(boxes_xyxy))
        return Clip(
            clip_id=target,
            scene_id=sequence,
            domain="otb",
            media=media,
            pts_seconds=np.arange(len(boxes_xyxy)) / self.fps,
            objects={name: ObjectTrack(boxes_xyxy)},
        )

    def _pictures_of_rows(self, file: Path, sequence: str, pictures: Sequence[Path], num_rows: int) -> tuple[Path, ...]:
        first = self.first_pictures.get(sequence)
        start = 0 if first is None else first - 1
        kept = tuple(pictures[start : start + num_rows])
        if len(kept) < num_rows or (first is None and len(pictures) != num_rows):
            msg = (
                f"{file}: {num_rows} rows but {len(pictures)} pictures, fetch them again, or name the picture of row 1 "
                "in first_pictures"
            )
            raise AnnotationError(msg, reason="unsynchronised")
        return kept


def _boxes(file: Path) -> FloatArray:
    """[N, 4] left, top, right, bottom; NaN where the object is not visible."""
    rows = read_number_rows(file, (4,), finite=False)
    absent = (rows == 0).all(axis=1)
    return xyxy_from_xywh(str(file), np.where(absent[:, None], np.nan, rows), first_pixel=1)
