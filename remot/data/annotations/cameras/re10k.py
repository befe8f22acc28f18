"""RealEstate10K camera paths (https://google.github.io/realestate10k) beside the videos they belong to.

The source's conventions, as its authors state them: the first line of ``<id>.txt`` is the address of the original
video; each further row is ``timestamp fx fy cx cy k1 k2`` and a 3x4 matrix in row order. The timestamp counts
microseconds; the focal lengths and the principal point are shares of the image's width and height; the matrix takes
*world to camera*, OpenCV axes (x right, y down, z forward), in a unit that differs from clip to clip.

Row k belongs to the k-th image of ``<id>.mp4``. The rows' timestamps are the true times; those inside the mp4 need
not agree with them, and are only used to find the images.
"""

import logging
import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from remot.data.annotations.base import FileReader, media_inside, read_text
from remot.data.media import VideoInfo, probe, video_named
from remot.errors import AnnotationError, DecodeError
from remot.files import lines_of
from remot.structures import CameraTrack, Clip, FloatArray

NUM_COLUMNS = 19
MICROSECONDS = 1e-6
VIDEO_ID = re.compile(r"(?:[?&]v=|youtu\.be/)([A-Za-z0-9_-]{6,20})")

_logger = logging.getLogger(__name__)


class RealEstate10KReader(FileReader):
    """Reads ``<id>.txt`` + ``<id>.mp4`` pairs. See the module for the source's conventions.

    Args:
        max_gap_seconds: Leave out clips in which two consecutive rows lie further apart, with a log message;
            None keeps all.
    """

    pattern: ClassVar[str] = "*.txt"

    def __init__(self, max_gap_seconds: float | None = None) -> None:
        self.max_gap_seconds = max_gap_seconds

    def read_clip(self, file: Path, root: Path) -> Clip | None:
        """The clip of one path file; None for text files that are no path, or with too large a gap.

        Raises:
            AnnotationError: Naming the file, the row and what does not fit.
        """
        lines = [line for line in lines_of(read_text(file)) if line.strip()]
        if not _is_path_file(file, lines):
            return None
        address = lines.pop(0) if lines and _is_address(lines[0]) else ""
        rows = _parse_rows(file, lines, first_line=2 if address else 1)
        media = media_inside(file, root, video_named(file.parent, file.stem).name)
        video = _probe(media, file, len(rows))
        pts_seconds = (rows[:, 0] - rows[0, 0]) * MICROSECONDS
        if self._has_gap(file, pts_seconds):
            return None
        match = VIDEO_ID.search(address)
        try:
            return Clip(
                clip_id=file.stem,
                scene_id=match.group(1) if match else file.stem,
                domain="re10k",
                media=media,
                pts_seconds=pts_seconds,
                camera=CameraTrack(_camera_to_world(rows), _intrinsics(rows[0], video), is_metric=False),
                media_pts_seconds=video.pts_seconds,
            )
        except AnnotationError as error:
            msg = f"{file}: {error}"
            raise AnnotationError(msg, reason=error.reason) from error

    def _has_gap(self, file: Path, pts_seconds: FloatArray) -> bool:
        gap_seconds = float(np.diff(pts_seconds, prepend=0.0).max())
        if self.max_gap_seconds is None or gap_seconds <= self.max_gap_seconds:
            return False
        _logger.warning("%s: left out, two rows lie %.2f s apart", file, gap_seconds)
        return True


def _is_address(line: str) -> bool:
    return line.startswith(("http://", "https://"))


def _is_path_file(file: Path, lines: list[str]) -> bool:
    """Whether this is meant as a camera path, not a readme that lies beside some."""
    first = lines[0] if lines else ""
    return video_named(file.parent, file.stem).exists() or _is_address(first) or len(first.split()) == NUM_COLUMNS


def _parse_rows(file: Path, lines: list[str], first_line: int) -> FloatArray:
    """[N, 19] finite numbers."""
    rows = []
    for number, line in enumerate(lines, start=first_line):
        try:
            row = np.array([float(word) for word in line.split()])
        except ValueError:
            row = np.array([])
        if len(row) != NUM_COLUMNS or not np.isfinite(row).all():
            msg = f"{file}: line {number} must hold {NUM_COLUMNS} finite numbers, found {line[:60]!r}"
            raise AnnotationError(msg)
        rows.append(row)
    if not rows:
        msg = f"{file}: holds no camera pose, remove the file or add rows"
        raise AnnotationError(msg)
    return np.stack(rows)


def _probe(media: Path, file: Path, num_rows: int) -> VideoInfo:
    try:
        video = probe(media)
    except DecodeError as error:
        msg = f"{file}: its video cannot be read, fetch it again ({error})"
        raise AnnotationError(msg, reason="media") from error
    if video.num_frames != num_rows:
        msg = f"{file}: {num_rows} poses but {video.num_frames} images in {media.name}, cut the video to the rows"
        raise AnnotationError(msg, reason="media")
    return video


def _camera_to_world(rows: FloatArray) -> FloatArray:
    """[N, 4, 4] from rows with world-to-camera matrices: R becomes its transpose, t becomes -Rᵀt."""
    world_to_camera = rows[:, 7:].reshape(-1, 3, 4)
    inverse_rotation = world_to_camera[:, :, :3].transpose(0, 2, 1)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = inverse_rotation
    poses[:, :3, 3] = -(inverse_rotation @ world_to_camera[:, :, 3:])[:, :, 0]
    return poses


def _intrinsics(row: FloatArray, video: VideoInfo) -> FloatArray:
    """[3, 3] in pixels of the video at hand."""
    fx, fy, cx, cy = row[1:5] * [video.width, video.height, video.width, video.height]
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
