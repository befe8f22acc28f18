"""Camera poses of KITTI recordings from their GPS/IMU and calibration files."""

from pathlib import Path

import numpy as np

from remot.data.annotations.base import numbered_lines
from remot.data.annotations.parsing.number_rows import numbers_in, read_number_rows
from remot.errors import AnnotationError
from remot.structures import CameraTrack, FloatArray

EARTH_RADIUS_METRES = 6_378_137.0
NUM_OXTS_COLUMNS = 30
#: The calibration is given with eight digits.
MAX_SKEW = 1e-3
#: Names of the matrices in the tracking benchmark and, where they differ, in the object benchmark.
MATRICES = {
    "P2": (("P2",), (3, 4)),
    "rectification": (("R_rect", "R0_rect"), (3, 3)),
    "camera_from_velodyne": (("Tr_velo_cam", "Tr_velo_to_cam"), (3, 4)),
    "velodyne_from_imu": (("Tr_imu_velo", "Tr_imu_to_velo"), (3, 4)),
}


def camera_of(calib: Path, oxts: Path) -> CameraTrack:
    """Poses of the left colour camera (``image_02``) in metres, in the axes of its first image.

    The source's conventions, as its development kit has them: latitude, longitude (degrees), altitude, roll, pitch and
    yaw (radians) come first in each of the oxts rows, of the IMU with axes x forward, y left, z up; the position is a
    Mercator projection scaled at the first latitude, x to the east and y to the north; the rotation is
    ``Rz(yaw) Ry(pitch) Rx(roll)``. ``Tr_imu_velo``, ``Tr_velo_cam`` and ``R_rect`` lead from the IMU to the rectified
    first camera, ``P2`` from there to the images.

    Args:
        calib: ``calib/0000.txt``.
        oxts: ``oxts/0000.txt``, a row for each image.
    """
    matrices = _matrices(calib)
    names = ("rectification", "camera_from_velodyne", "velodyne_from_imu")
    camera_from_imu = np.eye(4)
    for matrix in (_colour_camera_shift(calib, matrices["P2"]), *(matrices[name] for name in names)):
        step = np.eye(4)  # of a rotation [3, 3] or a rigid motion [3, 4]
        step[:3, : matrix.shape[1]] = matrix
        camera_from_imu = camera_from_imu @ step
    turn = camera_from_imu[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > MAX_SKEW or np.linalg.det(turn) < 0:
        msg = f"{calib}: R_rect, Tr_velo_cam and Tr_imu_velo are together no rigid motion, fetch the file again"
        raise AnnotationError(msg, reason="pose")
    world_from_camera = _world_from_imu(oxts) @ np.linalg.inv(camera_from_imu)
    poses = np.linalg.inv(world_from_camera[0]) @ world_from_camera
    return CameraTrack(poses, matrices["P2"][:, :3].copy())


def colour_camera_from_first(calib: Path) -> FloatArray:
    """[3] metres to add to places in the axes of the rectified first camera to have them in those of ``image_02``."""
    return np.asarray(_colour_camera_shift(calib, _matrices(calib)["P2"])[:, 3])


def _matrices(calib: Path) -> dict[str, FloatArray]:
    """The matrices by the names of :data:`MATRICES`."""
    rows = (line.split() for _, line in numbered_lines(calib))
    lines = {name.removesuffix(":"): words for name, *words in rows}
    found = {}
    for name, (spellings, shape) in MATRICES.items():
        words = next((lines[spelling] for spelling in spellings if spelling in lines), [])
        found[name] = numbers_in(f"{calib}: {spellings[0]}", words, shape[0] * shape[1]).reshape(shape)
    return found


def _colour_camera_shift(calib: Path, projection: FloatArray) -> FloatArray:
    """[3, 4] from the rectified first camera to the one with ``projection`` K [I | t]."""
    try:
        shift = np.linalg.solve(projection[:, :3], projection)
    except np.linalg.LinAlgError as error:
        msg = f"{calib}: P2 is no projection of a camera ({error})"
        raise AnnotationError(msg, reason="pose") from error
    return shift.astype(np.float64)


def _world_from_imu(oxts: Path) -> FloatArray:
    """[N, 4, 4] poses of the IMU, x to the east, y to the north, z up, the origin at its first place."""
    rows = read_number_rows(oxts, (NUM_OXTS_COLUMNS,))
    latitude, longitude, altitude, roll, pitch, yaw = rows[:, :6].T
    if (np.abs(latitude) >= 90).any():
        msg = f"{oxts}: a latitude lies beyond the poles, the columns may be in another order"
        raise AnnotationError(msg, reason="pose")
    scale = np.cos(np.radians(latitude[0])) * EARTH_RADIUS_METRES
    east = scale * np.radians(longitude)
    north = scale * np.log(np.tan(np.radians(90 + latitude) / 2))
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = _turn(yaw, 0, 1) @ _turn(pitch, 2, 0) @ _turn(roll, 1, 2)
    places = np.stack([east, north, altitude], axis=1)
    poses[:, :3, 3] = places - places[0]
    return poses


def _turn(radians: FloatArray, first: int, second: int) -> FloatArray:
    """[N, 3, 3] rotations that turn axis ``first`` towards axis ``second``."""
    turns = np.tile(np.eye(3), (len(radians), 1, 1))
    turns[:, first, first] = turns[:, second, second] = np.cos(radians)
    turns[:, second, first] = np.sin(radians)
    turns[:, first, second] = -np.sin(radians)
    return turns
