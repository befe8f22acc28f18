"""Writes clips in the native format, see :mod:`remot.data.annotations.native.reader`."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.native.masks import MaskFolders, relative_to
from remot.data.media import write_video
from remot.errors import AnnotationError
from remot.structures import Clip, EffectorTrack, FloatArray, ImageStore, ObjectTrack

FORMAT = "remot-clip/1"
#: Clip ids become file names.
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


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
    """Write a clip and its images in the native format.

    Args:
        clip: Annotations; ``clip.media`` is replaced by the new video. Masks that lie outside ``folder`` are copied to
            ``<clip id>-masks`` in it.
        frames: [N, H, W, 3] RGB, one image per annotated frame.
        folder: Existing folder to write ``<clip id>.json`` and ``<clip id>.mp4`` to.
        fps: Images per second of the video; the annotated times are kept whatever it is.
        source: Where the images come from.
        licence: Under which terms they may be used.
        crf: Quality of the video, see :func:`remot.data.media.write_video`.

    Returns:
        The JSON file.

    Raises:
        AnnotationError: If the id cannot be a file name or the images do not fit the annotations.
    """
    _require_id(clip)
    if len(frames) != clip.num_frames:
        msg = f"clip {clip.clip_id}: needs one image for each of its {clip.num_frames} frames, got {len(frames)}"
        raise AnnotationError(msg, reason="unsynchronised")
    media = folder / f"{clip.clip_id}.mp4"
    write_video(media, frames, fps, crf=crf)
    media_times: FloatArray | None = np.arange(clip.num_frames) / fps
    if media_times is not None and np.abs(media_times - clip.pts_seconds).max() <= 1e-4:
        media_times = None
    return _write(clip, folder, media.name, media_times, {"source": source, "licence": licence})


def write_annotation(clip: Clip, folder: Path, *, source: str, licence: str) -> Path:
    """Write the annotations of a clip whose images stay where they are.

    Args:
        clip: Annotations. Its media must be files that can be named from ``folder``, or None.
        folder: Existing folder to write ``<clip id>.json`` to. The folder given to the reader must hold both
            the file and the media.
        source: Where the images come from.
        licence: Under which terms they may be used.

    Returns:
        The JSON file.

    Raises:
        AnnotationError: If the id cannot be a file name, or the images are in no files of their own.
    """
    _require_id(clip)
    if isinstance(clip.media, ImageStore):
        msg = f"clip {clip.clip_id}: its images lie inside {clip.media}, write them out with write_clip"
        raise AnnotationError(msg, reason="media")
    rights = {"source": source, "licence": licence}
    return _write(clip, folder, relative_to(clip.media, folder), clip.media_pts_seconds, rights)


def _require_id(clip: Clip) -> None:
    if not SAFE_ID.fullmatch(clip.clip_id):
        msg = f"clip {clip.clip_id}: needs an id of letters, digits, . _ - to be a file name"
        raise AnnotationError(msg)


def _write(
    clip: Clip, folder: Path, media: str | list[str] | None, media_times: FloatArray | None, rights: dict[str, str]
) -> Path:
    content: dict[str, Any] = {"format": FORMAT, "id": clip.clip_id, "scene": clip.scene_id, "domain": clip.domain}
    content |= {"media": media, "pts_seconds": _rounded(clip.pts_seconds, 6)}
    content |= _tracks_content(clip, folder) | rights
    if media_times is not None:
        content["media_pts_seconds"] = _rounded(media_times, 6)
    file = folder / f"{clip.clip_id}.json"
    file.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n", encoding="utf-8")
    return file


def _tracks_content(clip: Clip, folder: Path) -> dict[str, Any]:
    """Optional parts are left out where they are empty, but effectors and objects, which older files name as well."""
    content: dict[str, Any] = {}
    if clip.camera is not None:
        content["camera"] = {"camera_to_world": _rounded(clip.camera.camera_to_world.reshape(-1, 16), 6)}
        if clip.camera.intrinsics is not None:
            content["camera"]["intrinsics"] = _rounded(clip.camera.intrinsics, 4)
        if not clip.camera.is_metric:
            content["camera"]["is_metric"] = False
    if clip.camera_moves is not None:
        content["camera_moves"] = clip.camera_moves
    masks = MaskFolders(clip, folder)
    content["effectors"] = {name: _effector_content(track) for name, track in clip.effectors.items()}
    content["objects"] = {name: _object_content(track, masks) for name, track in clip.objects.items()}
    if clip.agent is not None:
        places, headings = clip.agent.positions_metres, clip.agent.headings_degrees
        content["agent"] = {"positions_metres": _rounded(places, 4), "headings_degrees": _rounded(headings, 4)}
    if clip.events:
        content["events"] = [
            {"text": event.text, "start_seconds": event.start_seconds, "end_seconds": event.end_seconds}
            for event in clip.events
        ]
    if clip.layout:
        content["layout"] = [
            {
                "name": box.name,
                "centre_metres": _rounded(box.centre_metres, 4),
                "size_metres": _rounded(box.size_metres, 4),
                "axes": _rounded(box.axes, 6),
            }
            | ({} if box.image_shares is None else {"image_shares": _rounded(box.image_shares, 6)})
            for box in clip.layout
        ]
    if clip.room_area_square_metres is not None:
        content["room_area_square_metres"] = round(clip.room_area_square_metres, 4)
    if clip.complete_kinds is not None:
        content["complete_kinds"] = list(clip.complete_kinds)
    return content


def _effector_content(track: EffectorTrack) -> dict[str, Any]:
    content: dict[str, Any] = {"positions": _rounded(track.positions, 4, unknown=True)}
    if track.opening is not None:
        content["opening"] = _rounded(track.opening, 4)
    if track.frame != "viewer":
        content["frame"] = track.frame
    if track.visible is not None:
        content["visible"] = track.visible.tolist()
    return content


def _object_content(track: ObjectTrack, masks: MaskFolders) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, rows, decimals in (("boxes_xyxy", track.boxes_xyxy, 2), ("centres_metres", track.centres_metres, 3)):
        if rows is not None:  # None for a row that holds NaN
            content[name] = [_rounded(row, decimals) if np.isfinite(row).all() else None for row in rows]
    content["is_landmark"] = track.is_landmark
    if track.depths_metres is not None:
        content["depths_metres"] = _rounded(track.depths_metres, 4, unknown=True)
    if track.size_metres is not None:
        content["size_metres"] = _rounded(track.size_metres, 4)
    if track.hidden is not None:
        content["hidden"] = track.hidden.tolist()
    if track.masks is not None:
        content["masks"] = {"media": masks.place(track.masks), "value": track.mask_value}
    return content


def _rounded(array: FloatArray, decimals: int, *, unknown: bool = False) -> list[Any]:
    """Nested lists of short numbers: whole ones lose their ``.0``, and zero its sign; NaN becomes None if allowed."""

    def shorten(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, list):
            return [shorten(part) for part in value]
        if value != value and unknown:  # only NaN differs from itself
            return None
        return int(value) if value == int(value) else value

    if not (np.isfinite(array) | (unknown & np.isnan(array))).all():
        msg = "a track holds NaN or infinity where the format has no place for it, give finite numbers"
        raise AnnotationError(msg, reason="not finite")
    return list(shorten(np.round(array, decimals).tolist()))
