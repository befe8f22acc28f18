"""Recordings in the ASL layout of the EuRoC micro aerial vehicles (Burri et al., IJRR 2016).

The source's conventions, as its authors state them: below ``mav0``, ``cam0/data.csv`` lists the images of
``cam0/data`` by time in nanoseconds; ``cam0/sensor.yaml`` holds ``T_BS``, which takes points from the sensor's axes S
to the body's axes B, and the intrinsics ``[fu, fv, cu, cv]``; ``state_groundtruth_estimate0/data.csv`` has a row
``timestamp, p_x, p_y, p_z, q_w, q_x, q_y, q_z, ...`` for each pose of the *body* in the world, metres, real part
first. The camera's axes S are OpenCV's (x right, y down, z forward); the world's z axis points up.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from remot.bounded_yaml import parse_yaml
from remot.data.annotations.base import ClipSource, read_text, require_numbers, require_object
from remot.data.annotations.cameras.poses import is_rigid, is_unit, pinhole, w_last
from remot.data.annotations.cameras.sequences import TimedPosesReader, sequence_id, sources_of
from remot.data.annotations.parsing.number_rows import numbers_in, table_rows
from remot.errors import AnnotationError
from remot.files import find_files
from remot.structures import CameraTrack, Clip, FloatArray

NANOSECONDS = 1e-9
NUM_POSE_COLUMNS = 8
MAX_COLUMNS = 1000
GROUND_TRUTH = "state_groundtruth_estimate0/data.csv"
#: The recordings' names give the place: one machine hall, two rooms.
PLACE = re.compile(r"(?:^|-)(MH|V[0-9])_")


@dataclass(eq=False)
class EuRoCReader(TimedPosesReader):
    """Reads folders with ``mav0`` in them.

    See the module for the source's conventions. The camera's pose is the body's pose times ``T_BS``; an image gets the
    pose on the way between its two neighbours in time. The lens distortion is not undone.

    Args:
        camera: Folder of the camera below ``mav0``.
        max_gap_seconds: Largest distance in time from an image to either of its two neighbouring poses; an image with
            none so near is left out, such as those before the tracker was on.
    """

    camera: str = "cam0"

    def sequences(self, root: Path) -> list[ClipSource]:
        """The folders with the camera's ``sensor.yaml`` in their ``mav0``."""
        wanted = f"mav0/{self.camera}/sensor.yaml"
        return sources_of(root, (file.parents[2] for file in find_files(root, wanted)), wanted)

    def read_sequence(self, sequence: ClipSource, root: Path) -> Clip:
        """The recording in one folder."""
        folder = sequence.file / "mav0" / self.camera
        body_from_camera, intrinsics = _read_sensor(folder / "sensor.yaml")
        listed = list(_timed_rows(folder / "data.csv", range(2, 3), "a file name"))
        names, image_times = [words[0] for _, _, words in listed], [time for _, time, _ in listed]
        truth = sequence.file / "mav0" / GROUND_TRUTH
        pose_times, poses = _read_poses(truth)
        start = image_times[0]  # in whole numbers, because a float holds no nanoseconds of our century
        wanted, posed = (
            np.array([time - start for time in times], dtype=np.float64) * NANOSECONDS
            for times in (image_times, pose_times)
        )
        made, found = self.poses_between(truth, posed, poses[:, :3], w_last(poses[:, 3:]), wanted)
        media, kept = self.listed_images(
            folder / "data.csv", folder / "data", root, [names[k] for k in np.flatnonzero(found)]
        )
        times, made = wanted[found][kept], made[kept]
        name = sequence_id(sequence.file, root)
        place = PLACE.search(name)
        return Clip(
            clip_id=name,
            scene_id=place.group(1) if place else name,
            domain="euroc",
            media=media,
            pts_seconds=times - times[0],
            camera=CameraTrack(made @ body_from_camera, intrinsics),
        )


def _read_sensor(file: Path) -> tuple[FloatArray, FloatArray | None]:
    """``T_BS`` [4, 4] and the pinhole matrix [3, 3] if there is one."""
    text = re.sub(r"\A%YAML:.*\n", "", read_text(file))  # OpenCV's header, which is no YAML
    try:
        content = require_object(str(file), parse_yaml(text))
    except ValueError as error:
        msg = f"{file}: not valid YAML ({str(error)[:200]})"
        raise AnnotationError(msg) from error
    held = require_object(f"{file}: T_BS", content.get("T_BS"))
    numbers = require_numbers(f"{file}: T_BS data", held.get("data"))
    if numbers.size != 16 or not is_rigid(numbers.reshape(1, 4, 4))[0]:
        msg = f"{file}: T_BS must be 16 numbers of a rigid motion in row order"
        raise AnnotationError(msg, reason="pose")
    if content.get("intrinsics") is None:
        return numbers.reshape(4, 4), None
    intrinsics = require_numbers(f"{file}: intrinsics", content["intrinsics"], shape=(4,))
    if intrinsics[:2].min() <= 0:
        msg = f"{file}: intrinsics must be fu, fv, cu, cv"
        raise AnnotationError(msg)
    return numbers.reshape(4, 4), pinhole(intrinsics.tolist())


def _read_poses(file: Path) -> tuple[list[int], FloatArray]:
    """Times in nanoseconds, and [N, 7] rows of position and quaternion, real part first."""
    times, rows = [], []
    for where, time, words in _timed_rows(file, range(1, MAX_COLUMNS), "a pose"):  # velocities and biases follow it
        row = numbers_in(where, words[: NUM_POSE_COLUMNS - 1], NUM_POSE_COLUMNS - 1)
        if not is_unit(row[3:]):
            msg = f"{where} has no quaternion of length 1 in columns 5 to 8 (qw qx qy qz)"
            raise AnnotationError(msg, reason="pose")
        times.append(time)
        rows.append(row)
    return times, np.stack(rows)


def _timed_rows(file: Path, widths: range, what: str) -> Iterator[tuple[str, int, list[str]]]:
    """Of each row its name for messages, its time in nanoseconds, later than that of the last, and the other words.

    Args:
        file: The table.
        widths: Allowed numbers of columns.
        what: What follows the time, for messages.
    """
    row, last = 0, -1
    for row, (where, words) in enumerate(table_rows(file, ","), start=1):
        if len(words) not in widths:
            msg = f"{where} must hold a time and {what}, found {','.join(words)[:60]!r}"
            raise AnnotationError(msg)
        if not re.fullmatch(r"[0-9]{1,20}", words[0]):
            msg = f"{where} must begin with a whole number of nanoseconds, found {words[0][:40]!r}"
            raise AnnotationError(msg, reason="times")
        if int(words[0]) <= last:
            msg = f"{file}: the times must increase from row to row, those of row {row} do not"
            raise AnnotationError(msg, reason="times")
        last = int(words[0])
        yield where, last, words[1:]
    if row == 0:
        msg = f"{file}: holds no row, remove the recording or add rows"
        raise AnnotationError(msg, reason="zero length")
