"""People of the MOTChallenge benchmarks MOT15, MOT16, MOT17 and MOT20 (https://motchallenge.net)."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from remot.data.annotations.objects.mot_files import (
    NOUNS,
    PEDESTRIAN,
    PERSON_LIKE,
    MOTFilesReader,
    MOTSequence,
)
from remot.data.annotations.objects.nearest import (
    Appearances,
    NearestTrack,
    near_border,
    nearest_tracks,
    sideways_nearness,
)
from remot.errors import ConfigError
from remot.structures import Clip, ObjectTrack

_logger = logging.getLogger(__name__)

MAX_LINGER_SECONDS = 60.0


@dataclass(eq=False)
class MOTReader(MOTFilesReader):
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
    """

    min_visibility: float = 0.5
    min_height_ratio: float = 1.2
    min_height_pixels: float = 40.0
    linger_seconds: float = 0.5
    border_linger_seconds: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        lingering = self.linger_seconds, self.border_linger_seconds
        if self.min_height_ratio < 1 or not all(0 <= seconds <= MAX_LINGER_SECONDS for seconds in lingering):
            msg = (
                f"MOTReader: min_height_ratio is {self.min_height_ratio}, linger_seconds {self.linger_seconds} and "
                f"border_linger_seconds {self.border_linger_seconds}; choose a ratio of at least 1 and 0 to "
                f"{MAX_LINGER_SECONDS:g} seconds"
            )
            raise ConfigError(msg)

    def read_sequence(self, file: Path, root: Path) -> dict[str, Clip]:
        """The clips of one sequence, by noun and track number."""
        name = file.parent.parent.resolve().name
        sequence, media, media_times, times = self._shown(file, root)
        clips = {}
        for noun, track in self._nearest(file, sequence):
            frames = sequence.frames[track.rows]
            word = "" if track.word == "nearest" else f"{track.word}-"
            clips[f"{word}{noun} {track.track}"] = Clip(
                clip_id=f"{name}-{word}{noun}-{track.track}",
                scene_id=sequence.scene_id,
                domain="mot",
                media=media if isinstance(media, Path) else tuple(media[frame] for frame in frames),
                pts_seconds=times[frames],
                objects={track.name(noun): ObjectTrack(sequence.boxes_xyxy[track.rows])},
                media_pts_seconds=None if media_times is None else media_times[frames],
                camera_moves=not self._still_cameras.hold(sequence.bare_name),
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
        at_border_seconds = max(self.linger_seconds, self.border_linger_seconds)
        seconds = np.where(at_border, at_border_seconds, self.linger_seconds)
        num_lingering = np.rint(seconds * sequence.frame_rate).astype(np.int64)
        found: list[tuple[str, NearestTrack]] = []
        for one in self._classes:
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
            if not tracks:
                for word, side in (("leftmost", -1), ("rightmost", 1)):
                    nearness = sideways_nearness(sequence.boxes_xyxy[rows], side)
                    placed = replace(sightings, nearness=nearness, lowest=np.zeros(len(rows)))
                    tracks += nearest_tracks(placed, 2.0, num_lingering[rows], word=word)
            found += [(NOUNS[one], replace(track, rows=rows[track.rows])) for track in tracks]
        return found
