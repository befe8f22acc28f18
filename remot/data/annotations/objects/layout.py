"""Scenes described by 3D boxes around their objects, such as those that VSI-Bench was made from (arXiv 2412.14171)."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from remot.data.annotations.base import (
    AnnotationReader,
    ClipSource,
    check_keys,
    read_json_object,
    require_any,
    require_list,
    require_numbers,
    require_object,
    require_text,
)
from remot.data.annotations.images import video_beside
from remot.data.annotations.native.fields import number_or_none, texts_or_none
from remot.errors import AnnotationError
from remot.files import find_files
from remot.structures import Clip, FloatArray, LayoutBox

FORMAT = "remot-layout/1"
#: A room larger than this is a mistake in the file.
MAX_METRES = 1000.0
#: ScanNet scans one room several times: scene0251_00, scene0251_01.
SAME_ROOM = re.compile(r"(scene\d{4})_\d{2}")


@dataclass(eq=False)
class LayoutReader(AnnotationReader):
    """Reads 3D layouts of scenes, with a video ``<scene>.mp4`` where there is one.

    Two formats, both in metres with z up:

    - VSI-Bench's ``<data set>_meta_info_<split>.json``, many scenes in a file: ``object_bbox`` has for each name a list
      of boxes ``centroid`` [3], ``axesLengths`` [3] full lengths, ``normalizedAxes`` [9] the box's own axes in ROWS,
      and ``min``, ``max``, which are not read. ``room_size`` is the floor area in square metres. ``object_counts`` may
      count things that have no box; only kinds with as many boxes are taken to be complete.
    - ``layout.json`` or ``<name>.layout.json``, one scene::

        {"format": "remot-layout/1", "scene": "kitchen", "domain": "home",
         "objects": [{"name": "chair", "centre_metres": [1, 2, 0.5], "size_metres": [0.5, 0.5, 1],
                      "axes": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}]}

      ``axes`` (rows) may be left out. ``room_area_square_metres`` and ``complete_kinds`` may be added; they mean what
      they mean in the native format.

    The video lies beside the file or in a folder beside it; the file's own ``video_path`` belongs to another machine.
    With a video the clip has the times of its images, without one it has no media and the single time 0.
    """

    def sources(self, root: Path) -> list[ClipSource]:
        """Each scene of each file."""
        many, single = find_files(root, "*meta_info*.json"), find_files(root, "*layout.json")
        found = [ClipSource(file, scene) for file in many for scene in self._kept(read_json_object, file)]
        found += [ClipSource(file) for file in single]
        return require_any(found, root, "*meta_info*.json or *layout.json", "the layouts")

    def read_source(self, source: ClipSource, root: Path) -> Clip:
        """The clip of one scene."""
        content = self._kept(read_json_object, source.file)
        if source.key:
            scene, found = source.key, _from_vsi_bench(str(source), content[source.key])
        else:
            scene, found = _from_own_format(str(source), content)
        video, pts_seconds = video_beside(source.file, root, scene)
        room = SAME_ROOM.fullmatch(scene)
        return Clip(
            clip_id=scene,
            scene_id=room.group(1) if room else scene,
            media=video,
            pts_seconds=pts_seconds,
            **found,
        )


def _from_vsi_bench(where: str, value: object) -> dict[str, Any]:
    """Keyword arguments of a clip that describe one scene."""
    content = require_object(where, value)
    check_keys(where, {"object_bbox", "dataset"} & set(content), ("object_bbox", "dataset"))
    boxes: list[LayoutBox] = []
    for name, listed in require_object(f"{where}: object_bbox", content["object_bbox"]).items():
        for number, box in enumerate(require_list(f"{where}: {name}", listed), start=1):
            keys = ("centroid", "axesLengths", "normalizedAxes")
            boxes.append(layout_box(f"{where}: {name} {number}", name, box, keys, ("min", "max")))
    counted = require_object(f"{where}: object_counts", content.get("object_counts", {}))
    boxed = Counter(box.name for box in boxes)
    return {
        "domain": require_text(where, content, "dataset"),
        "layout": tuple(boxes),
        "room_area_square_metres": number_or_none(where, content, "room_size"),
        "complete_kinds": tuple(name for name, number in sorted(boxed.items()) if counted.get(name) == number),
    }


def _from_own_format(where: str, content: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Scene, and the keyword arguments of a clip that describe it."""
    check_keys(where, content, ("format", "scene", "domain", "objects"), ("room_area_square_metres", "complete_kinds"))
    if content["format"] != FORMAT:
        msg = f"{where}: format is {content['format']!r:.40}, this version reads {FORMAT!r}"
        raise AnnotationError(msg)
    boxes = []
    for number, value in enumerate(require_list(f"{where}: objects", content["objects"]), start=1):
        place = f"{where}: object {number}"
        box = {"axes": np.eye(3).tolist(), **require_object(place, value)}
        check_keys(place, box, ("name", "centre_metres", "size_metres", "axes"))
        name = require_text(place, box, "name")
        boxes.append(layout_box(place, name, box, ("centre_metres", "size_metres", "axes"), ("name",)))
    return require_text(where, content, "scene"), {
        "domain": require_text(where, content, "domain"),
        "layout": tuple(boxes),
        "room_area_square_metres": number_or_none(where, content, "room_area_square_metres"),
        "complete_kinds": texts_or_none(where, content, "complete_kinds"),
    }


def layout_box(
    where: str, name: str, value: object, keys: tuple[str, str, str], others: tuple[str, ...] = ()
) -> LayoutBox:
    """A box from its centre, full lengths and axes in rows, whose keys are ``keys``; ``others`` are not read.

    Raises:
        AnnotationError: Naming the key that is no such thing.
    """
    content = require_object(where, value)
    check_keys(where, content, keys, others)
    centre, size, axes = (
        _metres(f"{where}: {key}", content[key], num) for key, num in zip(keys, (3, 3, 9), strict=True)
    )
    axes = axes.reshape(3, 3)
    if (size <= 0).any():
        msg = f"{where}: {keys[1]} must be positive, found {size.tolist()}"
        raise AnnotationError(msg, reason="zero length")
    if np.abs(axes @ axes.T - np.eye(3)).max() > 1e-3:
        msg = f"{where}: the rows of {keys[2]} must be perpendicular unit vectors"
        raise AnnotationError(msg, reason="pose")
    return LayoutBox(name, centre, size, axes)


def _metres(where: str, value: object, num_numbers: int) -> FloatArray:
    numbers = require_numbers(where, value).reshape(-1)
    if len(numbers) != num_numbers:
        msg = f"{where} must hold {num_numbers} numbers, found {len(numbers)}"
        raise AnnotationError(msg, reason="shape")
    if np.abs(numbers).max() > MAX_METRES:
        msg = f"{where} reaches beyond {MAX_METRES:.0f} m, give metres"
        raise AnnotationError(msg, reason="too large")
    return numbers
