"""Drives in the layout of the KITTI odometry benchmark (https://www.cvlibs.net/datasets/kitti/eval_odometry.php).

The source's conventions, as its authors state them: a row of ``poses/00.txt`` is a 3x4 matrix in row order, the pose
of the left grey *camera 0* in the axes of its first frame, *camera-to-world*, OpenCV axes (x right, y down, z
forward), metres. ``sequences/00/times.txt`` holds a time in seconds for each row, ``sequences/00/calib.txt`` the
projections ``P0`` to ``P3`` of the four cameras from rectified points in camera 0's axes. The other cameras are
turned as camera 0 is and stand beside it: the last column of ``P2``, divided by the intrinsics, says how far.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from remot.data.annotations.base import ClipSource
from remot.data.annotations.cameras.poses import headings_degrees, relative_to_first
from remot.data.annotations.cameras.sequences import SequenceReader, sources_of
from remot.data.annotations.images import images_in
from remot.data.annotations.parsing.number_rows import number_table, numbers_in, table_rows
from remot.errors import AnnotationError
from remot.files import find_files
from remot.structures import AgentTrack, CameraTrack, Clip, FloatArray

ImageFolder = Literal["image_0", "image_1", "image_2", "image_3"]
#: Colour before grey, left before right.
PREFERRED: tuple[ImageFolder, ...] = ("image_2", "image_0", "image_3", "image_1")


@dataclass(eq=False)
class KITTIOdometryReader(SequenceReader):
    """Reads ``poses/<sequence>.txt`` with ``sequences/<sequence>``.

    See the module for the source's conventions; the poses of camera 0 are moved to the camera whose images are
    taken. Because a car drives on the ground, the clip has an agent: the car, at the place of camera 0, seen from
    above. East is the x axis (right) of the first frame, north its z axis (forward), so that every drive begins
    northwards.

    Args:
        image_folder: Whose images to take; None takes the first that exists of ``image_2`` (left, colour),
            ``image_0`` (left, grey), ``image_3`` and ``image_1``.
        fps: Images per second where there is no ``times.txt``.
    """

    image_folder: ImageFolder | None = None
    fps: float = 10.0

    def sequences(self, root: Path) -> list[ClipSource]:
        """The files of poses whose sequence has a folder."""
        wanted = "poses/*.txt"
        found = [file for file in find_files(root, wanted) if (file.parents[1] / "sequences" / file.stem).is_dir()]
        return sources_of(root, found, f"{wanted} with a folder sequences/<name> beside poses")

    def read_sequence(self, sequence: ClipSource, root: Path) -> Clip:
        """The drive whose poses are in one file."""
        file = sequence.file
        folder = file.parents[1] / "sequences" / file.stem
        rows = number_table(file, 12).reshape(-1, 3, 4)
        camera_0 = np.tile(np.eye(4), (len(rows), 1, 1))
        camera_0[:, :3] = rows
        present = [name for name in PREFERRED if (folder / name).is_dir()]
        image_folder = self.image_folder or (present or PREFERRED)[0]
        media = images_in(file, root, f"../sequences/{file.stem}/{image_folder}")
        kept = self.numbered_images(file, media, len(camera_0), 0, "poses")
        listed = folder / "times.txt"
        times = number_table(listed, 1)[:, 0] if listed.exists() else np.arange(len(camera_0)) / self.fps
        if len(times) != len(camera_0):
            msg = f"{file}: {len(camera_0)} poses but {len(times)} times in {listed}; there must be one for each"
            raise AnnotationError(msg, reason="unsynchronised")
        intrinsics, beside = _read_calibration(folder / "calib.txt", image_folder)
        camera_0, times = camera_0[kept], times[kept]
        car = relative_to_first(camera_0)[:, [0, 2]]  # x is to the east, z to the north
        return Clip(
            clip_id=file.stem,
            scene_id=file.stem,
            domain="kitti_odometry",
            media=media,
            pts_seconds=times - times[0],
            camera=CameraTrack(camera_0 @ beside, intrinsics),
            agent=AgentTrack(car[:, :, 3], headings_degrees(car[:, :, 2])),
        )


def _read_calibration(file: Path, image_folder: str) -> tuple[FloatArray | None, FloatArray]:
    """Pinhole matrix [3, 3] of a camera, and its pose [4, 4] in camera 0's axes; without a file None and no offset."""
    if not file.exists():
        return None, np.eye(4)
    key = f"P{image_folder[-1]}:"
    for where, words in table_rows(file):
        if words[0] == key:
            projection = numbers_in(where, words[1:], 12).reshape(3, 4)
            intrinsics = projection[:, :3]
            if abs(np.linalg.det(intrinsics)) < 1e-6:
                msg = f"{file}: the first three columns of {key[:-1]} are no pinhole matrix"
                raise AnnotationError(msg)
            pose = np.eye(4)
            pose[:3, 3] = -np.linalg.solve(intrinsics, projection[:, 3])
            return intrinsics, pose
    msg = f"{file}: there is no line {key!r}, which the images of {image_folder} need"
    raise AnnotationError(msg, reason="missing")
