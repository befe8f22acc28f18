"""Cars and people of the KITTI tracking benchmark (https://www.cvlibs.net/datasets/kitti/eval_tracking.php)."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import read_text
from remot.data.annotations.objects.kitti_oxts import camera_of
from remot.data.annotations.objects.nearest import Appearances, IntArray, NearestTrack, near_border, nearest_tracks
from remot.data.annotations.objects.notices import listed
from remot.data.annotations.objects.tracked import TrackedReader, counted, images_in
from remot.data.annotations.parsing.number_rows import require_xyxy, whole_numbers
from remot.errors import AnnotationError, ConfigError
from remot.files import gap_in_numbers, lines_of
from remot.structures import CameraTrack, Clip, FloatArray, ObjectTrack

_logger = logging.getLogger(__name__)

FRAME_RATE = 10.0
NUM_COLUMNS = 17
#: After its last box an object may stay partly visible: for one second, or for four at the border of the image.
NUM_LINGERING, NUM_BORDER_LINGERING = 10, 40
#: For each class that can be asked about, what questions call it and what a viewer could take for it.
KINDS = {
    "Car": ("car", ("Car", "Van")),
    "Van": ("van", ("Van", "Truck")),
    "Truck": ("truck", ("Truck", "Van")),
    "Pedestrian": ("person", ("Pedestrian", "Person", "Person_sitting", "Cyclist")),
    "Cyclist": ("cyclist", ("Cyclist",)),
    "Tram": ("tram", ("Tram",)),
}


@dataclass(frozen=True, eq=False)
class Labels:
    """One label file: R objects, unlabelled regions left out."""

    frames: IntArray  # [R]
    tracks: IntArray  # [R]
    classes: NDArray[np.str_]  # [R]
    truncated: FloatArray  # [R] 0 to 2
    occluded: FloatArray  # [R] 0 to 3
    boxes_xyxy: FloatArray  # [R, 4]
    sizes_metres: FloatArray  # [R, 3] height, width, length
    places_metres: FloatArray  # [R, 3] bottom centres in camera axes
    has_unlabelled: bool  # whether regions were marked as not labelled


class KITTITrackingReader(TrackedReader):
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

    pattern: ClassVar[str] = "label_02/*.txt"

    def __init__(
        self,
        classes: list[str] | None = None,
        max_truncated: int = 0,
        max_occluded: int = 1,
        min_distance_ratio: float = 1.25,
        min_height_pixels: float = 25.0,
    ) -> None:
        super().__init__()
        self.classes = ["Car", "Pedestrian", "Cyclist"] if classes is None else classes
        if unknown := sorted(set(self.classes) - set(KINDS)):
            msg = f"KITTITrackingReader: there is no class {unknown[0]!r}; choose among {', '.join(KINDS)}"
            raise ConfigError(msg)
        if min_distance_ratio < 1:
            msg = f"KITTITrackingReader: min_distance_ratio is {min_distance_ratio}; choose at least 1"
            raise ConfigError(msg)
        self.max_truncated = max_truncated
        self.max_occluded = max_occluded
        self.min_distance_ratio = min_distance_ratio
        self.min_height_pixels = min_height_pixels

    def notice(self, files: list[Path]) -> str:
        """How many sequences lack the motion of their camera."""
        if not (lacking := [file.stem for file in files if not oxts_of(file).exists()]):
            return ""
        return (
            f"{len(lacking)} of {len(files)} sequences have no file in oxts with the motion of their camera, so "
            f"nothing is asked about that nor about motion in their images: {listed(lacking)}"
        )

    def read_sequence(self, file: Path, root: Path) -> dict[str, Clip]:
        """The clips of one sequence, by noun and track number.

        Raises:
            AnnotationError: Naming the file, the row and what does not fit.
        """
        name, oxts = file.stem, oxts_of(file)
        images = kitti_images(file, root)
        camera = camera_of(oxts.parent.parent / "calib" / f"{name}.txt", oxts) if oxts.exists() else None
        if camera is not None and len(camera.camera_to_world) != len(images):
            msg = f"{file}: {counted(images)} but {len(camera.camera_to_world)} rows in oxts, fetch them again"
            raise AnnotationError(msg, reason="unsynchronised")
        labels = read_labels(file, len(images))
        clips = {}
        for noun, track in self._nearest(file, labels):
            clip_id = f"kitti-{name}-{noun}-{track.track}"
            clips[f"{noun} {track.track}"] = _clip(clip_id, name, track, noun, labels, camera, images)
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
        for one in self.classes:
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


def kitti_images(file: Path, root: Path) -> tuple[Path, ...]:
    """The images of a label file's sequence, without gaps: a label belongs to the image of its frame's number.

    Raises:
        AnnotationError: If there are none, or one is missing between others.
    """
    images = images_in(file, root, f"../image_02/{file.stem}")
    if gap_in_numbers([path.name for path in images]):
        msg = f"{file}: {counted(images)} in image_02/{file.stem}, fetch those that are missing"
        raise AnnotationError(msg, reason="missing media")
    return images


def oxts_of(file: Path) -> Path:
    """Where the camera's motion of a label file is."""
    return file.resolve().parent.parent / "oxts" / f"{file.stem}.txt"


def _clip(
    clip_id: str,
    sequence: str,
    track: NearestTrack,
    noun: str,
    labels: Labels,
    camera: CameraTrack | None,
    images: tuple[Path, ...],
) -> Clip:
    frames = labels.frames[track.rows]
    seen = ObjectTrack(labels.boxes_xyxy[track.rows], depths_metres=labels.places_metres[track.rows, 2])
    return Clip(
        clip_id=clip_id,
        scene_id=f"kitti-{sequence}",
        domain="kitti_tracking",
        media=tuple(images[frame] for frame in frames),
        pts_seconds=frames / FRAME_RATE,
        camera=None if camera is None else replace(camera, camera_to_world=camera.camera_to_world[frames]),
        objects={track.name(noun): seen},
        camera_moves=camera is None,
    )


def read_labels(file: Path, num_frames: int) -> Labels:
    """The rows of one label file that are about objects.

    Raises:
        AnnotationError: Naming the file, the row and what does not fit.
    """
    numbers, classes, has_unlabelled = [], [], False
    for number, line in enumerate(lines_of(read_text(file)), start=1):
        words = line.split()
        if len(words) > 2 and words[2] == "DontCare":
            has_unlabelled = True
            continue
        try:
            row = [float(word) for word in (*words[:2], *words[3:])]
        except ValueError:
            row = []
        if len(row) not in (NUM_COLUMNS - 1, NUM_COLUMNS) or not np.isfinite(row).all():
            msg = f"{file}: line {number} must hold a class and {NUM_COLUMNS - 1} finite numbers, found {line[:60]!r}"
            raise AnnotationError(msg)
        numbers.append(row[: NUM_COLUMNS - 1])
        classes.append(words[2])
    rows = np.array(numbers).reshape(-1, NUM_COLUMNS - 1)
    where = f"{file}, DontCare left out"
    return Labels(
        frames=whole_numbers(where, "frame", rows[:, 0], 0, num_frames - 1),
        tracks=whole_numbers(where, "track", rows[:, 1], 0, 10**6),
        classes=np.array(classes, dtype=np.str_),
        truncated=rows[:, 2],
        occluded=rows[:, 3],
        boxes_xyxy=require_xyxy(where, rows[:, 5:9]),
        sizes_metres=rows[:, 9:12],
        places_metres=rows[:, 12:15],
        has_unlabelled=has_unlabelled,
    )
