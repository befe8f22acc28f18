"""Sequences of the MOTChallenge benchmarks: their boxes, descriptions and images, and what their readers share."""

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import media_inside
from remot.data.annotations.images import images_in, probed, require_resolution
from remot.data.annotations.objects.nearest import IntArray
from remot.data.annotations.objects.still_cameras import StillCameraReader, known_sequence
from remot.data.annotations.objects.tracked import TrackedReader, ini_number, read_ini_section
from remot.data.annotations.parsing.number_rows import read_number_rows, whole_numbers, xyxy_from_xywh
from remot.data.media import videos_in
from remot.errors import ConfigError
from remot.structures import FloatArray

_logger = logging.getLogger(__name__)

PEDESTRIAN = 1
MAX_FRAMES = 1_000_000
#: What questions call the classes of MOT16 and later that can be asked about.
NOUNS = {PEDESTRIAN: "person", 3: "car", 4: "bicycle", 5: "motorbike"}
#: Classes that a viewer takes for a person too: on a vehicle, static, distractor (such as a mannequin), reflection.
PERSON_LIKE = (PEDESTRIAN, 2, 7, 8, 12)

#: Sequences whose camera stands still, after the tables of the benchmarks' papers (arXiv 1504.01942, 1603.00831,
#: 2003.09003). MOT17 has the images of MOT16.
STATIC_SEQUENCES = frozenset(
    {
        *("TUD-Campus", "TUD-Stadtmitte", "TUD-Crossing", "PETS09-S2L1", "PETS09-S2L2", "AVG-TownCentre"),
        *("ADL-Rundle-6", "KITTI-17", "Venice-2"),
        *(f"MOT{year}-{number}" for year in (16, 17) for number in ("01", "02", "03", "04", "08", "09")),
        *(f"MOT20-0{number}" for number in range(1, 9)),
    }
)
#: MOT17 holds every sequence three times, once for each detector, with the same annotation.
DETECTOR = re.compile(r"-(?:DPM|FRCNN|SDP)$")
SAME_IMAGES = re.compile(r"MOT1[67]-(\d\d)(?!\d)")
#: Endings of the one video that may take the place of the images.
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")


@dataclass(frozen=True, eq=False)
class MOTSequence:
    """One ``gt.txt`` with its ``seqinfo.ini``: R boxes in N frames."""

    bare_name: str  # without that of a detector
    scene_id: str  # one for all copies of the same images
    frame_rate: float
    num_frames: int
    frames: IntArray  # [R] counted from 0
    tracks: IntArray  # [R]
    classes: IntArray  # [R]
    boxes_xyxy: FloatArray  # [R, 4]
    is_active: NDArray[np.bool_]  # [R] not flagged to be ignored
    visible: FloatArray  # [R] share of the box that is inside the image and not hidden
    size: FloatArray  # [2] width and height of the images in pixels


@dataclass(eq=False, kw_only=True)
class MOTFilesReader(TrackedReader, StillCameraReader):
    """Shared by the readers of ``<sequence>/gt/gt.txt``; ``static_camera`` names sequences without their detector.

    Args:
        classes: Classes to ask about; pedestrians (1) by default.
    """

    pattern: ClassVar[str] = "gt/gt.txt"
    known_still: ClassVar[frozenset[str]] = STATIC_SEQUENCES
    classes: list[int] | None = None

    def __post_init__(self) -> None:
        self._classes = [PEDESTRIAN] if self.classes is None else self.classes
        if unknown := sorted(set(self._classes) - set(NOUNS)):
            msg = f"MOTReader: class {unknown[0]} has no name that a question could use; choose among {sorted(NOUNS)}"
            raise ConfigError(msg)

    def files(self, root: Path) -> list[Path]:
        """The annotations, of MOT17's three copies of a sequence the first; logs how many cameras may move."""
        kept: dict[Path, Path] = {}
        for file in super().files(root):
            folder = file.resolve().parent.parent
            first = kept.setdefault(folder.with_name(DETECTOR.sub("", folder.name)), file)
            if first is not file:
                _logger.info("%s: left out, it repeats %s", file, first)
        self._notices.warn_once(self._still_cameras.about_others([folder.name for folder in kept]))
        return list(kept.values())

    def _shown(
        self, file: Path, root: Path
    ) -> tuple[MOTSequence, Path | tuple[Path, ...], FloatArray | None, FloatArray]:
        """The part of a sequence with images; these, or a video and the times of its images; times of the frames."""
        sequence = read_mot_sequence(file)
        ini = file.parent.parent / "seqinfo.ini"
        folder = read_ini_section(ini, "Sequence").get("imdir", "img1")
        videos = videos_in(ini.parent)  # one only: its folder may have been renamed
        media: Path | tuple[Path, ...]
        media_times, kept = None, np.arange(sequence.num_frames)
        if len(videos) == 1 and not (ini.parent / folder).is_dir():
            media = media_inside(ini, root, videos[0].name)
            media_times = probed(file, media, sequence.num_frames, "frames by seqLength in seqinfo.ini").pts_seconds
        else:
            media = images_in(ini, root, folder)
            kept = self.numbered_images(file, media, sequence.num_frames, 1)
        width, height = sequence.size.tolist()
        require_resolution(str(file), media, (int(width), int(height)), "imWidth and imHeight in seqinfo.ini")
        return shown_part(sequence, kept), media, media_times, kept / sequence.frame_rate


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
    bare_name = DETECTOR.sub("", ini.parent.resolve().name)
    shared = SAME_IMAGES.search(bare_name)
    scene_id = f"MOT16/17-{shared[1]}" if shared else known_sequence(bare_name, STATIC_SEQUENCES)
    return MOTSequence(
        bare_name=bare_name,
        scene_id=scene_id or bare_name,
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
