"""Files of one sequence of the MOTChallenge benchmarks: its boxes, its description and its images."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import media_inside
from remot.data.annotations.objects.nearest import IntArray
from remot.data.annotations.objects.notices import Notices
from remot.data.annotations.objects.tracked import (
    frames_shown,
    images_in,
    ini_number,
    read_ini_section,
    require_resolution,
    times_of,
)
from remot.data.annotations.parsing.number_rows import read_number_rows, whole_numbers, xyxy_from_xywh
from remot.data.media import videos_in
from remot.errors import AnnotationError
from remot.structures import FloatArray

PEDESTRIAN = 1
MAX_FRAMES = 1_000_000
#: Endings of the one video that may take the place of the images.
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")


@dataclass(frozen=True, eq=False)
class MOTSequence:
    """One ``gt.txt`` with its ``seqinfo.ini``: R boxes in N frames."""

    frame_rate: float
    num_frames: int
    frames: IntArray  # [R] counted from 0
    tracks: IntArray  # [R]
    classes: IntArray  # [R]
    boxes_xyxy: FloatArray  # [R, 4]
    is_active: NDArray[np.bool_]  # [R] not flagged to be ignored
    visible: FloatArray  # [R] share of the box that is inside the image and not hidden
    size: FloatArray  # [2] width and height of the images in pixels


def shown_part(sequence: MOTSequence, kept: IntArray) -> MOTSequence:
    """The rows of a sequence in the frames ``kept`` [K], which are numbered anew."""
    rows = np.isin(sequence.frames, kept)
    return replace(
        sequence,
        num_frames=len(kept),
        frames=np.searchsorted(kept, sequence.frames[rows]),
        tracks=sequence.tracks[rows],
        classes=sequence.classes[rows],
        boxes_xyxy=sequence.boxes_xyxy[rows],
        is_active=sequence.is_active[rows],
        visible=sequence.visible[rows],
    )


def read_mot_sequence(file: Path) -> MOTSequence:
    """What ``gt.txt`` and the ``seqinfo.ini`` above it say.

    Raises:
        AnnotationError: Naming the file, the row and what does not fit.
    """
    ini = file.parent.parent / "seqinfo.ini"
    values = read_ini_section(ini, "Sequence")
    num_frames = int(ini_number(ini, values, "seqLength", MAX_FRAMES))
    size = np.array([ini_number(ini, values, "imWidth"), ini_number(ini, values, "imHeight")])
    rows = read_number_rows(file, (9, 10))
    is_mot15 = rows.shape[1] == 10
    boxes_xyxy = xyxy_from_xywh(str(file), rows[:, 2:6], first_pixel=1)
    area = np.prod(rows[:, 4:6], axis=1)
    inside = np.clip(np.minimum(boxes_xyxy[:, 2:], size) - np.maximum(boxes_xyxy[:, :2], 0), 0, None)
    visible = np.prod(inside, axis=1) / area
    return MOTSequence(
        frame_rate=ini_number(ini, values, "frameRate", 1000),
        num_frames=num_frames,
        frames=whole_numbers(str(file), "frame", rows[:, 0], 1, num_frames) - 1,
        tracks=whole_numbers(str(file), "id", rows[:, 1], 0, 10**9),
        classes=np.full(len(rows), PEDESTRIAN) if is_mot15 else whole_numbers(str(file), "class", rows[:, 7], 1, 99),
        boxes_xyxy=boxes_xyxy,
        is_active=rows[:, 6] != 0,
        visible=visible if is_mot15 else np.minimum(visible, rows[:, 8]),
        size=size,
    )


def mot_media(
    file: Path, root: Path, sequence: MOTSequence, on_missing_image: str, notices: Notices
) -> tuple[Path | tuple[Path, ...], FloatArray | None, IntArray]:
    """Images, or a video and the times of its images; and the frames that they show.

    Raises:
        AnnotationError: If there are none, not as many as the sequence has frames, or of another size.
    """
    found: Path | tuple[Path, ...]
    times: FloatArray | None = None
    kept = np.arange(sequence.num_frames)
    ini = file.parent.parent / "seqinfo.ini"
    folder = read_ini_section(ini, "Sequence").get("imdir", "img1")
    videos = videos_in(ini.parent)  # one only: its folder may have been renamed
    if len(videos) == 1 and not (ini.parent / folder).is_dir():
        video = media_inside(ini, root, videos[0].name)
        times = times_of(file, video)
        found, num_found = video, len(times)
    else:
        found = images_in(ini, root, folder)
        num_found = sequence.num_frames
        kept = frames_shown(str(file), found, sequence.num_frames, 1, on_missing_image, notices)
    if num_found != sequence.num_frames:
        msg = f"{file}: {num_found} images but seqLength {sequence.num_frames} in seqinfo.ini, fetch them again"
        raise AnnotationError(msg, reason="unsynchronised")
    width, height = sequence.size.tolist()
    require_resolution(str(file), found, (int(width), int(height)), "imWidth and imHeight in seqinfo.ini")
    return found, times, kept
