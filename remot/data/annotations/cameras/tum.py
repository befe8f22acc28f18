"""Camera paths in the text format of the TUM RGB-D benchmark (https://cvg.cit.tum.de/data/datasets/rgbd-dataset).

The source's conventions, as its authors state them: ``groundtruth.txt`` has a row ``timestamp tx ty tz qx qy qz qw``
for each pose, in seconds and metres, *camera-to-world*, OpenCV axes (x right, y down, z forward); the quaternion's real
part comes last. ``rgb.txt`` has a row ``timestamp filename`` for each image. Both are timed by clocks of their own
rate, so that an image lies between two poses. Lines with ``#`` are comments.

Many projects write the same rows without a time, one for each image (slambook's ``pose.txt``).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from remot.data.annotations.base import ClipSource, read_text
from remot.data.annotations.cameras.poses import is_unit, pinhole, rigid, rotations_from
from remot.data.annotations.cameras.sequences import TimedPosesReader, sequence_id, sources_of
from remot.data.annotations.images import image_names
from remot.data.annotations.parsing.number_rows import number_table, table_rows
from remot.errors import AnnotationError
from remot.files import find_files
from remot.structures import CameraTrack, Clip, FloatArray

POSE_FILES = ("groundtruth.txt", "pose.txt", "poses.txt")
IMAGE_FOLDERS = ("rgb", "color", "images", ".")
#: A comment that names the quaternion's real part before the others.
W_FIRST = re.compile(r"^#.*\bq\w*w\b.*\bq\w*x\b", re.MULTILINE)
#: Image names that are times, as the benchmark writes them.
TIME_NAME = re.compile(r"[0-9]{1,12}\.[0-9]{1,9}")
#: The benchmark's names give the place: all freiburg1 recordings were taken in one office.
PLACE = re.compile(r"freiburg[0-9]+")
#: No recording has a time in seconds beyond this, the year 5138; nanoseconds and milliseconds do.
MAX_SECONDS = 1e11


class _Images(NamedTuple):
    """Paths relative to the recording's folder, and their times [N] in seconds if they have any."""

    names: list[str]
    times: FloatArray | None


@dataclass(eq=False)
class TUMReader(TimedPosesReader):
    """Reads folders with ``groundtruth.txt`` and ``rgb.txt``, or with ``pose.txt`` and images.

    See the module for the source's conventions; nothing needs converting but quaternions and times. An image gets
    the pose on the way between its two neighbours in time. Images come from ``rgb.txt``, else from the first of the
    folders ``rgb``, ``color``, ``images`` and the recording's own that has some; names such as
    ``1305031102.175304.png`` are times, other names are taken in number order, one for each pose.

    Args:
        intrinsics: ``[fx, fy, cx, cy]`` in pixels, the same for all recordings; None if unknown.
        fps: Images per second where neither poses nor images have times.
        max_gap_seconds: Largest distance in time from an image to either of its two neighbouring poses; an image with
            none so near is left out.
    """

    intrinsics: list[float] | None = None
    fps: float = 30.0

    def sequences(self, root: Path) -> list[ClipSource]:
        """The pose files below ``root``, one for each folder."""
        first = {file.parent: file for name in reversed(POSE_FILES) for file in find_files(root, name)}
        return sources_of(root, first.values(), " or ".join(POSE_FILES))

    def read_sequence(self, sequence: ClipSource, root: Path) -> Clip:
        """The recording whose poses are in one file."""
        file = sequence.file
        rows = _rows(file)
        images = _find_images(file)
        if rows.shape[1] == 8:
            _require_increasing(file, rows[:, 0])
        if rows.shape[1] == 8 and images.times is not None:
            poses, found = self.poses_between(file, rows[:, 0], rows[:, 1:4], rows[:, 4:], images.times)
            times = images.times[found]
            names = [name for name, is_found in zip(images.names, found, strict=True) if is_found]
        else:
            if len(rows) != len(images.names):
                msg = f"{file}: {len(rows)} poses but {len(images.names)} images, and no times to match them by"
                raise AnnotationError(msg, reason="unsynchronised")
            times = rows[:, 0] if rows.shape[1] == 8 else np.arange(len(rows)) / self.fps
            poses, names = rigid(rotations_from(rows[:, -4:]), rows[:, -7:-4]), images.names
        media, kept = self.listed_images(file, file.parent, root, names)
        times, poses = times[kept], poses[kept]
        name = sequence_id(file.parent, root)
        place = PLACE.search(name)
        return Clip(
            clip_id=name,
            scene_id=place.group() if place else name,
            domain="tum",
            media=media,
            pts_seconds=times - times[0],
            camera=CameraTrack(poses, pinhole(self.intrinsics)),
        )


def _rows(file: Path) -> FloatArray:
    """[N, 8] rows with a time, or [N, 7] without."""
    if W_FIRST.search(read_text(file)):
        msg = f"{file}: its header names qw before qx, this format has qx qy qz qw; reorder the columns"
        raise AnnotationError(msg, reason="pose")
    first = next(table_rows(file), ("", []))[1]
    rows = number_table(file, 7 if len(first) == 7 else 8)
    wrong = np.flatnonzero(~is_unit(rows[:, -4:]))
    if len(wrong):
        msg = f"{file}: row {wrong[0] + 1} has no quaternion of length 1 in its last four columns (qx qy qz qw)"
        raise AnnotationError(msg, reason="pose")
    return rows


def _find_images(file: Path) -> _Images:
    listed = file.parent / "rgb.txt"
    if listed.exists():
        return _listed_images(listed)
    for folder in IMAGE_FOLDERS:
        names = image_names(file.parent / folder)
        if names:
            stems = [Path(name).stem for name in names]
            timed = all(TIME_NAME.fullmatch(stem) for stem in stems)
            return _Images([f"{folder}/{name}" for name in names], np.array(stems, dtype=float) if timed else None)
    msg = f"{file}: there is no rgb.txt and no image in {', '.join(IMAGE_FOLDERS[:-1])} or beside it"
    raise AnnotationError(msg, reason="missing media")


def _listed_images(listed: Path) -> _Images:
    names, times = [], []
    for where, words in table_rows(listed):
        try:
            time, name = float(words[0]), words[1]
        except (ValueError, IndexError) as error:
            msg = f"{where} must hold a time and a file name, found {' '.join(words)[:60]!r}"
            raise AnnotationError(msg) from error
        names.append(name)
        times.append(time)
    if not names:
        msg = f"{listed}: lists no image, remove the file or add rows"
        raise AnnotationError(msg, reason="zero length")
    _require_increasing(listed, np.array(times))
    return _Images(names, np.array(times))


def _require_increasing(file: Path, times: FloatArray) -> None:
    if not np.isfinite(times).all() or np.any(np.diff(times) <= 0):
        row = int(np.argmax(~np.isfinite(times) | (np.diff(times, prepend=-np.inf) <= 0)))
        msg = f"{file}: the times must increase from row to row, those of row {row + 1} do not"
        raise AnnotationError(msg, reason="times")
    if times[-1] > MAX_SECONDS:
        msg = f"{file}: {times[-1]:.0f} is no time in seconds, divide nanoseconds by 1e9"
        raise AnnotationError(msg, reason="times")
