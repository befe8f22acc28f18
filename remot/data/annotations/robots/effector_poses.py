"""Poses of one effector in a table beside a video: the shortest way from a robot's recording to clips.

``T_a_b`` [4, 4] brings a point from axes b into axes a. With ``T_base_camera`` the pose of the camera in the robot's
base, a point is at ``inv(T_base_camera) @ point`` in the camera's axes (x right, y down, z forward). A camera that is
fixed to the base has one ``T_base_camera``; one at the wrist has ``T_base_camera = T_base_effector @
T_effector_camera`` in each frame, where ``T_effector_camera`` comes from a hand-eye calibration. See
docs/effector_poses.md.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from remot.data.annotations.base import FileReader, media_inside, read_text
from remot.data.annotations.camera_axes import effector_seen_from
from remot.data.annotations.cameras.poses import is_rigid, is_unit, pinhole, rigid, rotations_from
from remot.data.annotations.parsing.number_rows import numbers_in
from remot.data.annotations.robots.axes import (
    UPRIGHT_CAMERA,
    axes_matrix,
    check_opening_range,
    scale_opening,
    to_viewer,
)
from remot.data.annotations.robots.side_poses import opened_archive, read_array
from remot.data.media import video_named
from remot.errors import AnnotationError, ConfigError
from remot.structures import CameraTrack, Clip, EffectorTrack, FloatArray

NEEDED = ("time_seconds", "x", "y", "z")
ORIENTATION = ("qx", "qy", "qz", "qw")
OPTIONAL = ("opening", "visible", *ORIENTATION)
#: Arrays of an archive, and the columns that each stands for.
ARRAYS = {"time_seconds": 1, "position": 3, "orientation_xyzw": 4, "opening": 1, "visible": 1}


@dataclass(eq=False)
class EffectorPosesReader(FileReader):
    """Reads ``<clip>.poses.csv`` or ``<clip>.poses.npz`` beside ``<clip>.mp4`` (or another container); see the module.

    A CSV file begins with the names of its columns: ``time_seconds`` of each frame in the video, ``x``, ``y``, ``z`` of
    the effector in the robot's base, and, where known, ``qx``, ``qy``, ``qz``, ``qw`` of its orientation there,
    ``opening`` of its gripper, and ``visible`` (0 or 1). An archive holds them as arrays ``time_seconds`` [N],
    ``position`` [N, 3], ``orientation_xyzw`` [N, 4], ``opening`` [N] and ``visible`` [N]. Without a calibration of the
    camera questions are limited to what ``axes`` and ``camera_moves`` determine.

    Args:
        name: What questions call the effector.
        camera_to_base: ``T_base_camera`` of a camera that is fixed to the base, 16 numbers in row order.
        camera_to_effector: ``T_effector_camera`` of a camera at the wrist, 16 numbers in row order; needs orientations.
        intrinsics: fx, fy, cx, cy in pixels, by which it is known in which frames the image shows the effector.
        axes: Without calibration, how the base's axes lie for the viewer, see
            :mod:`remot.data.annotations.robots.axes`.
        camera_moves: Without calibration, whether the camera moves against the base; None if that is not known.
        opening_range: Readings of the closed and of the open gripper; None if they are 0 and 1.
        metres_per_unit: Length of the unit of the positions, 0.001 for millimetres.

    Raises:
        ConfigError: If both calibrations are given, one is no rigid transform, or the axes or the range are unusable.
    """

    pattern: ClassVar[str] = "*.poses.[cn][sp][vz]"

    name: str = "gripper"
    camera_to_base: list[float] | None = None
    camera_to_effector: list[float] | None = None
    intrinsics: list[float] | None = None
    axes: str = UPRIGHT_CAMERA
    camera_moves: bool | None = None
    opening_range: tuple[float, float] | None = None
    metres_per_unit: float = 1.0

    def __post_init__(self) -> None:
        if self.camera_to_base is not None and self.camera_to_effector is not None:
            msg = "EffectorPosesReader: camera_to_base and camera_to_effector are both given, keep that of this camera"
            raise ConfigError(msg)
        if not 0 < self.metres_per_unit < float("inf"):
            given = self.metres_per_unit
            msg = f"EffectorPosesReader: metres_per_unit is {given}, give a length above 0, such as 0.001"
            raise ConfigError(msg)
        axes_matrix(self.axes)
        check_opening_range(self.opening_range)
        self._camera_to_base = _transform("camera_to_base", self.camera_to_base)
        self._camera_to_effector = _transform("camera_to_effector", self.camera_to_effector)
        self._intrinsics = pinhole(self.intrinsics)

    def read_clip(self, file: Path, root: Path) -> Clip:
        """The clip of one table."""
        if file.suffix == ".csv":
            columns = _from_csv(file)
        else:
            with opened_archive(file) as archive:
                held = {entry.removesuffix(".npy") for entry in archive.namelist()}
                needed = {"time_seconds", "position"} | (held & set(ARRAYS))
                columns = {name: read_array(file, archive, name) for name in sorted(needed)}
            columns = {name: array[:, None] if array.ndim == 1 else array for name, array in columns.items()}
        _check(file, columns)
        stem = file.name.removesuffix(file.suffix).removesuffix(".poses")
        media = media_inside(file, root, video_named(file.parent, stem).name)
        camera = self._camera(file, columns)
        clip_id = "-".join((*file.resolve().parent.relative_to(root).parts, stem))
        return Clip(
            clip_id=clip_id,
            scene_id=clip_id,
            domain="manipulation",
            media=media,
            pts_seconds=columns["time_seconds"][:, 0],
            camera=camera,
            effectors={self.name: self._track(file, columns, camera)},
            camera_moves=self.camera_moves if camera is None else None,
        )

    def _camera(self, file: Path, columns: dict[str, FloatArray]) -> CameraTrack | None:
        """Poses ``T_base_camera``, None without a calibration."""
        num_frames = len(columns["time_seconds"])
        if self._camera_to_base is not None:
            return CameraTrack(np.tile(self._camera_to_base, (num_frames, 1, 1)), self._intrinsics)
        if self._camera_to_effector is None:
            return None
        if "orientation_xyzw" not in columns:
            msg = f"{file}: a camera at the wrist needs the effector's orientation, add {', '.join(ORIENTATION)}"
            raise AnnotationError(msg)
        positions_metres = columns["position"] * self.metres_per_unit
        effector_to_base = rigid(rotations_from(columns["orientation_xyzw"]), positions_metres)
        return CameraTrack(effector_to_base @ self._camera_to_effector, self._intrinsics)

    def _track(self, file: Path, columns: dict[str, FloatArray], camera: CameraTrack | None) -> EffectorTrack:
        opening = columns.get("opening")
        if opening is not None:
            opening = scale_opening(f"{file}: opening", opening[:, 0], self.opening_range)
        visible = None if "visible" not in columns else columns["visible"][:, 0] != 0
        positions_metres = columns["position"] * self.metres_per_unit
        if camera is None:
            return EffectorTrack(to_viewer(positions_metres, self.axes), opening, visible=visible)
        return effector_seen_from(camera, positions_metres, opening, visible)


def _transform(name: str, numbers: Sequence[float] | None) -> FloatArray | None:
    """[4, 4] of 16 numbers in row order."""
    if numbers is None:
        return None
    if len(numbers) != 16 or not is_rigid(np.array(numbers, dtype=np.float64).reshape(1, 4, 4)).all():
        msg = f"EffectorPosesReader: {name} must be 16 numbers of a rigid transform in row order, metres"
        raise ConfigError(msg)
    return np.array(numbers, dtype=np.float64).reshape(4, 4)


def _from_csv(file: Path) -> dict[str, FloatArray]:
    """Arrays [N, C] of a table, by the names of :data:`ARRAYS`."""
    try:
        header, *lines = list(csv.reader(io.StringIO(read_text(file)))) or [[]]
    except csv.Error as error:
        msg = f"{file}: cannot be read as a table ({error})"
        raise AnnotationError(msg) from error
    names = [name.strip() for name in header]
    unknown = sorted(set(names) - {*NEEDED, *OPTIONAL})
    missing = [name for name in NEEDED if name not in names]
    if unknown or missing or len(set(names)) != len(names):
        fault = (
            f"unknown column {unknown[0]!r:.60}"
            if unknown
            else f"no column {missing[0]!r}"
            if missing
            else "a name twice"
        )
        msg = f"{file}: {fault} in the first line, expected {', '.join(NEEDED)} and, if known, {', '.join(OPTIONAL)}"
        raise AnnotationError(msg)
    rows = [numbers_in(f"{file}: line {k}", row, len(names)) for k, row in enumerate(lines, start=2) if any(row)]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    held = {name: table[:, column] for column, name in enumerate(names)}
    groups = {"time_seconds": NEEDED[:1], "position": NEEDED[1:], "orientation_xyzw": ORIENTATION}
    groups |= {name: (name,) for name in ("opening", "visible")}
    return {
        name: np.stack([held[column] for column in group], axis=1)
        for name, group in groups.items()
        if all(column in held for column in group)
    }


def _check(file: Path, arrays: dict[str, FloatArray]) -> None:
    """Refuse arrays that are not finite or differ in length, and orientations that do not have length 1."""
    num_frames = len(arrays["time_seconds"])
    for name, array in arrays.items():
        if array.shape != (num_frames, ARRAYS[name]):
            msg = f"{file}: {name} has shape {'x'.join(map(str, array.shape))}, expected {num_frames}x{ARRAYS[name]}"
            raise AnnotationError(msg, reason="shape")
        if not np.isfinite(array).all():
            msg = f"{file}: {name} holds NaN or infinity, leave those frames out"
            raise AnnotationError(msg, reason="not finite")
    if num_frames == 0:
        msg = f"{file}: holds no row"
        raise AnnotationError(msg, reason="zero length")
    if "orientation_xyzw" in arrays and not is_unit(arrays["orientation_xyzw"]).all():
        row = int(np.flatnonzero(~is_unit(arrays["orientation_xyzw"]))[0])
        msg = f"{file}: the quaternion of row {row} does not have length 1, give qx, qy, qz, qw"
        raise AnnotationError(msg, reason="pose")
