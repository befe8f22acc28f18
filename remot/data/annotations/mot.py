"""People of the MOTChallenge benchmarks MOT15, MOT16, MOT17 and MOT20 (https://motchallenge.net)."""

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import media_inside
from remot.data.annotations.nearest import IntArray, NearestTrack, Sightings, nearest_tracks
from remot.data.annotations.number_rows import read_number_rows, whole_numbers, xyxy_from_xywh
from remot.data.annotations.tracked import (
    TrackedReader,
    camera_stands_still,
    ini_number,
    pictures_in,
    read_ini_section,
    times_of,
)
from remot.errors import AnnotationError, ConfigError
from remot.structures import Clip, FloatArray, ObjectTrack

_logger = logging.getLogger(__name__)

PEDESTRIAN = 1
#: What questions call the classes of MOT16 and later that can be asked about.
NOUNS = {PEDESTRIAN: "person", 3: "car", 4: "bicycle", 5: "motorbike"}
#: Classes that a viewer takes for a person too: on a vehicle, static, distractor (such as a mannequin), reflection.
PERSON_LIKE = (PEDESTRIAN, 2, 7, 8, 12)

#: Sequences whose camera stands still, after the tables of the benchmarks' papers (arXiv 1504.01942, 1603.00831,
#: 2003.09003). MOT17 has the pictures of MOT16.
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
SAME_PICTURES = re.compile(r"MOT1[67]-(\d\d)$")
MAX_FRAMES = 1_000_000
MAX_LINGER_SECONDS = 60.0


@dataclass(frozen=True, eq=False)
class _Sequence:
    """One ``gt.txt`` with its ``seqinfo.ini``: R boxes in N frames."""

    name: str
    frame_rate: float
    num_frames: int
    frames: IntArray  # [R] counted from 0
    tracks: IntArray  # [R]
    classes: IntArray  # [R]
    boxes_xyxy: FloatArray  # [R, 4]
    is_active: NDArray[np.bool_]  # [R] not flagged to be ignored
    visible: FloatArray  # [R] share of the box that is inside the picture and not hidden


class MOTReader(TrackedReader):
    """Reads ``<sequence>/gt/gt.txt`` with ``<sequence>/seqinfo.ini`` and the pictures.

    The source's conventions: rows ``frame, id, left, top, width, height, flag, class, visibility`` (MOT16 and later) or
    ``frame, id, left, top, width, height, flag, X, Y, Z`` (MOT15: people only); frames and pixels are counted from 1;
    boxes go around the whole body, hidden parts and parts outside the picture included. Flag 0 marks what the benchmark
    does not evaluate. The pictures are ``img1/000001.jpg`` and so on, or a video ``<sequence>.mp4`` in the same folder.

    There is one clip for each track, of the frames in which it is clearly the nearest of its kind: its box is
    ``min_height_ratio`` times as high as any other and stands lowest in the picture. See
    :mod:`remot.data.annotations.nearest` for why. People that are never asked about, such as flagged ones, count as
    others, and so does everybody for ``linger_seconds`` before the first and after the last box.

    Args:
        classes: Classes to ask about; pedestrians (1) by default. The flag counts for pedestrians only, because the
            benchmark flags everything else.
        min_visibility: Smallest visible share of a box that is asked about; what is outside the picture is not visible.
        min_height_ratio: How many times as high as the next box the nearest one must be.
        min_height_pixels: Smallest height that is asked about.
        linger_seconds: How long somebody may still be partly in the picture where the boxes stop.
        static_camera: Sequences whose camera stands still, without the detector's name; by default those that the
            benchmark's tables call static. Others are left out.
        assume_static: Take the camera of every sequence to stand still.
    """

    pattern: ClassVar[str] = "gt/gt.txt"

    def __init__(
        self,
        classes: list[int] | None = None,
        min_visibility: float = 0.5,
        min_height_ratio: float = 1.2,
        min_height_pixels: float = 40.0,
        linger_seconds: float = 0.5,
        static_camera: list[str] | None = None,
        assume_static: bool = False,  # noqa: FBT001, FBT002 - a setting
    ) -> None:
        super().__init__()
        self.classes = [PEDESTRIAN] if classes is None else classes
        if unknown := sorted(set(self.classes) - set(NOUNS)):
            msg = f"MOTReader: class {unknown[0]} has no name that a question could use; choose among {sorted(NOUNS)}"
            raise ConfigError(msg)
        if min_height_ratio < 1 or not 0 <= linger_seconds <= MAX_LINGER_SECONDS:
            msg = (
                f"MOTReader: min_height_ratio is {min_height_ratio} and linger_seconds {linger_seconds}; "
                f"choose a ratio of at least 1 and 0 to {MAX_LINGER_SECONDS:g} seconds"
            )
            raise ConfigError(msg)
        self.min_visibility = min_visibility
        self.min_height_ratio = min_height_ratio
        self.min_height_pixels = min_height_pixels
        self.linger_seconds = linger_seconds
        self.static_camera = static_camera
        self.assume_static = assume_static

    def files(self, root: Path) -> list[Path]:
        """The annotations, of MOT17's three copies of a sequence the first."""
        kept: dict[Path, Path] = {}
        for file in super().files(root):
            folder = file.resolve().parent.parent
            first = kept.setdefault(folder.with_name(DETECTOR.sub("", folder.name)), file)
            if first is not file:
                _logger.info("%s: left out, it repeats %s", file, first)
        return list(kept.values())

    def read_sequence(self, file: Path, root: Path) -> dict[str, Clip]:
        """The clips of one sequence, by noun and track number.

        Raises:
            AnnotationError: Naming the file, the row and what does not fit.
        """
        name = file.parent.parent.resolve().name
        bare = DETECTOR.sub("", name)
        if not camera_stands_still(bare, self.static_camera, STATIC_SEQUENCES, assume_static=self.assume_static):
            return {}
        sequence = _read(file, name)
        media, media_times = _media(file, root, sequence)
        clips = {}
        for noun, track in self._nearest(file, sequence):
            frames = sequence.frames[track.rows]
            clips[f"{noun} {track.track}"] = Clip(
                clip_id=f"{name}-{noun}-{track.track}",
                scene_id=SAME_PICTURES.sub(r"MOT16/17-\1", bare),
                domain="mot",
                media=media if isinstance(media, Path) else tuple(media[frame] for frame in frames),
                pts_seconds=frames / sequence.frame_rate,
                objects={track.name(noun): ObjectTrack(sequence.boxes_xyxy[track.rows])},
                media_pts_seconds=None if media_times is None else media_times[frames],
            )
        if not clips:
            _logger.warning("%s: left out, nobody is clearly the nearest in three frames", file)
        return clips

    def _nearest(self, file: Path, sequence: _Sequence) -> list[tuple[str, NearestTrack]]:
        """Nouns and tracks with rows of ``sequence``."""
        heights = sequence.boxes_xyxy[:, 3] - sequence.boxes_xyxy[:, 1]
        clear = (sequence.visible >= self.min_visibility) & (heights >= self.min_height_pixels)
        num_lingering = round(self.linger_seconds * sequence.frame_rate)
        found: list[tuple[str, NearestTrack]] = []
        for one in self.classes:
            alike = PERSON_LIKE if one == PEDESTRIAN else (one,)
            rows = np.flatnonzero(np.isin(sequence.classes, alike))
            active = sequence.is_active | (one != PEDESTRIAN)
            askable = clear & active & (sequence.classes == one)
            sightings = Sightings(
                str(file),
                sequence.frames[rows],
                sequence.tracks[rows],
                heights[rows],
                sequence.boxes_xyxy[rows, 3],
                askable[rows],
            )
            found += [
                (NOUNS[one], replace(track, rows=rows[track.rows]))
                for track in nearest_tracks(sightings, self.min_height_ratio, num_lingering)
            ]
        return found


def _read(file: Path, name: str) -> _Sequence:
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
    return _Sequence(
        name=name,
        frame_rate=ini_number(ini, values, "frameRate", 1000),
        num_frames=num_frames,
        frames=whole_numbers(str(file), "frame", rows[:, 0], 1, num_frames) - 1,
        tracks=whole_numbers(str(file), "id", rows[:, 1], 0, 10**9),
        classes=np.full(len(rows), PEDESTRIAN) if is_mot15 else whole_numbers(str(file), "class", rows[:, 7], 1, 99),
        boxes_xyxy=boxes_xyxy,
        is_active=rows[:, 6] != 0,
        visible=visible if is_mot15 else np.minimum(visible, rows[:, 8]),
    )


def _media(file: Path, root: Path, sequence: _Sequence) -> tuple[Path | tuple[Path, ...], FloatArray | None]:
    """Pictures of all frames, or a video and the times of its pictures."""
    found: Path | tuple[Path, ...]
    times: FloatArray | None = None
    ini = file.parent.parent / "seqinfo.ini"
    folder = read_ini_section(ini, "Sequence").get("imdir", "img1")
    if (ini.parent / f"{sequence.name}.mp4").exists() and not (ini.parent / folder).is_dir():
        video = media_inside(ini, root, f"{sequence.name}.mp4")
        times = times_of(file, video)
        found, num_found = video, len(times)
    else:
        found = pictures_in(ini, root, folder)
        num_found = len(found)
    if num_found != sequence.num_frames:
        msg = f"{file}: {num_found} pictures but seqLength {sequence.num_frames} in seqinfo.ini, fetch them again"
        raise AnnotationError(msg, reason="unsynchronised")
    return found, times
