"""Single objects of GOT-10k (http://got-10k.aitestunion.com, arXiv 1810.11981), with images or as a list of boxes."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from remot.data.annotations.base import (
    AnnotationReader,
    ClipSource,
    FileReader,
    check_keys,
    parse_json,
    read_text,
    require_any,
    require_list,
    require_numbers,
    require_object,
    require_text,
)
from remot.data.annotations.images import ImageReader, images_in, require_resolution
from remot.data.annotations.objects.still_cameras import StillCameraReader
from remot.data.annotations.objects.tracked import ini_number, read_ini_section
from remot.data.annotations.parsing.number_rows import read_number_rows, require_xyxy, whole_numbers, xyxy_from_xywh
from remot.errors import AnnotationError, ConfigError
from remot.files import find_files
from remot.structures import Clip, FloatArray, ObjectTrack

#: ``cover.label`` counts visible eighths.
MAX_COVER = 8
#: Width and height in ``meta_info.ini``, such as ``(1920, 1080)``.
RESOLUTION = re.compile(r"\(?\s*(\d{1,6})\s*[,x]\s*(\d{1,6})\s*\)?")


@dataclass(eq=False)
class GOT10kReader(FileReader, ImageReader, StillCameraReader):
    """Reads ``GOT-10k_Val_000001/groundtruth.txt`` and the images beside it.

    The source's conventions: row k is ``left,top,width,height`` of the object in the k-th image (``00000001.jpg`` and
    so on), in pixels. The source does not state whether they are counted from 0 or 1; they are taken as counted from 0,
    at worst one pixel off. ``absence.label`` has 1 where the object is not in the image, ``cover.label`` how many
    eighths of it are visible; both may be missing. ``meta_info.ini`` names the object, the rate, 10 Hz, and the
    resolution of the images that the boxes belong to.

    The cameras of GOT-10k mostly move, and no pose is known. So nothing is asked about motion in the images unless
    the camera is stated to stand still, sequence by sequence or for all.

    Args:
        min_cover: Fewest visible eighths of an object that is asked about.
    """

    pattern: ClassVar[str] = "groundtruth.txt"

    min_cover: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.min_cover <= MAX_COVER:
            msg = f"GOT10kReader: min_cover is {self.min_cover}; choose 0 to {MAX_COVER} eighths"
            raise ConfigError(msg)

    def sources(self, root: Path) -> list[ClipSource]:
        """The sequences, in order; a log message says how many cameras are not known to stand still."""
        found = super().sources(root)
        names = [source.file.resolve().parent.name for source in found]
        self._notices.warn_once(self._still_cameras.about_others(names))
        return found

    def read_clip(self, file: Path, root: Path) -> Clip:
        """The clip of one sequence."""
        sequence = file.resolve().parent.name
        ini = file.with_name("meta_info.ini")
        values = read_ini_section(ini, "METAINFO")
        images = images_in(file, root, ".")
        rows = read_number_rows(file, (4,), finite=False)
        hidden = _labels(file.with_name("absence.label"), len(rows), 1, missing=0) == 1
        hidden |= _labels(file.with_name("cover.label"), len(rows), MAX_COVER, missing=MAX_COVER) < self.min_cover
        boxes_xyxy = xyxy_from_xywh(str(file), np.where(hidden[:, None], np.nan, rows), first_pixel=0)
        kept = self.numbered_images(file, images, len(boxes_xyxy), 1, "rows")
        if "resolution" in values:
            size = RESOLUTION.fullmatch(values["resolution"].strip())
            if size is None:
                msg = f"{ini}: resolution is {values['resolution'][:40]!r}, expected (width, height) in pixels"
                raise AnnotationError(msg)
            require_resolution(str(file), images, (int(size[1]), int(size[2])), "resolution in meta_info.ini")
        name = require_text(str(ini), {"object_class": "", **values}, "object_class")
        return Clip(
            clip_id=sequence,
            scene_id=sequence,
            domain="got10k",
            media=images,
            pts_seconds=kept / ini_number(ini, values, "anno_fps", 1000),
            objects={name: ObjectTrack(boxes_xyxy[kept])},
            camera_moves=not self._still_cameras.hold(sequence),
        )


def _labels(file: Path, num_rows: int, largest: int, missing: int) -> FloatArray:
    """[N] one number for each image."""
    if not file.exists():
        return np.full(num_rows, float(missing))
    rows = read_number_rows(file, (1,))[:, 0]
    if len(rows) != num_rows:
        msg = f"{file}: {len(rows)} rows for {num_rows} boxes, fetch the sequence again"
        raise AnnotationError(msg, reason="unsynchronised")
    return whole_numbers(str(file), "label", rows, 0, largest).astype(np.float64)


@dataclass(eq=False)
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

    pattern: str = "got10k*.json"

    def sources(self, root: Path) -> list[ClipSource]:
        """Each entry of each list."""
        found = require_any(find_files(root, self.pattern), root, self.pattern, "the list")
        return [ClipSource(file, str(k)) for file in found for k in range(len(self._kept(_read_list, file)))]

    def read_source(self, source: ClipSource, root: Path) -> Clip:  # noqa: ARG002 - the list has no media
        """The clip of one entry."""
        where = f"{source.file}: entry {source.key}"
        content = require_object(where, self._kept(_read_list, source.file)[int(source.key)])
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


def _read_list(file: Path) -> list[Any]:
    return require_list(str(file), parse_json(str(file), read_text(file)))
