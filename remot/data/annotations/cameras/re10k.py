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
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from remot.data.annotations.base import FileReader, media_inside, numbered_lines
from remot.data.annotations.cameras.poses import inverted
from remot.data.annotations.images import probed
from remot.data.annotations.parsing.number_rows import numbers_in
from remot.data.media import video_named
from remot.errors import AnnotationError
from remot.structures import CameraTrack, Clip

NUM_COLUMNS = 19
MICROSECONDS = 1e-6
VIDEO_ID = re.compile(r"(?:[?&]v=|youtu\.be/)([A-Za-z0-9_-]{6,20})")

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class RealEstate10KReader(FileReader):
    """Reads ``<id>.txt`` + ``<id>.mp4`` pairs. See the module for the source's conventions.

    Args:
        max_gap_seconds: Leave out clips in which two consecutive rows lie further apart, with a log message;
            None keeps all.
    """

    pattern: ClassVar[str] = "*.txt"
    max_gap_seconds: float | None = None

    def read_clip(self, file: Path, root: Path) -> Clip | None:
        """The clip of one path file; None for text files that are no path, or with too large a gap."""
        lines = list(numbered_lines(file))
        first, video = lines[0][1] if lines else "", video_named(file.parent, file.stem)
        has_address = first.startswith(("http://", "https://"))
        if not (video.exists() or has_address or len(first.split()) == NUM_COLUMNS):
            return None  # a readme that lies beside some
        address = lines.pop(0)[1] if has_address else ""
        if not lines:
            msg = f"{file}: holds no camera pose, remove the file or add rows"
            raise AnnotationError(msg)
        rows = np.stack([numbers_in(where, line.split(), NUM_COLUMNS) for where, line in lines])
        media = media_inside(file, root, video.name)
        info = probed(file, media, len(rows), "poses")
        pts_seconds = (rows[:, 0] - rows[0, 0]) * MICROSECONDS
        gap_seconds = float(np.diff(pts_seconds, prepend=0.0).max())
        if self.max_gap_seconds is not None and gap_seconds > self.max_gap_seconds:
            _logger.warning("%s: left out, two rows lie %.2f s apart", file, gap_seconds)
            return None
        match = VIDEO_ID.search(address)
        fx, fy, cx, cy = rows[0, 1:5] * [info.width, info.height, info.width, info.height]
        intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])  # in pixels of the video at hand
        world_to_camera = np.tile(np.eye(4), (len(rows), 1, 1))
        world_to_camera[:, :3] = rows[:, 7:].reshape(-1, 3, 4)
        return Clip(
            clip_id=file.stem,
            scene_id=match.group(1) if match else file.stem,
            domain="re10k",
            media=media,
            pts_seconds=pts_seconds,
            camera=CameraTrack(inverted(world_to_camera), intrinsics, is_metric=False),
            media_pts_seconds=info.pts_seconds,
        )
