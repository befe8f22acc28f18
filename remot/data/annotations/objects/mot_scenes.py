"""Whole sequences of the MOTChallenge benchmarks, with all persons."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from remot.data.annotations.objects.mot_files import (
    NOUNS,
    PEDESTRIAN,
    PERSON_LIKE,
    MOTFilesReader,
    MOTSequence,
)
from remot.data.annotations.objects.tracked import rows_by_frame, track_names
from remot.structures import Clip, ObjectTrack


@dataclass(eq=False)
class MOTSceneReader(MOTFilesReader):
    """Reads the files of :class:`remot.data.annotations.MOTReader`, one clip for each sequence.

    Tracks are called ``person 1``, ``person 2`` and so on: numbers that a prompt has to explain, as the tasks about
    tracks do. A box of which less than ``min_visibility`` is visible is left out, as if its person was not in view;
    MOT15 has no visibilities. All persons are annotated unless the sequence has people that the
    benchmark does not evaluate.

    Args:
        min_visibility: Smallest visible share of a box.
    """

    min_visibility: float = 0.3

    def read_sequence(self, file: Path, root: Path) -> dict[str, Clip]:
        """The clip of one sequence."""
        sequence, media, media_times, times = self._shown(file, root)
        name = file.parent.parent.resolve().name
        like = np.isin(sequence.classes, PERSON_LIKE)
        untracked = like & ((sequence.classes != PEDESTRIAN) | ~sequence.is_active)
        # the benchmark does not state for vehicles that every visible one is tracked
        are_complete = PEDESTRIAN in self._classes and not untracked.any()
        clip = Clip(
            clip_id=name,
            scene_id=sequence.scene_id,
            domain="mot",
            media=media,
            pts_seconds=times,
            objects=self._objects(str(file), sequence),
            media_pts_seconds=media_times,
            camera_moves=not self._still_cameras.hold(sequence.bare_name),
            complete_kinds=(NOUNS[PEDESTRIAN],) if are_complete else (),
        )
        return {"": clip}

    def _objects(self, where: str, sequence: MOTSequence) -> dict[str, ObjectTrack]:
        asked = np.isin(sequence.classes, self._classes) & (sequence.is_active | (sequence.classes != PEDESTRIAN))
        nouns = [NOUNS.get(int(one), "") if ok else "" for one, ok in zip(sequence.classes, asked, strict=True)]
        boxes = np.where((sequence.visible >= self.min_visibility)[:, None], sequence.boxes_xyxy, np.nan)
        return {
            name: ObjectTrack(rows_by_frame(where, name, sequence.frames[rows], boxes[rows], sequence.num_frames))
            for name, rows in track_names(nouns, sequence.tracks).items()
        }
