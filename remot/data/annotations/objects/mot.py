"""People of the MOTChallenge benchmarks MOT15, MOT16, MOT17 and MOT20 (https://motchallenge.net)."""

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from remot.data.annotations.objects.mot_files import PEDESTRIAN, MOTSequence, mot_media, read_mot_sequence, shown_part
from remot.data.annotations.objects.nearest import (
    Appearances,
    IntArray,
    NearestTrack,
    near_border,
    nearest_tracks,
    sideways_nearness,
)
from remot.data.annotations.objects.still_cameras import StillCameras, known_sequence
from remot.data.annotations.objects.tracked import (
    TrackedReader,
)
from remot.errors import ConfigError
from remot.structures import Clip, FloatArray, ObjectTrack

_logger = logging.getLogger(__name__)

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
MAX_LINGER_SECONDS = 60.0


class MOTReader(TrackedReader):
    """Reads ``<sequence>/gt/gt.txt`` with ``<sequence>/seqinfo.ini`` and the images.

    The source's conventions: rows ``frame, id, left, top, width, height, flag, class, visibility`` (MOT16 and later) or
    ``frame, id, left, top, width, height, flag, X, Y, Z`` (MOT15: people only); frames and pixels are counted from 1;
    boxes go around the whole body, hidden parts and parts outside the image included. Flag 0 marks what the benchmark
    does not evaluate. The images are ``img1/000001.jpg`` and so on, or a single video, such as ``<sequence>.mp4`` or
    ``<sequence>.avi``, in the same folder. A folder that holds a sequence's name among other words is taken for that
    sequence.

    There is one clip for each track, of the frames in which it is clearly the nearest of its kind: its box is
    ``min_height_ratio`` times as high as any other and stands lowest in the image. The
    reason is in :mod:`remot.data.annotations.objects.nearest`. People that are never asked about, such as flagged ones,
    count as others, and so does every person for ``linger_seconds`` before the first and after the last box, and for
    ``border_linger_seconds`` where that box is at the border of the image. Where no person is the nearest in three
    frames, the leftmost and the rightmost are looked for in the same way.

    Args:
        classes: Classes to ask about; pedestrians (1) by default. The flag counts for pedestrians only, because the
            benchmark flags everything else.
        min_visibility: Smallest visible share of a box that is asked about; what is outside the image is not visible.
        min_height_ratio: How many times as high as the next box the nearest one must be.
        min_height_pixels: Smallest height that is asked about.
        linger_seconds: How long a person may stay partly visible after the last box.
        border_linger_seconds: The same where the boxes begin or stop at the border of the image. In published
            annotations people stand there for up to 3.5 seconds before their first box.
        static_camera: Sequences whose camera stands still, without the detector's name; by default those that the
            benchmark's tables call static. Nothing is asked about motion in the images of others.
        assume_static: Take the camera of every sequence to stand still.
        shared: Settings of all readers of tracks, see :class:`~remot.data.annotations.objects.tracked.TrackedReader`.
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
        border_linger_seconds: float = 4.0,
        **shared: Any,  # noqa: ANN401 - see above
    ) -> None:
        super().__init__(**shared)
        self.classes = [PEDESTRIAN] if classes is None else classes
        if unknown := sorted(set(self.classes) - set(NOUNS)):
            msg = f"MOTReader: class {unknown[0]} has no name that a question could use; choose among {sorted(NOUNS)}"
            raise ConfigError(msg)
        lingering = linger_seconds, border_linger_seconds
        if min_height_ratio < 1 or not all(0 <= seconds <= MAX_LINGER_SECONDS for seconds in lingering):
            msg = (
                f"MOTReader: min_height_ratio is {min_height_ratio}, linger_seconds {linger_seconds} and "
                f"border_linger_seconds {border_linger_seconds}; choose a ratio of at least 1 and 0 to "
                f"{MAX_LINGER_SECONDS:g} seconds"
            )
            raise ConfigError(msg)
        self.min_visibility = min_visibility
        self.min_height_ratio = min_height_ratio
        self.min_height_pixels = min_height_pixels
        self.linger_seconds = linger_seconds
        self.border_linger_seconds = max(linger_seconds, border_linger_seconds)
        self.still_cameras = StillCameras(static_camera, STATIC_SEQUENCES, assume_static)

    def files(self, root: Path) -> list[Path]:
        """The annotations, of MOT17's three copies of a sequence the first."""
        kept: dict[Path, Path] = {}
        for file in super().files(root):
            folder = file.resolve().parent.parent
            first = kept.setdefault(folder.with_name(DETECTOR.sub("", folder.name)), file)
            if first is not file:
                _logger.info("%s: left out, it repeats %s", file, first)
        return list(kept.values())

    def notice(self, files: list[Path]) -> str:
        """How many cameras are not known to stand still."""
        return self.still_cameras.about_others([bare_name(file) for file in files])

    def read_sequence(self, file: Path, root: Path) -> dict[str, Clip]:
        """The clips of one sequence, by noun and track number.

        Raises:
            AnnotationError: Naming the file, the row and what does not fit.
        """
        name, bare = file.parent.parent.resolve().name, bare_name(file)
        sequence = read_mot_sequence(file)
        media, media_times, kept = mot_media(file, root, sequence, self.on_missing_image, self._notices)
        sequence = shown_part(sequence, kept)
        clips = {}
        for noun, track in self._nearest(file, sequence):
            frames = sequence.frames[track.rows]
            word = "" if track.word == "nearest" else f"{track.word}-"
            clips[f"{word}{noun} {track.track}"] = Clip(
                clip_id=f"{name}-{word}{noun}-{track.track}",
                scene_id=scene_of(bare),
                domain="mot",
                media=media if isinstance(media, Path) else tuple(media[frame] for frame in frames),
                pts_seconds=kept[frames] / sequence.frame_rate,
                objects={track.name(noun): ObjectTrack(sequence.boxes_xyxy[track.rows])},
                media_pts_seconds=None if media_times is None else media_times[frames],
                camera_moves=not self.still_cameras.hold(bare),
            )
        if not clips:
            _logger.warning(
                "%s: left out, no person is clearly the nearest, leftmost or rightmost in three frames", file
            )
        return clips

    def _nearest(self, file: Path, sequence: MOTSequence) -> list[tuple[str, NearestTrack]]:
        """Nouns and tracks with rows of ``sequence``."""
        heights = sequence.boxes_xyxy[:, 3] - sequence.boxes_xyxy[:, 1]
        clear = (sequence.visible >= self.min_visibility) & (heights >= self.min_height_pixels)
        at_border = near_border(sequence.boxes_xyxy, sequence.size)
        seconds = np.where(at_border, self.border_linger_seconds, self.linger_seconds)
        num_lingering = np.rint(seconds * sequence.frame_rate).astype(np.int64)
        found: list[tuple[str, NearestTrack]] = []
        for one in self.classes:
            alike = PERSON_LIKE if one == PEDESTRIAN else (one,)
            rows = np.flatnonzero(np.isin(sequence.classes, alike))
            active = sequence.is_active | (one != PEDESTRIAN)
            askable = clear & active & (sequence.classes == one)
            sightings = Appearances(
                str(file),
                sequence.frames[rows],
                sequence.tracks[rows],
                heights[rows],
                sequence.boxes_xyxy[rows, 3],
                askable[rows],
            )
            tracks = nearest_tracks(sightings, self.min_height_ratio, num_lingering[rows])
            tracks = tracks or _outermost(sightings, sequence.boxes_xyxy[rows], num_lingering[rows])
            found += [(NOUNS[one], replace(track, rows=rows[track.rows])) for track in tracks]
        return found


def _outermost(sightings: Appearances, boxes_xyxy: FloatArray, num_lingering: IntArray) -> list[NearestTrack]:
    """The tracks that are clearly the leftmost or the rightmost in at least three images."""
    found = []
    for word, side in (("leftmost", -1), ("rightmost", 1)):
        placed = replace(sightings, nearness=sideways_nearness(boxes_xyxy, side), lowest=np.zeros(len(boxes_xyxy)))
        found += nearest_tracks(placed, 2.0, num_lingering, word=word)
    return found


def bare_name(file: Path) -> str:
    """Name of a sequence without that of a detector."""
    return DETECTOR.sub("", file.parent.parent.resolve().name)


def scene_of(bare: str) -> str:
    """One scene for all copies of the same images."""
    shared = SAME_IMAGES.search(bare)
    return f"MOT16/17-{shared[1]}" if shared else known_sequence(bare, STATIC_SEQUENCES) or bare
