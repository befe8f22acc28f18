"""Cars and people of the KITTI tracking benchmark (https://www.cvlibs.net/datasets/kitti/eval_tracking.php)."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from remot.data.annotations.notices import listed
from remot.data.annotations.objects.kitti_files import KINDS, KITTIFilesReader, KITTISequence, Labels, beside_labels
from remot.data.annotations.objects.nearest import Appearances, NearestTrack, near_border, nearest_tracks
from remot.errors import ConfigError
from remot.structures import Clip, ObjectTrack

_logger = logging.getLogger(__name__)

DEFAULT_CLASSES = ("Car", "Pedestrian", "Cyclist")
#: After its last box an object may stay partly visible: for one second, or for four at the border of the image.
NUM_LINGERING, NUM_BORDER_LINGERING = 10, 40


@dataclass(eq=False)
class KITTITrackingReader(KITTIFilesReader):
    """Reads ``label_02/0000.txt`` with ``image_02/0000/*.png``, ``calib/0000.txt`` and ``oxts/0000.txt``.

    The source's conventions: rows ``frame, track, class, truncated, occluded, alpha, left, top, right, bottom, height,
    width, length, x, y, z, rotation_y``; frames and pixels are counted from 0; x, y, z is the bottom centre of the
    object in the camera's axes (OpenCV, metres), so z is its depth. Images come at 10 Hz. ``DontCare`` rows mark
    unlabelled regions and are left out. See :mod:`remot.data.annotations.objects.kitti_oxts` for the camera.

    There is one clip for each track, of the frames in which it is clearly the nearest of its kind on the ground. See
    :mod:`remot.data.annotations.objects.nearest` for why.

    The camera rides on a car. Where there is no oxts file its motion is not known, so nothing is asked about motion in
    the images; distances stay.

    Args:
        classes: Classes to ask about; Car, Pedestrian and Cyclist by default.
        max_truncated: How far an object that is asked about may leave the image: 0 not, 1 partly, 2 largely.
        max_occluded: How far it may be hidden: 0 not, 1 partly, 2 largely.
        min_distance_ratio: How many times as far away as the nearest the next one must be.
        min_height_pixels: Smallest height that is asked about.
    """

    classes: list[str] | None = None
    max_truncated: int = 0
    max_occluded: int = 1
    min_distance_ratio: float = 1.25
    min_height_pixels: float = 25.0

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.classes or ()) - set(KINDS)):
            msg = f"KITTITrackingReader: there is no class {unknown[0]!r}; choose among {', '.join(KINDS)}"
            raise ConfigError(msg)
        if self.min_distance_ratio < 1:
            msg = f"KITTITrackingReader: min_distance_ratio is {self.min_distance_ratio}; choose at least 1"
            raise ConfigError(msg)

    def files(self, root: Path) -> list[Path]:
        """The label files, in order; logs how many sequences lack the motion of their camera."""
        files = super().files(root)
        if lacking := [file.stem for file in files if not beside_labels(file, "oxts").exists()]:
            self._notices.warn_once(
                f"{len(lacking)} of {len(files)} sequences have no file in oxts with the motion of their camera, so "
                f"nothing is asked about that nor about motion in their images: {listed(lacking)}"
            )
        return files

    def read_sequence(self, file: Path, root: Path) -> dict[str, Clip]:
        """The clips of one sequence, by noun and track number."""
        sequence, clips = self._sequence(file, root), {}
        for noun, track in self._nearest(file, sequence.labels):
            clips[f"{noun} {track.track}"] = _clip(file.stem, sequence, track, noun)
        if not clips:
            _logger.warning("%s: left out, nothing is clearly the nearest in three frames", file)
        return clips

    def _nearest(self, file: Path, labels: Labels) -> list[tuple[str, NearestTrack]]:
        """Nouns and tracks with rows of ``labels``."""
        heights = labels.boxes_xyxy[:, 3] - labels.boxes_xyxy[:, 1]
        clear = (labels.truncated <= self.max_truncated) & (labels.occluded <= self.max_occluded)
        clear &= heights >= self.min_height_pixels
        distances = np.hypot(labels.places_metres[:, 0], labels.places_metres[:, 2])
        size = labels.boxes_xyxy[:, 2:].max(axis=0, initial=0.0)  # boxes are cut at the border of the image
        at_border = (labels.truncated > 0) | near_border(labels.boxes_xyxy, size)
        num_lingering = np.where(at_border, NUM_BORDER_LINGERING, NUM_LINGERING)
        found: list[tuple[str, NearestTrack]] = []
        for one in DEFAULT_CLASSES if self.classes is None else self.classes:
            noun, alike = KINDS[one]
            rows = np.flatnonzero(np.isin(labels.classes, alike))
            sightings = Appearances(
                where=str(file),
                frames=labels.frames[rows],
                tracks=labels.tracks[rows],
                nearness=1 / np.maximum(distances[rows], 0.1),
                lowest=np.zeros(len(rows)),
                askable=(clear & (labels.classes == one))[rows],
            )
            found += [
                (noun, replace(track, rows=rows[track.rows]))
                for track in nearest_tracks(sightings, self.min_distance_ratio, num_lingering[rows])
            ]
        return found


def _clip(name: str, sequence: KITTISequence, track: NearestTrack, noun: str) -> Clip:
    labels, camera = sequence.labels, sequence.camera
    frames = labels.frames[track.rows]
    seen = ObjectTrack(labels.boxes_xyxy[track.rows], depths_metres=labels.places_metres[track.rows, 2])
    return Clip(
        clip_id=f"kitti-{name}-{noun}-{track.track}",
        scene_id=f"kitti-{name}",
        domain="kitti_tracking",
        media=tuple(sequence.images[frame] for frame in frames),
        pts_seconds=sequence.pts_seconds[frames],
        camera=None if camera is None else replace(camera, camera_to_world=camera.camera_to_world[frames]),
        objects={track.name(noun): seen},
        camera_moves=camera is None,
    )
