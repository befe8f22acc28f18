"""Sequences of the KITTI tracking benchmark: their labels, images and camera."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import numbered_lines
from remot.data.annotations.images import images_in, number_of
from remot.data.annotations.objects.kitti_oxts import camera_of
from remot.data.annotations.objects.nearest import IntArray
from remot.data.annotations.objects.tracked import TrackedReader
from remot.data.annotations.parsing.number_rows import numbers_in, require_xyxy, whole_numbers
from remot.structures import CameraTrack, FloatArray

FRAME_RATE = 10.0
NUM_COLUMNS = 17
MAX_FRAMES = 1_000_000
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


@dataclass(frozen=True, eq=False)
class KITTISequence:
    """One sequence: of its frames those N that have an image."""

    images: tuple[Path, ...]  # N
    pts_seconds: FloatArray  # [N]
    labels: Labels  # frames count from 0 to N - 1
    camera: CameraTrack | None  # None without a file in oxts


@dataclass(eq=False, kw_only=True)
class KITTIFilesReader(TrackedReader):
    """Shared by the readers of ``label_02/0000.txt``."""

    pattern: ClassVar[str] = "label_02/*.txt"

    def _sequence(self, file: Path, root: Path) -> KITTISequence:
        """The sequence of one label file; a label belongs to the image of its frame's number."""
        oxts = beside_labels(file, "oxts")
        images = images_in(file, root, f"../image_02/{file.stem}")
        camera = camera_of(beside_labels(file, "calib"), oxts) if oxts.exists() else None
        labels = read_labels(file, MAX_FRAMES if camera is None else len(camera.camera_to_world))
        if camera is None:
            num_frames = 1 + max(labels.frames.max(initial=0), *map(number_of, images))
            kept = self.numbered_images(file, images, num_frames, 0, "frames by labels and names of images")
        else:
            kept = self.numbered_images(file, images, len(camera.camera_to_world), 0, "rows in oxts")
            camera = replace(camera, camera_to_world=camera.camera_to_world[kept])
        # the labels in the frames that are kept, which are numbered anew
        rows = np.isin(labels.frames, kept)
        parts: dict[str, Any] = {name: v[rows] for name, v in vars(labels).items() if isinstance(v, np.ndarray)}
        labels = replace(labels, **parts | {"frames": np.searchsorted(kept, parts["frames"])})
        return KITTISequence(images, kept / FRAME_RATE, labels, camera)


def beside_labels(file: Path, folder: str) -> Path:
    """The file in ``folder`` of a label file: the camera's motion in ``oxts``, the calibration in ``calib``."""
    return file.resolve().parent.parent / folder / file.name


def read_labels(file: Path, num_frames: int) -> Labels:
    """The rows of one label file that are about objects.

    Raises:
        AnnotationError: Naming the file, the row and what does not fit.
    """
    numbers, classes, has_unlabelled = [], [], False
    for where, line in numbered_lines(file):
        words = line.split()
        if len(words) > 2 and words[2] == "DontCare":
            has_unlabelled = True
            continue
        score = words[NUM_COLUMNS:][:1]  # a detector's
        row = numbers_in(f"{where}, its class left out,", [*words[:2], *words[3:]], NUM_COLUMNS - 1 + len(score))
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
