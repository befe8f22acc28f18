"""Logs that a game writes beside its screen recording: ``<name>.jsonl`` beside ``<name>.mp4``.

The first line is a header that says how the game counts, each further line is one image of the video:

.. code-block:: json

    {"format": "remot-log/1", "scene": "harbour", "engine": "unity", "vertical_fov_degrees": 60}
    {"t": 0.0, "position": [1.0, 1.7, 4.0], "yaw": 90, "pitch": 0, "objects": {"crate 1": {"box": [10, 20, 40, 60]}}}
    {"t": 0.1, "position": [1.0, 1.7, 4.0], "yaw": 92, "pitch": 0, "events": ["the gate opens"]}

``position``, ``yaw``, ``pitch`` and ``roll`` are the camera's, as the game counts them (:mod:`.game_axes`); all lengths
are in the game's units and become metres. Every key is listed in docs/sources/games.md.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from remot.data.annotations.base import (
    FileReader,
    check_keys,
    media_inside,
    numbered_lines,
    parse_json,
    require_object,
    require_text,
)
from remot.data.annotations.games.game_axes import AXIS_KEYS, axes_from
from remot.data.annotations.games.game_tracks import LogLine, agent_of, events_of, line_from, objects_of
from remot.data.annotations.images import probed
from remot.data.media import VideoInfo
from remot.errors import AnnotationError
from remot.structures import CameraTrack, Clip, FloatArray

FORMAT = "remot-log/1"
REQUIRED_KEYS = ("format", "scene")
FOV_KEYS = ("horizontal_fov_degrees", "vertical_fov_degrees")
SIZE_KEYS = ("width", "height")
OPTIONAL_KEYS = ("engine", *AXIS_KEYS, *FOV_KEYS, *SIZE_KEYS, "domain", "id", "media", "landmarks")


class GameLogReader(FileReader):
    """Reads game logs. See the module for the layout.

    The camera and the agent come out in a right-handed world with x to the east, y to the north and z up, in metres.
    Without ``player`` in its lines, a log is taken to be of a first-person game, whose agent stands where the camera
    is.
    """

    pattern: ClassVar[str] = "*.jsonl"

    def read_clip(self, file: Path, root: Path) -> Clip:
        """The clip of one log."""
        header, lines = _parse(file)
        where, defaults = str(file), {"media": f"{file.stem}.mp4", "id": file.stem, "domain": "game"}
        media_name, clip_id, domain = (require_text(where, defaults | header, key) for key in defaults)
        media = media_inside(file, root, media_name)
        video = probed(file, media, len(lines), "lines")
        axes, landmarks = axes_from(header), header.get("landmarks", [])
        if not isinstance(landmarks, list) or not all(isinstance(name, str) for name in landmarks):
            msg = "landmarks must be a list of names of objects"
            raise AnnotationError(msg)
        times = np.array([line.seconds for line in lines])
        positions, angles = (np.array([getattr(line, name) for line in lines]) for name in ("position", "angles"))
        interval = float(np.median(np.diff(times))) if len(times) > 1 else 1 / 30
        scale = _scale(header, video)
        return Clip(
            clip_id=clip_id,
            scene_id=require_text(where, header, "scene"),
            domain=domain,
            media=media,
            pts_seconds=times - times[0],
            camera=CameraTrack(axes.camera_to_world(positions, angles), _intrinsics(header, video)),
            objects=objects_of(where, lines, scale, frozenset(landmarks), axes.units_per_metre),
            media_pts_seconds=video.pts_seconds,
            agent=agent_of(where, lines, axes),
            events=events_of(lines, interval),
        )


def _parse(file: Path) -> tuple[dict[str, Any], list[LogLine]]:
    """Header and lines, each with its keys checked."""
    rows = list(numbered_lines(file))
    if not rows:
        msg = f"{file}: the log is empty, write a header and a line for each image"
        raise AnnotationError(msg, reason="zero length")
    header = require_object(rows[0][0], parse_json(*rows[0]))
    if header.get("format") != FORMAT:
        msg = f"{file}: the first line's format is {header.get('format')!r:.40}, this version reads {FORMAT!r}"
        raise AnnotationError(msg)
    check_keys(rows[0][0], header, REQUIRED_KEYS, OPTIONAL_KEYS)
    if len(rows) == 1:
        msg = f"{file}: the log holds a header only, write a line for each image"
        raise AnnotationError(msg, reason="zero length")
    lines: list[LogLine] = []
    for where, row in rows[1:]:
        lines.append(line_from(where, require_object(where, parse_json(where, row))))
        if len(lines) > 1 and lines[-1].seconds <= lines[-2].seconds:
            msg = f"{where}: t is {lines[-1].seconds} after {lines[-2].seconds}, each line must be later than the last"
            raise AnnotationError(msg, reason="times")
    return header, lines


def _number(header: dict[str, Any], key: str, low: float, high: float) -> float:
    value = header[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value < high:
        msg = f"{key} is {value!r:.40}, give a number between {low:g} and {high:g}"
        raise AnnotationError(msg)
    return float(value)


def _intrinsics(header: dict[str, Any], video: VideoInfo) -> FloatArray | None:
    """[3, 3] in pixels of the video; with one field of view the pixels are taken to be square, with none it is None."""
    sizes = dict(zip(FOV_KEYS, (video.width, video.height), strict=True))
    focal = {
        key: size / 2 / np.tan(np.radians(_number(header, key, 0, 180)) / 2)
        for key, size in sizes.items()
        if key in header
    }
    if not focal:
        return None
    across, down = (focal.get(key, next(iter(focal.values()))) for key in FOV_KEYS)
    return np.array([[across, 0, video.width / 2], [0, down, video.height / 2], [0, 0, 1]])


def _scale(header: dict[str, Any], video: VideoInfo) -> FloatArray:
    """[4] by which boxes are multiplied: they are in pixels of the screen, which may be larger than the video."""
    if len([key for key in SIZE_KEYS if key in header]) == 1:
        msg = "the header names only one of width and height, give both or neither"
        raise AnnotationError(msg)
    if "width" not in header:
        return np.ones(4)
    width, height = (_number(header, key, 0, 100_000) for key in SIZE_KEYS)
    return np.array([video.width / width, video.height / height] * 2)
