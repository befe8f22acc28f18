"""Where does a thing go, and how far?"""

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import ClassVar

import numpy as np

from remot.data.tasks.shared.candidates import Refusal
from remot.data.tasks.shared.places import places_seen_from
from remot.data.tasks.tracks.base import DirectionTask, FarTask, TrackCandidate, TrackTask
from remot.data.tasks.tracks.scene import TrackScene
from remot.structures import Clip, FloatArray

#: Pairs of moments of a track that are looked at; more are drawn from.
MAX_PAIRS = 12
#: Ways over the ground for an observer at the camera: the way across and the way along the view.
WAYS = {
    "to the left": (-1.0, 0.0),
    "to the right": (1.0, 0.0),
    "away from the camera": (0.0, 1.0),
    "towards the camera": (0.0, -1.0),
}


class MovingTask(TrackTask):
    """A question about the way of a thing between two moments in which it is clearly seen.

    The camera's own motion is taken out: both places are seen from the camera of the first moment.
    """

    needs: ClassVar[str] = (
        "tracked objects with places (centres_metres), and a camera that rests or whose path is known in metres"
    )

    def serves(self, clip: Clip) -> bool:
        """Whether a thing has places and may move."""
        movable = [name for name, track in clip.objects.items() if not track.is_landmark]
        return any(places_seen_from(clip, name, 0) is not None for name in movable)

    def ways(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[tuple[str, int, int, FloatArray]]:
        """Track, two drawn shown frames and its way [3] between them in the axes of the first one's camera."""
        for name in scene.names:
            if scene.clip.objects[name].is_landmark:
                continue
            pairs = list(combinations(np.flatnonzero(scene.clear(name)), 2))
            for k in sorted(generator.permutation(len(pairs))[:MAX_PAIRS]):
                start, end = (int(shown) for shown in pairs[k])
                places = places_seen_from(scene.clip, name, scene.frames[start])
                if places is None:
                    break
                way = places[scene.frames[end]] - places[scene.frames[start]]
                if np.isfinite(way).all():
                    yield name, start, end, np.asarray(way)


class MotionDirection(DirectionTask, MovingTask):
    """Does a thing go left, right, away or towards the camera between two moments?

    See :class:`DirectionTask` for its settings; the answer changes at the diagonals.
    """

    name = "motion_direction"
    answers = tuple(WAYS)

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:
        """Drawn pairs of moments of each track."""
        for name, start, end, way in self.ways(scene, generator):
            across, along = float(way[0]), float(way[2])
            said = way_in_words(across, along, self.margin_degrees)
            if math.hypot(across, along) < self.min_metres:
                yield Refusal("hardly moves")
            elif said is None:
                yield Refusal("between two directions")
            else:
                words = {"thing": scene.names[name], "start": scene.seconds(start), "end": scene.seconds(end)}
                yield TrackCandidate(words, said, self.other_answers(said), said, (name,))


def way_in_words(
    across: float, along: float, margin_degrees: float, ways: Mapping[str, tuple[float, float]] = WAYS
) -> str | None:
    """The key of ``ways`` that a way over the ground has, None within ``margin_degrees`` of a diagonal."""
    length = math.hypot(across, along)
    if not length:
        return None
    said = max(ways, key=lambda name: across * ways[name][0] + along * ways[name][1])
    off = math.degrees(math.acos(min(1.0, (across * ways[said][0] + along * ways[said][1]) / length)))
    return said if off <= 45 - margin_degrees else None


class Displacement(FarTask, MovingTask):
    """How far a thing is at one moment from where it was at another, in metres with one decimal."""

    name = "displacement"

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:
        """Drawn pairs of moments of each track."""
        for name, start, end, way in self.ways(scene, generator):
            metres = float(np.linalg.norm(way))
            if metres < self.min_metres:
                yield Refusal("hardly moves")
            else:
                said = f"{metres:.1f}"
                words = {"thing": scene.names[name], "start": scene.seconds(start), "end": scene.seconds(end)}
                yield TrackCandidate(words, said, tracks=(name,), number=float(said))
