"""The library's own clip format: ``<name>.json`` beside ``<name>.mp4``, all in the conventions of ``Clip``.

.. code-block:: json

    {"format": "remot-clip/1", "id": "kitchen-7", "scene": "kitchen", "domain": "manipulation",
     "media": "kitchen-7.mp4", "pts_seconds": [0.0, 0.1],
     "camera": {"camera_to_world": [[1,0,0,0, 0,1,0,0, 0,0,1,0, 0,0,0,1], "..."], "intrinsics": [[128,0,64], "..."]},
     "effectors": {"left arm": {"positions": [[0.1, null, 1.0], "..."], "opening": [0.0, 1.0]}},
     "objects": {"red ball": {"boxes_xyxy": [[10, 20, 30, 40], null], "depths_metres": [1.5, null]}},
     "agent": {"positions_metres": [[0.0, 1.0], "..."], "headings_degrees": [90, 95]},
     "events": [{"text": "the door opens", "start_seconds": 0.0, "end_seconds": 0.1}],
     "layout": [{"name": "chair", "centre_metres": [1, 2, 0.5], "size_metres": [0.5, 0.5, 1.0]}],
     "source": "where the images come from", "licence": "Apache-2.0"}

The first six keys are needed. ``media`` is a video, a folder of images, a list with one image for each annotated
frame, or ``null`` for annotations without images. ``null`` among numbers marks what is not known or not visible; the
literal ``NaN`` is refused. All fields are listed in docs/clip_format.md and ``remot/assets/clip.schema.json``.
"""

from pathlib import Path
from typing import Any, ClassVar

from remot.data.annotations.base import (
    FileReader,
    check_keys,
    media_inside,
    read_json_object,
    require_list,
    require_numbers,
    require_object,
    require_text,
)
from remot.data.annotations.native.fields import (
    agent_from,
    bool_from,
    camera_from,
    effector_from,
    event_from,
    layout_box_from,
    number_or_none,
    object_from,
    paths_from,
    texts_or_none,
)
from remot.data.annotations.native.writer import FORMAT, write_annotation, write_clip
from remot.errors import AnnotationError
from remot.structures import Clip, Media

__all__ = ["FORMAT", "OPTIONAL_KEYS", "REQUIRED_KEYS", "NativeReader", "write_annotation", "write_clip"]

REQUIRED_KEYS = ("format", "id", "scene", "domain", "media", "pts_seconds")
TRACK_KEYS = (
    "camera",
    "camera_moves",
    "effectors",
    "objects",
    "agent",
    "events",
    "layout",
    "room_area_square_metres",
    "complete_kinds",
)
OPTIONAL_KEYS = (*TRACK_KEYS, "media_pts_seconds", "source", "licence")


class NativeReader(FileReader):
    """Reads the native clip format."""

    pattern: ClassVar[str] = "*.json"

    def read_clip(self, file: Path, root: Path) -> Clip:
        """The clip in one JSON file."""
        content, where = read_json_object(file), str(file)
        check_keys(where, content, REQUIRED_KEYS, OPTIONAL_KEYS)
        if content["format"] != FORMAT:
            msg = f"{file}: format is {content['format']!r:.40}, this version reads {FORMAT!r}"
            raise AnnotationError(msg)
        media: Media = None
        if isinstance(content["media"], list):
            media = paths_from(f"{file}: media", file, root, content["media"])
        elif content["media"] is not None:
            media = media_inside(file, root, require_text(where, content, "media"))
        media_times = content.get("media_pts_seconds")
        pts_seconds = require_numbers(f"{where}: pts_seconds", content["pts_seconds"], num_axes=1)
        return Clip(
            clip_id=require_text(where, content, "id"),
            scene_id=require_text(where, content, "scene"),
            domain=require_text(where, content, "domain"),
            media=media,
            pts_seconds=pts_seconds,
            media_pts_seconds=None
            if media_times is None
            else require_numbers(f"{where}: media_pts_seconds", media_times, num_axes=1),
            **_tracks_from(content, file, root, len(pts_seconds)),
        )


def _tracks_from(content: dict[str, Any], file: Path, root: Path, num_frames: int) -> dict[str, Any]:
    """What is optional of a clip, by the names of its arguments."""
    effectors = require_object(f"{file}: effectors", content.get("effectors", {}))
    objects = require_object(f"{file}: objects", content.get("objects", {}))
    agent, camera = content.get("agent"), content.get("camera")
    seen_by = None if camera is None else camera_from(f"{file}: camera", camera)
    moves = content.get("camera_moves")
    events, layout = (require_list(f"{file}: {key}", content.get(key, [])) for key in ("events", "layout"))
    return {
        "camera": seen_by,
        "effectors": {name: effector_from(f"{file}: effector {name}", v, seen_by) for name, v in effectors.items()},
        "objects": {
            name: object_from(f"{file}: object {name}", v, file, root, num_frames, seen_by)
            for name, v in objects.items()
        },
        "agent": None if agent is None else agent_from(f"{file}: agent", agent),
        "events": tuple(event_from(f"{file}: event {k}", value) for k, value in enumerate(events)),
        "camera_moves": None if moves is None else bool_from(str(file), content, "camera_moves", default=False),
        "layout": tuple(layout_box_from(f"{file}: layout {k}", value) for k, value in enumerate(layout)),
        "room_area_square_metres": number_or_none(str(file), content, "room_area_square_metres"),
        "complete_kinds": texts_or_none(str(file), content, "complete_kinds"),
    }
