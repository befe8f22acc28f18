"""Single objects of GOT-10k (http://got-10k.aitestunion.com, arXiv 1810.11981), with images or as a list of boxes."""

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from remot.data.annotations.base import (
    AnnotationReader,
    ClipSource,
    FileReader,
    check_keys,
    read_text,
    require_numbers,
    require_object,
    require_text,
)
from remot.data.annotations.objects.notices import Notices
from remot.data.annotations.objects.still_cameras import StillCameras
from remot.data.annotations.objects.tracked import (
    counted,
    images_in,
    ini_number,
    read_ini_section,
    require_resolution,
)
from remot.data.annotations.parsing.number_rows import read_number_rows, require_xyxy, whole_numbers, xyxy_from_xywh
from remot.errors import AnnotationError, ConfigError
from remot.files import find_files
from remot.structures import Clip, FloatArray, ObjectTrack

#: ``cover.label`` counts visible eighths.
MAX_COVER = 8


class GOT10kReader(FileReader):
    """Reads ``GOT-10k_Val_000001/groundtruth.txt`` and the images beside it.

    The source's conventions: row k is ``left,top,width,height`` of the object in the k-th image (``00000001.jpg`` and
    so on), in pixels. The source does not say whether they are counted from 0 or 1; they are taken as counted from 0,
    at worst one pixel off. ``absence.label`` has 1 where the object is not in the image, ``cover.label`` how many
    eighths of it are visible; both may be missing. ``meta_info.ini`` names the object, the rate, 10 Hz, and the
    resolution of the images that the boxes belong to.

    The cameras of GOT-10k mostly move, and no pose is known. So nothing is asked about motion in the images unless
    the camera is vouched for, sequence by sequence or for all.

    Args:
        static_camera: Sequences whose camera stands still, such as ``GOT-10k_Val_000010``.
        assume_static: Take the camera of every sequence to stand still.
        min_cover: Fewest visible eighths of an object that is asked about.
    """

    pattern: ClassVar[str] = "groundtruth.txt"

    def __init__(
        self,
        static_camera: list[str] | None = None,
        assume_static: bool = False,  # noqa: FBT001, FBT002 - a setting
        min_cover: int = 4,
    ) -> None:
        if not 0 <= min_cover <= MAX_COVER:
            msg = f"GOT10kReader: min_cover is {min_cover}; choose 0 to {MAX_COVER} eighths"
            raise ConfigError(msg)
        self.still_cameras = StillCameras(static_camera or (), (), assume_static)
        self.min_cover = min_cover
        self._notices = Notices()

    def sources(self, root: Path) -> list[ClipSource]:
        """The sequences, in order; a log message says how many cameras are not known to stand still.

        Raises:
            AnnotationError: If there is none.
        """
        found = super().sources(root)
        self._notices.warn_once(
            self.still_cameras.about_others([source.file.resolve().parent.name for source in found])
        )
        return found

    def read_clip(self, file: Path, root: Path) -> Clip:
        """The clip of one sequence.

        Raises:
            AnnotationError: Naming the file, the row and what does not fit.
        """
        sequence = file.resolve().parent.name
        ini = file.with_name("meta_info.ini")
        values = read_ini_section(ini, "METAINFO")
        images = images_in(file, root, ".")
        boxes_xyxy = self._boxes(file)
        if len(images) != len(boxes_xyxy):
            msg = f"{file}: {len(boxes_xyxy)} rows but {counted(images)}, fetch the sequence again"
            raise AnnotationError(msg, reason="unsynchronised")
        if "resolution" in values:
            require_resolution(str(file), images, _resolution(ini, values["resolution"]), "resolution in meta_info.ini")
        return Clip(
            clip_id=sequence,
            scene_id=sequence,
            domain="got10k",
            media=images,
            pts_seconds=np.arange(len(images)) / ini_number(ini, values, "anno_fps", 1000),
            objects={require_text(str(ini), {"object_class": "", **values}, "object_class"): ObjectTrack(boxes_xyxy)},
            camera_moves=not self.still_cameras.hold(sequence),
        )

    def _boxes(self, file: Path) -> FloatArray:
        """[N, 4] left, top, right, bottom; NaN where the object is absent or mostly hidden."""
        rows = read_number_rows(file, (4,), finite=False)
        hidden = _labels(file.with_name("absence.label"), len(rows), 1, missing=0) == 1
        hidden |= _labels(file.with_name("cover.label"), len(rows), MAX_COVER, missing=MAX_COVER) < self.min_cover
        return xyxy_from_xywh(str(file), np.where(hidden[:, None], np.nan, rows), first_pixel=0)


def _resolution(ini: Path, text: str) -> tuple[int, int]:
    """Width and height, from ``(1920, 1080)``."""
    numbers = re.fullmatch(r"\(?\s*(\d{1,6})\s*[,x]\s*(\d{1,6})\s*\)?", text.strip())
    if numbers is None:
        msg = f"{ini}: resolution is {text[:40]!r}, expected (width, height) in pixels"
        raise AnnotationError(msg)
    return int(numbers[1]), int(numbers[2])


def _labels(file: Path, num_rows: int, largest: int, missing: int) -> FloatArray:
    """[N] one number for each image."""
    if not file.exists():
        return np.full(num_rows, float(missing))
    rows = read_number_rows(file, (1,))[:, 0]
    if len(rows) != num_rows:
        msg = f"{file}: {len(rows)} rows for {num_rows} boxes, fetch the sequence again"
        raise AnnotationError(msg, reason="unsynchronised")
    return whole_numbers(str(file), "label", rows, 0, largest).astype(np.float64)


class GOT10kListReader(AnnotationReader):
    """Reads the list of GOT-10k boxes that VideoChat-R1 is trained and tested with (arXiv 2504.06958): no images.

    The source's conventions: a JSON list of ``{"path": folder of the images, "object": its name, "gt": boxes}``; a
    box is left, top, right, bottom as shares of the image's width and height. Which images the boxes belong to is
    not given, nor are their times, and the paths are those of another machine. So a clip's media is None even where the
    images are at hand, its boxes are in units of the whole image instead of pixels, and ``pts_seconds`` are the
    boxes' numbers 0, 1, 2, … and no times. Such clips hold truth for tracking; no motion is asked about them.

    Args:
        pattern: Files to read below the root.
    """

    def __init__(self, pattern: str = "got10k*.json") -> None:
        self.pattern = pattern
        self._last: tuple[Path, list[Any]] | None = None

    def sources(self, root: Path) -> list[ClipSource]:
        """Each entry of each list.

        Raises:
            AnnotationError: If there is none, or a file is no JSON list.
        """
        found = find_files(root, self.pattern)
        if not found:
            msg = f"{root}: no {self.pattern} found, give the folder that holds the list"
            raise AnnotationError(msg, reason="missing")
        return [ClipSource(file, str(k)) for file in found for k in range(len(self._entries(file)))]

    def read_source(self, source: ClipSource, root: Path) -> Clip:  # noqa: ARG002 - the list has no media
        """The clip of one entry.

        Raises:
            AnnotationError: Naming the file, the entry and what is wrong.
        """
        where = f"{source.file}: entry {source.key}"
        content = require_object(where, self._entries(source.file)[int(source.key)])
        check_keys(where, content, ("path", "object", "gt"))
        boxes_xyxy = require_numbers(f"{where}: gt", content["gt"], num_axes=2)
        if boxes_xyxy.shape[1] != 4 or boxes_xyxy.min() < 0 or boxes_xyxy.max() > 1:
            msg = f"{where}: gt must hold boxes of four numbers from 0 to 1"
            raise AnnotationError(msg)
        sequence = require_text(where, content, "path").replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        return Clip(
            clip_id=sequence,
            scene_id=sequence,
            domain="got10k",
            media=None,
            pts_seconds=np.arange(len(boxes_xyxy), dtype=np.float64),
            objects={require_text(where, content, "object"): ObjectTrack(require_xyxy(where, boxes_xyxy))},
        )

    def _entries(self, file: Path) -> list[Any]:
        if self._last is None or self._last[0] != file:
            self._last = file, _json_list(file)
        return self._last[1]


def _json_list(file: Path) -> list[Any]:
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        msg = f"{file}: not valid JSON ({error})"
        raise AnnotationError(msg) from error
    if not isinstance(content, list):
        msg = f"{file}: expected a list of entries, found {type(content).__name__}"
        raise AnnotationError(msg)
    return content
