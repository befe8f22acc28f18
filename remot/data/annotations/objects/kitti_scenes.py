"""Whole sequences of the KITTI tracking benchmark, with everything that is labelled in them."""

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.objects.kitti_oxts import camera_of, colour_camera_from_first
from remot.data.annotations.objects.kitti_tracking import (
    FRAME_RATE,
    KINDS,
    Labels,
    kitti_images,
    oxts_of,
    read_labels,
)
from remot.data.annotations.objects.tracked import TrackedReader, counted
from remot.data.annotations.objects.whole_tracks import rows_by_frame, track_names
from remot.errors import AnnotationError
from remot.structures import Clip, FloatArray, ObjectTrack


class KITTISceneReader(TrackedReader):
    """Reads the files of :class:`remot.data.annotations.KITTITrackingReader`, one clip for each sequence.

    Tracks are called ``car 1``, ``car 2`` and so on: numbers that a prompt has to explain, as the tasks about tracks
    do. The label's place is the bottom centre; half the height above it is the middle. Sizes are the label's median.
    The shift from the first camera, in whose axes labels are, to the colour camera is added. Without an oxts file the
    camera is said to move in a way that is not known.

    Boxes of what is largely hidden or cut off are marked so, and not asked about where they are.

    A sequence with ``DontCare`` regions, in which nothing is labelled, has no complete kinds; others have all
    of theirs.

    Args:
        max_truncated: How far an object may leave the image, from 0 to 1, before it counts as largely cut off. The
            benchmark's raw labels have whole numbers 0 to 2 there.
        max_occluded: How far it may be hidden: 0 not, 1 partly, 2 largely, 3 not known.
    """

    pattern: ClassVar[str] = "label_02/*.txt"

    def __init__(self, max_truncated: float = 1.0, max_occluded: int = 1) -> None:
        super().__init__()
        self.max_truncated = max_truncated
        self.max_occluded = max_occluded

    def read_sequence(self, file: Path, root: Path) -> dict[str, Clip]:
        """The clip of one sequence.

        Raises:
            AnnotationError: Naming the file, the row and what does not fit.
        """
        name, oxts = file.stem, oxts_of(file)
        images = kitti_images(file, root)
        calib = oxts.parent.parent / "calib" / f"{name}.txt"
        camera = camera_of(calib, oxts) if oxts.exists() else None
        if camera is not None and len(camera.camera_to_world) != len(images):
            msg = f"{file}: {counted(images)} but {len(camera.camera_to_world)} rows in oxts, fetch them again"
            raise AnnotationError(msg, reason="unsynchronised")
        labels = read_labels(file, len(images))
        hidden = (labels.truncated > self.max_truncated) | (labels.occluded > self.max_occluded)
        objects = _objects(str(file), labels, hidden, colour_camera_from_first(calib), len(images))
        kinds = {noun for one, (noun, _) in KINDS.items() if one in labels.classes}
        clip = Clip(
            clip_id=f"kitti-{name}",
            scene_id=f"kitti-{name}",
            domain="kitti_tracking",
            media=images,
            pts_seconds=np.arange(len(images)) / FRAME_RATE,
            camera=camera,
            objects=objects,
            camera_moves=camera is None,
            complete_kinds=() if labels.has_unlabelled else tuple(sorted(kinds)),
        )
        return {"": clip}


def _objects(
    where: str, labels: Labels, hidden: NDArray[np.bool_], shift: FloatArray, num_frames: int
) -> dict[str, ObjectTrack]:
    nouns = [KINDS[one][0] if one in KINDS else "" for one in labels.classes]
    middles = labels.places_metres + shift - np.array([0.0, 0.5, 0.0]) * labels.sizes_metres[:, :1]
    found = {}
    for name, rows in track_names(nouns, labels.tracks).items():
        centres = rows_by_frame(where, name, labels.frames[rows], middles[rows], num_frames)
        found[name] = ObjectTrack(
            boxes_xyxy=rows_by_frame(where, name, labels.frames[rows], labels.boxes_xyxy[rows], num_frames),
            depths_metres=centres[:, 2],
            size_metres=np.median(labels.sizes_metres[rows], axis=0),
            centres_metres=centres,
            hidden=rows_by_frame(where, name, labels.frames[rows], hidden[rows, None].astype(np.float64), num_frames)[
                :, 0
            ]
            == 1,
        )
    return found
