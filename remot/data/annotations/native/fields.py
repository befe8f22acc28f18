"""The parts of a clip in the native format, each from its JSON value to its record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import check_keys, media_inside, require_numbers, require_object, require_text
from remot.data.annotations.camera_axes import effector_seen_from, seen_from
from remot.data.media.images import IMAGE_SUFFIXES
from remot.errors import AnnotationError
from remot.files import files_in
from remot.structures import AgentTrack, CameraTrack, EffectorTrack, Event, FloatArray, LayoutBox, ObjectTrack

#: Largest grey value of a mask: that of an image with 16 bits.
MAX_MASK_VALUE = 65_535
#: Axes of positions: those in which the camera's poses are given, or those of each image's own camera.
FRAMES = ("world", "camera")
#: How far the axes of a layout box may be from unit vectors at right angles.
AXES_TOLERANCE = 1e-3


def camera_from(where: str, value: object) -> CameraTrack:
    """A camera; a pose is 16 numbers in row order or four rows of four."""
    content = require_object(where, value)
    check_keys(where, content, ("camera_to_world",), ("intrinsics", "is_metric"))
    poses = require_numbers(f"{where}: camera_to_world", content["camera_to_world"])
    if poses.ndim == 2 and poses.shape[1] == 16:
        poses = poses.reshape(-1, 4, 4)
    intrinsics, is_metric = content.get("intrinsics"), bool_from(where, content, "is_metric", default=True)
    if intrinsics is None:
        return CameraTrack(poses, None, is_metric)
    return CameraTrack(poses, require_numbers(f"{where}: intrinsics", intrinsics, shape=(3, 3)), is_metric)


def effector_from(where: str, value: object, camera: CameraTrack | None) -> EffectorTrack:
    """An effector; ``null`` is a coordinate that is not known.

    Args:
        where: File and key, for errors.
        value: The JSON value.
        camera: The clip's camera, by which positions of ``"frame": "world"`` are brought into its axes.
    """
    content = require_object(where, value)
    check_keys(where, content, ("positions",), ("opening", "frame", "visible"))
    opening, visible = content.get("opening"), content.get("visible")
    positions = numbers_or_unknown(f"{where}: positions", content["positions"])
    opened = None if opening is None else require_numbers(f"{where}: opening", opening)
    shown = None if visible is None else truths_from(f"{where}: visible", visible)
    frame = _frame_from(where, content, (*FRAMES, "viewer"))
    if positions.shape[1:] != (3,) or frame == "viewer":
        return EffectorTrack(positions, opened, "viewer", shown)
    _require_frames(where, positions, camera)
    return effector_seen_from(camera, positions, opened, shown, "camera" if frame == "camera" else "world")


def _frame_from(where: str, content: dict[str, Any], frames: tuple[str, ...]) -> str:
    """The axes that positions are given in, the last of ``frames`` without the key."""
    frame = content.get("frame", frames[-1])
    if not isinstance(frame, str) or frame not in frames:
        msg = (
            f"{where}: frame is {frame!r:.40}, choose {' or '.join(frames)}; for a robot's base choose world and give "
            "camera_to_world in the base's axes"
        )
        raise AnnotationError(msg)
    return frame


def _require_frames(where: str, positions: FloatArray, camera: CameraTrack | None) -> None:
    """Refuse positions that are not as many as the poses they are to be combined with."""
    if camera is not None and camera.camera_to_world.shape != (len(positions), 4, 4):
        msg = f"{where}: {len(positions)} positions for camera_to_world of shape {camera.camera_to_world.shape}"
        raise AnnotationError(msg, reason="shape")


def object_from(
    where: str, value: object, file: Path, root: Path, num_frames: int, camera: CameraTrack | None
) -> ObjectTrack:
    """An object; ``null`` is a box of an object that is not visible, or a depth that is not known.

    ``"frame": "world"`` brings ``centres_metres`` into the camera's axes; without poses they are not known.
    """
    content = require_object(where, value)
    optional = ("is_landmark", "depths_metres", "masks", "size_metres", "centres_metres", "hidden", "frame")
    check_keys(where, content, ("boxes_xyxy",), optional)
    depths, masks, size, centres, hidden = (
        content.get(key) for key in ("depths_metres", "masks", "size_metres", "centres_metres", "hidden")
    )
    masks_at, mask_value = (
        (None, 255) if masks is None else _masks_from(f"{where}: masks", masks, file, root, num_frames)
    )
    return ObjectTrack(
        boxes_xyxy=_rows_from(f"{where}: boxes_xyxy", content["boxes_xyxy"], 4),
        is_landmark=bool_from(where, content, "is_landmark", default=False),
        depths_metres=None if depths is None else numbers_or_unknown(f"{where}: depths_metres", [depths])[0],
        masks=masks_at,
        mask_value=mask_value,
        size_metres=None if size is None else require_numbers(f"{where}: size_metres", size, shape=(3,)),
        centres_metres=None if centres is None else _centres_from(where, content, camera),
        hidden=None if hidden is None else truths_from(f"{where}: hidden", hidden),
    )


def _centres_from(where: str, content: dict[str, Any], camera: CameraTrack | None) -> FloatArray | None:
    """[N, 3] middles of an object in the axes of each image's camera, None if these cannot be known."""
    centres = _rows_from(f"{where}: centres_metres", content["centres_metres"], 3)
    if _frame_from(where, content, FRAMES) == "camera":
        return centres
    if camera is None or not camera.is_metric:
        return None
    _require_frames(where, centres, camera)
    return seen_from(camera.camera_to_world, centres)


def agent_from(where: str, value: object) -> AgentTrack:
    """The agent: a player, vehicle or mobile robot."""
    content, keys = require_object(where, value), ("positions_metres", "headings_degrees")
    check_keys(where, content, keys)
    return AgentTrack(*(require_numbers(f"{where}: {key}", content[key]) for key in keys))


def event_from(where: str, value: object) -> Event:
    """Something that happens."""
    content = require_object(where, value)
    check_keys(where, content, ("text", "start_seconds", "end_seconds"))
    keys = ("start_seconds", "end_seconds")
    start, end = (float(require_numbers(f"{where}: {key}", content[key], shape=())) for key in keys)
    return Event(require_text(where, content, "text"), start, end)


def layout_box_from(where: str, value: object) -> LayoutBox:
    """A box of the scene; without ``axes`` its sides are parallel to the world's."""
    content = require_object(where, value)
    check_keys(where, content, ("name", "centre_metres", "size_metres"), ("axes", "image_shares"))
    size = require_numbers(f"{where}: size_metres", content["size_metres"], shape=(3,))
    axes = require_numbers(f"{where}: axes", content.get("axes", np.eye(3).tolist()), shape=(3, 3))
    if (size < 0).any() or np.abs(axes @ axes.T - np.eye(3)).max() > AXES_TOLERANCE:
        msg = f"{where}: size_metres must not be negative and the rows of axes must be unit vectors at right angles"
        raise AnnotationError(msg)
    centre = require_numbers(f"{where}: centre_metres", content["centre_metres"], shape=(3,))
    shares = content.get("image_shares")
    shown = None if shares is None else require_numbers(f"{where}: image_shares", shares)
    return LayoutBox(require_text(where, content, "name"), centre, size, axes, shown)


def paths_from(where: str, file: Path, root: Path, names: list[Any]) -> tuple[Path, ...]:
    """Existing files beside ``file``, refused if one leads outside ``root``."""
    if not names or not all(isinstance(name, str) and name for name in names):
        msg = f"{where}: expected one path for each annotated frame, as texts"
        raise AnnotationError(msg)
    return tuple(media_inside(file, root, name) for name in names)


def numbers_or_unknown(where: str, rows: object) -> FloatArray:
    """[R, C] numbers, NaN where ``rows`` holds ``null``.

    Raises:
        AnnotationError: If ``rows`` is ragged, holds something else, or a literal NaN or infinity.
    """
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        msg = f"{where}: expected lists of numbers of equal length, null for what is not known"
        raise AnnotationError(msg)
    known = [[0.0 if number is None else number for number in row] for row in rows]
    numbers = require_numbers(where, known, num_axes=2)
    numbers[np.array([[number is None for number in row] for row in rows], dtype=np.bool_)] = np.nan
    return numbers


def _rows_from(where: str, rows: object, width: int) -> FloatArray:
    """[N, width], a row of NaN for each ``null``."""
    if not isinstance(rows, list):
        msg = f"{where}: expected a list of {width} numbers for each frame, null where the object is not visible"
        raise AnnotationError(msg)
    known = [row for row in rows if row is not None]
    numbers = np.full((len(rows), width), np.nan)
    if known:
        numbers[[row is not None for row in rows]] = require_numbers(where, known, shape=(len(known), width))
    return numbers


def _masks_from(
    where: str, value: object, file: Path, root: Path, num_frames: int
) -> tuple[Path | tuple[Path, ...], int]:
    content = require_object(where, value)
    check_keys(where, content, ("media", "value"))
    media, mask_value = content["media"], content["value"]
    if isinstance(mask_value, bool) or not isinstance(mask_value, int) or not 0 <= mask_value <= MAX_MASK_VALUE:
        msg = f"{where}: value must be a whole number from 0 to {MAX_MASK_VALUE}, found {mask_value!r:.40}"
        raise AnnotationError(msg)
    if isinstance(media, list):
        images = paths_from(f"{where}: media", file, root, media)
        found: Path | tuple[Path, ...] = images
        num_images = len(images)
    else:
        found = media_inside(file, root, require_text(where, content, "media"))
        if not found.is_dir():
            msg = f"{where}: {found.name} is no folder, give a folder of images or a list with one for each frame"
            raise AnnotationError(msg, reason="media")
        num_images = len(files_in(found, IMAGE_SUFFIXES))
    if num_images < num_frames or (isinstance(found, tuple) and num_images != num_frames):
        msg = f"{where}: {num_images} images for {num_frames} annotated frames, give one for each"
        raise AnnotationError(msg, reason="unsynchronised")
    return found, mask_value


def truths_from(where: str, value: object) -> NDArray[np.bool_]:
    """[N] true or false."""
    if not isinstance(value, list) or not all(isinstance(one, bool) for one in value):
        msg = f"{where}: expected true or false for each annotated frame"
        raise AnnotationError(msg)
    return np.array(value, dtype=np.bool_)


def bool_from(where: str, content: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """The true or false under ``key``."""
    value = content.get(key, default)
    if not isinstance(value, bool):
        msg = f"{where}: {key} must be true or false, found {value!r:.40}"
        raise AnnotationError(msg)
    return value


def number_or_none(where: str, content: dict[str, Any], key: str) -> float | None:
    """The number under ``key``, None without one."""
    value = content.get(key)
    return None if value is None else float(require_numbers(f"{where}: {key}", value, shape=()))


def texts_or_none(where: str, content: dict[str, Any], key: str) -> tuple[str, ...] | None:
    """The texts listed under ``key``, None without a list."""
    value = content.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        msg = f"{where}: {key} must be a list of texts, found {value!r:.60}"
        raise AnnotationError(msg)
    return tuple(value)
