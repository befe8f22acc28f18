"""``transforms.json`` of nerfstudio (https://docs.nerf.studio/quickstart/data_conventions.html) and instant-ngp.

The source's conventions, as its authors state them: ``frames`` holds for each image a ``file_path`` relative to the
file and a ``transform_matrix``, *camera-to-world*, OpenGL axes (x right, y up, z backward), in a unit without
meaning. Intrinsics are ``fl_x``, ``fl_y``, ``cx``, ``cy`` in pixels, or ``camera_angle_x``, the horizontal field of
view in radians, for all images or in a frame. The world's z axis usually points up. There are no times, and the
frames come in any order; a ``file_path`` may lack its ending. Further keys, such as ``aabb_scale``, are not needed
here.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from remot.data.annotations.base import (
    ClipSource,
    read_json_object,
    require_numbers,
    require_object,
    require_text,
)
from remot.data.annotations.cameras.poses import OPENGL_TO_OPENCV
from remot.data.annotations.cameras.sequences import SequenceReader, sequence_id, sources_of
from remot.data.media.images import IMAGE_SUFFIXES, size_of_image
from remot.errors import AnnotationError, DecodeError
from remot.files import find_files, number_order
from remot.structures import CameraTrack, Clip, FloatArray

#: Endings tried where a ``file_path`` has none, in this order.
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x")


@dataclass(eq=False)
class NerfstudioReader(SequenceReader):
    """Reads ``transforms.json``, and ``transforms_train.json`` and the like, which are one scene.

    See the module for the source's conventions; the camera's y and z axes are turned round. Frames are taken in the
    number order of their paths.

    Args:
        fps: Images per second.
        is_metric: Whether translations are in metres, as after a capture with a depth sensor; else nothing is asked
            about them.
    """

    pattern: ClassVar[str] = "transforms*.json"

    fps: float = 30.0
    is_metric: bool = False

    def sequences(self, root: Path) -> list[ClipSource]:
        """The transform files."""
        return sources_of(root, find_files(root, self.pattern), self.pattern)

    def read_sequence(self, sequence: ClipSource, root: Path) -> Clip:
        """The recording in one file."""
        file = sequence.file
        content = read_json_object(file)
        frames = _sorted_frames(file, content.get("frames"))
        names = [_name(file, frame["file_path"]) for frame in frames]
        media, kept = self.listed_images(file, file.parent, root, names)
        frames = [frames[k] for k in kept]
        poses = np.stack([_pose(f"{file}: frame {frame['file_path']!r:.80}", frame) for frame in frames])
        scene = sequence_id(file.parent, root)
        suffix = file.stem.removeprefix("transforms")
        return Clip(
            clip_id=f"{scene}{suffix}",
            scene_id=scene,
            domain="nerfstudio",
            media=media,
            pts_seconds=(kept - kept[0]) / self.fps,
            camera=CameraTrack(poses, _intrinsics(file, content, frames, media[0]), self.is_metric),
        )


def _sorted_frames(file: Path, held: object) -> list[dict[str, Any]]:
    if not isinstance(held, list) or not held:
        msg = f"{file}: frames must be a list with at least one frame"
        raise AnnotationError(msg, reason="zero length")
    frames = [require_object(f"{file}: frame {k}", frame) for k, frame in enumerate(held)]
    for k, frame in enumerate(frames):
        for key in ("file_path", "transform_matrix"):
            if key not in frame:
                msg = f"{file}: frame {k} has no {key!r}, add it"
                raise AnnotationError(msg)
        require_text(f"{file}: frame {k}", frame, "file_path")
    return sorted(frames, key=lambda frame: number_order(frame["file_path"]))


def _name(file: Path, name: str) -> str:
    """``name`` with its ending."""
    if Path(name).suffix.lower() in IMAGE_SUFFIXES:
        return name
    for ending in ENDINGS:
        with suppress(OSError, ValueError):  # the name may be hostile
            if (file.parent / (name + ending)).is_file():
                return name + ending
    return name + ENDINGS[0]


def _pose(where: str, frame: dict[str, Any]) -> FloatArray:
    """Camera-to-world [4, 4] in OpenCV axes."""
    matrix = require_numbers(f"{where}: transform_matrix", frame["transform_matrix"], num_axes=2)
    if matrix.shape == (3, 4):
        matrix = np.concatenate([matrix, [[0.0, 0.0, 0.0, 1.0]]])
    if matrix.shape != (4, 4):
        msg = f"{where}: transform_matrix has shape {matrix.shape}, expected 4x4"
        raise AnnotationError(msg, reason="shape")
    return np.asarray(matrix @ OPENGL_TO_OPENCV)


def _intrinsics(file: Path, content: dict[str, Any], frames: list[dict[str, Any]], first: Path) -> FloatArray | None:
    """Pinhole matrix [3, 3], None if it is not known or not the same for all frames.

    Each key is that of the frame, else that of the whole file.
    """
    found = []
    for frame in frames:
        held = {key: (content | frame).get(key) for key in INTRINSICS}
        numbers = {k: require_numbers(f"{file}: {k}", v, num_axes=0) for k, v in held.items() if v is not None}
        found.append({key: float(number) for key, number in numbers.items()})
    if any(settings != found[0] for settings in found):
        return None
    given = found[0]
    try:
        size = (given["w"], given["h"]) if {"w", "h"} <= given.keys() else size_of_image(first)
    except DecodeError:
        return None
    angle = given.get("camera_angle_x")
    fx = given.get("fl_x") or (size[0] / 2 / np.tan(angle / 2) if angle and 0 < angle < np.pi else 0.0)
    if fx <= 0:
        return None
    cx, cy = given.get("cx", size[0] / 2), given.get("cy", size[1] / 2)
    return np.array([[fx, 0.0, cx], [0.0, given.get("fl_y", fx), cy], [0.0, 0.0, 1.0]])
