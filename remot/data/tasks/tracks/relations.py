"""Where is one thing from another, how far, and which is the closest?"""

import math
from collections.abc import Iterator
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from remot.data.tasks.shared.candidates import Refusal
from remot.data.tasks.shared.orders import clearly_nearest
from remot.data.tasks.shared.places import ground_place
from remot.data.tasks.tracks.base import DirectionTask, FarTask, TrackCandidate, TrackTask
from remot.data.tasks.tracks.scene import TrackScene
from remot.errors import ConfigError
from remot.structures import Clip, FloatArray, Point

#: Tracks and frames of a clip that are combined; more are drawn from.
MAX_TRACKS, MAX_MOMENTS = 8, 4


class PlacedTask(TrackTask):
    """A question about where things are at one moment."""

    needs: ClassVar[str] = "several tracked objects with places (centres_metres)"
    num_tracks: ClassVar[int] = 2

    def serves(self, clip: Clip) -> bool:
        """Whether enough things have places."""
        return sum(track.centres_metres is not None for track in clip.objects.values()) >= self.num_tracks

    def moments(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[tuple[int, dict[str, FloatArray]]]:
        """Drawn shown frames with the places [3] of clearly seen tracks, in the axes of the frame's camera."""
        for shown in sorted(generator.permutation(len(scene.frames))[:MAX_MOMENTS]):
            found = scene.places(int(shown))
            names = sorted(found)
            drawn = [names[k] for k in sorted(generator.permutation(len(names))[:MAX_TRACKS])]
            yield int(shown), {name: found[name] for name in drawn}


class TrackDirection(DirectionTask, PlacedTask):
    """Is one thing to the left or right of another, and nearer or farther, as the camera sees it?

    Left and right must be the same in metres across the view and in the image, where far things lie near its middle.

    See :class:`DirectionTask` for its settings; the answer changes straight across and straight along the view.
    """

    name = "track_direction"
    answers = ("left and farther", "left and nearer", "right and farther", "right and nearer")

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:
        """One for each two tracks in each order at a few moments."""
        for shown, places in self.moments(scene, generator):
            grounds = {name: ground_place(place) for name, place in places.items()}
            for pair in combinations(places, 2):
                for first, second in (pair, pair[::-1]):
                    said = relation(grounds[first], grounds[second], self.margin_degrees, self.min_metres)
                    if said is None:
                        yield Refusal("between two directions")
                        continue
                    words = {"first": scene.names[first], "second": scene.names[second], "time": scene.seconds(shown)}
                    yield TrackCandidate(words, said, self.other_answers(said), said, (first, second))


def relation(start: Point, end: Point, margin_degrees: float, min_metres: float) -> str | None:
    """Where ``end`` is from ``start`` in the words of :attr:`TrackDirection.answers`; None if that is not clear.

    Both are metres to the right of the camera and along its view.
    """
    if start[1] <= 0 or end[1] <= 0:  # beside the camera or behind it, which the image does not show
        return None
    across, along = end[0] - start[0], end[1] - start[1]
    degrees = math.degrees(math.atan2(abs(along), abs(across)))
    in_image = end[0] / end[1] - start[0] / start[1]
    if math.hypot(across, along) < min_metres or not margin_degrees <= degrees <= 90 - margin_degrees:
        return None
    if across * in_image <= 0:
        return None
    return f"{'right' if across > 0 else 'left'} and {'farther' if along > 0 else 'nearer'}"


class TrackDistance(FarTask, PlacedTask):
    """Distance between the middles of two things in metres with one decimal."""

    name = "track_distance"

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:
        """One for each two tracks at a few moments."""
        for shown, places in self.moments(scene, generator):
            for first, second in combinations(places, 2):
                metres = float(np.linalg.norm(places[first] - places[second]))
                if metres < self.min_metres:
                    yield Refusal("too close")
                    continue
                words = {"first": scene.names[first], "second": scene.names[second], "time": scene.seconds(shown)}
                said = f"{metres:.1f}"
                yield TrackCandidate(words, said, tracks=(first, second), number=float(said))


class TrackNearest(PlacedTask):
    """Which of several things is the closest to another, between their middles?

    Args:
        num_options: How many are offered; fewer, down to two, where fewer are seen.
        min_gap_metres: How much closer than the next one the closest must be.
        min_ratio: How many times as far away the next one must be.
        shared: Settings of all questions about tracks, see :class:`TrackTask`.
    """

    name = "track_nearest"
    num_tracks = 3

    def __init__(
        self, num_options: int = 4, min_gap_metres: float = 0.2, min_ratio: float = 1.2, **shared: Any
    ) -> None:
        super().__init__(**shared)
        if not 2 <= num_options <= 7 or min_gap_metres < 0 or min_ratio < 1:
            msg = (
                f"{self.name}: {num_options} options, a gap of {min_gap_metres} m, a ratio of {min_ratio}; choose 2 to "
            )
            raise ConfigError(msg + "7 options, a gap of at least 0 and a ratio of at least 1")
        self.num_options = num_options
        self.min_gap_metres = min_gap_metres
        self.min_ratio = min_ratio

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:
        """For each track a drawn set of others at a few moments; balanced over the closest."""
        for shown, places in self.moments(scene, generator):
            for name in places:
                others = [other for other in places if other != name]
                drawn = [others[k] for k in generator.permutation(len(others))[: self.num_options]]
                if len(drawn) < 2:
                    yield Refusal("too few others")
                    continue
                metres = {other: float(np.linalg.norm(places[other] - places[name])) for other in drawn}
                ordered = clearly_nearest(metres, self.min_gap_metres, self.min_ratio)
                if ordered is None:
                    yield Refusal("two are about as close")
                    continue
                words = {"thing": scene.names[name], "time": scene.seconds(shown)}
                right, *wrong = (scene.names[other] for other in ordered)
                yield TrackCandidate(words, right, tuple(wrong), right, (name, *sorted(drawn)))
