"""The library's own clip format: ``<name>.json`` beside ``<name>.mp4``, all in the conventions of ``Clip``.

.. code-block:: json

    {"format": "remot-clip/1", "id": "kitchen-7", "scene": "kitchen", "domain": "manipulation",
     "media": "kitchen-7.mp4", "pts_seconds": [0.0, 0.1],
     "camera": {"camera_to_world": [[1,0,0,0, 0,1,0,0, 0,0,1,0, 0,0,0,1], "..."], "intrinsics": [[128,0,64], "..."]},
     "effectors": {"left arm": {"positions": [[0.1, 0.2, 1.0], "..."], "opening": [0.0, 1.0]}},
     "objects": {"red ball": {"boxes_xyxy": [[10, 20, 30, 40], null], "is_landmark": false}},
     "source": "where the pictures come from", "licence": "Apache-2.0"}

``camera``, ``effectors``, ``objects``, ``media_pts_seconds``, ``source`` and ``licence`` may be left out. A pose is 16
numbers in row order or four rows of four; ``null`` marks a frame in which an object is not visible.
"""

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import (
    FileReader,
    check_keys,
    media_inside,
    read_json_object,
    require_numbers,
    require_object,
    require_text,
)
from remot.data.video import write_video
from remot.errors import AnnotationError
from remot.structures import CameraTrack, Clip, EffectorTrack, FloatArray, ObjectTrack

FORMAT = "remot-clip/1"
REQUIRED_KEYS = ("format", "id", "scene", "domain", "media", "pts_seconds")
OPTIONAL_KEYS = ("camera", "effectors", "objects", "media_pts_seconds", "source", "licence")
#: Clip ids become file names.
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
INVISIBLE = [float("nan")] * 4


class NativeReader(FileReader):
    """Reads the native clip format."""

    pattern: ClassVar[str] = "*.json"

    def read_clip(self, file: Path, root: Path) -> Clip:
        """The clip in one JSON file.

        Raises:
            AnnotationError: Naming the file and the key at fault.
        """
        content, where = read_json_object(file), str(file)
        check_keys(where, content, REQUIRED_KEYS, OPTIONAL_KEYS)
        if content["format"] != FORMAT:
            msg = f"{file}: format is {content['format']!r:.40}, this version reads {FORMAT!r}"
            raise AnnotationError(msg)
        try:
            return _clip_from(content, where, media_inside(file, root, require_text(where, content, "media")))
        except AnnotationError as error:
            if where in str(error):
                raise
            msg = f"{file}: {error}"
            raise AnnotationError(msg, reason=error.reason) from error


def _clip_from(content: dict[str, Any], where: str, media: Path) -> Clip:
    effectors = require_object(f"{where}: effectors", content.get("effectors", {}))
    objects = require_object(f"{where}: objects", content.get("objects", {}))
    media_times = content.get("media_pts_seconds")
    return Clip(
        clip_id=require_text(where, content, "id"),
        scene_id=require_text(where, content, "scene"),
        domain=require_text(where, content, "domain"),
        media=media,
        pts_seconds=_times_from(f"{where}: pts_seconds", content["pts_seconds"]),
        camera=_camera_from(f"{where}: camera", content["camera"]) if content.get("camera") is not None else None,
        effectors={name: _effector_from(f"{where}: effector {name}", value) for name, value in effectors.items()},
        objects={name: _object_from(f"{where}: object {name}", value) for name, value in objects.items()},
        media_pts_seconds=None if media_times is None else _times_from(f"{where}: media_pts_seconds", media_times),
    )


def _times_from(where: str, value: object) -> FloatArray:
    return require_numbers(where, value, num_axes=1)


def _camera_from(where: str, value: object) -> CameraTrack:
    content = require_object(where, value)
    check_keys(where, content, ("camera_to_world",), ("intrinsics",))
    poses = require_numbers(f"{where}: camera_to_world", content["camera_to_world"])
    if poses.ndim == 2 and poses.shape[1] == 16:
        poses = poses.reshape(-1, 4, 4)
    intrinsics = content.get("intrinsics")
    if intrinsics is None:
        return CameraTrack(poses)
    matrix = require_numbers(f"{where}: intrinsics", intrinsics)
    if matrix.shape != (3, 3):
        msg = f"{where}: intrinsics has shape {matrix.shape}, expected 3x3"
        raise AnnotationError(msg)
    return CameraTrack(poses, matrix)


def _effector_from(where: str, value: object) -> EffectorTrack:
    content = require_object(where, value)
    check_keys(where, content, ("positions",), ("opening",))
    opening = content.get("opening")
    return EffectorTrack(
        require_numbers(f"{where}: positions", content["positions"]),
        None if opening is None else require_numbers(f"{where}: opening", opening),
    )


def _object_from(where: str, value: object) -> ObjectTrack:
    content = require_object(where, value)
    check_keys(where, content, ("boxes_xyxy",), ("is_landmark",))
    rows, is_landmark = content["boxes_xyxy"], content.get("is_landmark", False)
    if not isinstance(rows, list) or not isinstance(is_landmark, bool):
        msg = f"{where}: boxes_xyxy must be a list and is_landmark true or false"
        raise AnnotationError(msg)
    visible = [row for row in rows if row is not None]
    if visible:
        require_numbers(f"{where}: boxes_xyxy", visible)
    boxes = require_numbers(
        f"{where}: boxes_xyxy", [INVISIBLE if row is None else row for row in rows] or [INVISIBLE], finite=False
    )
    return ObjectTrack(boxes[: len(rows)], is_landmark)


def write_clip(
    clip: Clip,
    frames: NDArray[np.uint8],
    folder: Path,
    *,
    fps: float,
    source: str,
    licence: str,
    crf: int = 23,
) -> Path:
    """Write a clip and its pictures in the native format.

    Args:
        clip: Annotations; ``clip.media`` is replaced by the new video.
        frames: [N, H, W, 3] RGB, one picture per annotated frame.
        folder: Existing folder to write ``<clip id>.json`` and ``<clip id>.mp4`` to.
        fps: Pictures per second of the video; the annotated times are kept whatever it is.
        source: Where the pictures come from.
        licence: Under which terms they may be used.
        crf: Quality of the video, see :func:`remot.data.video.write_video`.

    Returns:
        The JSON file.

    Raises:
        AnnotationError: If the id cannot be a file name or the pictures do not fit the annotations.
    """
    if not SAFE_ID.fullmatch(clip.clip_id) or len(frames) != clip.num_frames:
        msg = f"clip {clip.clip_id}: needs an id of letters, digits, . _ - and one picture per frame, got {len(frames)}"
        raise AnnotationError(msg)
    media = folder / f"{clip.clip_id}.mp4"
    write_video(media, frames, fps, crf=crf)
    content = _content_of(clip, media.name) | {"source": source, "licence": licence}
    media_times = np.arange(clip.num_frames) / fps
    if np.abs(media_times - clip.pts_seconds).max() > 1e-4:
        content["media_pts_seconds"] = _rounded(media_times, 6)
    file = folder / f"{clip.clip_id}.json"
    file.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n", encoding="utf-8")
    return file


def _content_of(clip: Clip, media: str) -> dict[str, Any]:
    content: dict[str, Any] = {"format": FORMAT, "id": clip.clip_id, "scene": clip.scene_id, "domain": clip.domain}
    content |= {"media": media, "pts_seconds": _rounded(clip.pts_seconds, 6)}
    if clip.camera is not None:
        content["camera"] = {"camera_to_world": _rounded(clip.camera.camera_to_world.reshape(-1, 16), 6)}
        if clip.camera.intrinsics is not None:
            content["camera"]["intrinsics"] = _rounded(clip.camera.intrinsics, 4)
    content["effectors"] = {name: _effector_content(track) for name, track in clip.effectors.items()}
    content["objects"] = {name: _object_content(track) for name, track in clip.objects.items()}
    return content


def _effector_content(track: EffectorTrack) -> dict[str, Any]:
    opening = {} if track.opening is None else {"opening": _rounded(track.opening, 4)}
    return {"positions": _rounded(track.positions, 4), **opening}


def _object_content(track: ObjectTrack) -> dict[str, Any]:
    boxes = [_rounded(box, 2) if np.isfinite(box).all() else None for box in track.boxes_xyxy]
    return {"boxes_xyxy": boxes, "is_landmark": track.is_landmark}


def _rounded(array: FloatArray, decimals: int) -> list[Any]:
    """Nested lists of short numbers: whole ones lose their ``.0``, and zero its sign."""

    def shorten(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, list):
            return [shorten(part) for part in value]
        return int(value) if value == int(value) else value

    return list(shorten(np.round(array, decimals).tolist()))
