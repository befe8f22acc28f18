"""Whole sequences of the KITTI tracking benchmark, with everything that is labelled in them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.objects.kitti_files import KINDS, KITTIFilesReader, Labels, beside_labels
from remot.data.annotations.objects.kitti_oxts import colour_camera_from_first
from remot.data.annotations.objects.tracked import rows_by_frame, track_names
from remot.structures import Clip, FloatArray, ObjectTrack


@dataclass(eq=False)
class KITTISceneReader(KITTIFilesReader):
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

    max_truncated: float = 1.0
    max_occluded: int = 1

    def read_sequence(self, file: Path, root: Path) -> dict[str, Clip]:
        """The clip of one sequence."""
        sequence = self._sequence(file, root)
        labels = sequence.labels
        hidden = (labels.truncated > self.max_truncated) | (labels.occluded > self.max_occluded)
        shift = colour_camera_from_first(beside_labels(file, "calib"))
        objects = _objects(str(file), labels, hidden, shift, len(sequence.images))
        kinds = {noun for one, (noun, _) in KINDS.items() if one in labels.classes}
        clip = Clip(
            clip_id=f"kitti-{file.stem}",
            scene_id=f"kitti-{file.stem}",
            domain="kitti_tracking",
            media=sequence.images,
            pts_seconds=sequence.pts_seconds,
            camera=sequence.camera,
            objects=objects,
            camera_moves=sequence.camera is None,
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
