"""How does it move over the screen?"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from remot.data.experts.visibility import MIN_SIZE_PIXELS
from remot.data.questions.text import called
from remot.data.tasks.base import TaskPlan
from remot.data.tasks.geometry.maps import MAX_NAME_CHARS
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.shared.places import box_in_words, image_size, lone_names, visible
from remot.data.tasks.shared.worded import WordedTask
from remot.errors import ConfigError
from remot.structures import Box, BoxTrack, Clip, Reference

#: Eight directions of 45 degrees, anticlockwise from the right; then no direction.
DIRECTIONS = ("E", "NE", "N", "NW", "W", "SW", "S", "SE", "STAT")
_SECTOR_DEGREES = 45.0
#: Published (arXiv 2603.18856, version 3 of its code): an object stays if it moves less than 2 % of its diagonal or 3
#: pixels; speeds begin at these diagonals a second; sizes differ from this logarithm of the ratio of areas on.
STILL_DIAGONALS, STILL_PIXELS = 0.02, 3.0
SPEEDS = {"stationary": 0.0, "slow": 0.02, "moderate": 0.10, "fast": 0.30}
SCALE_LOG_RATIO = 0.15
DECIMALS = 1


@dataclass(frozen=True)
class ScreenMotion:
    """How a box moves from one time to another: one of :data:`DIRECTIONS`, one of :data:`SPEEDS`, and a change of size.

    ``margin`` is the distance from the nearest threshold, as a share.
    """

    direction: str
    speed: str
    scale: str
    margin: float


def screen_motion(first: Box, last: Box, seconds: float) -> ScreenMotion:
    """The motion of a box's centre and the change of its area; boxes are in pixels and have an area."""
    (left, top, right, bottom), (left_last, top_last, right_last, bottom_last) = first, last
    across, up = (left_last + right_last) / 2 - (left + right) / 2, (top + bottom) / 2 - (top_last + bottom_last) / 2
    diagonals = math.hypot(right - left, bottom - top), math.hypot(right_last - left_last, bottom_last - top_last)
    diagonal = sum(diagonals) / 2
    way, still = math.hypot(across, up), max(STILL_DIAGONALS * diagonal, STILL_PIXELS)
    sectors = math.degrees(math.atan2(up, across)) % 360 / _SECTOR_DEGREES
    moves = way >= still
    direction = DIRECTIONS[round(sectors) % 8] if moves else DIRECTIONS[-1]
    speed, log_ratio = way / diagonal / seconds, math.log(_area(last) / _area(first))
    scale = "stable" if abs(log_ratio) <= SCALE_LOG_RATIO else "approaching" if log_ratio > 0 else "receding"
    thresholds = [
        (way, still),
        (abs(log_ratio), SCALE_LOG_RATIO),
        *((speed, bound) for bound in SPEEDS.values() if bound),
    ]
    margins = [abs(value - threshold) / threshold for value, threshold in thresholds]
    margins += [1 - 2 * abs(sectors - round(sectors))] if moves else []
    name = [name for name, bound in SPEEDS.items() if speed >= bound][-1]
    return ScreenMotion(direction, name, scale, min(margins))


class ObjectMotion(WordedTask):
    """The direction of an object's motion, with sightings and a motion tag in the reasoning (Motion-o, 2603.18856).

    The tags, their words and thresholds are published; the question is ours. For ``MotionTrajectoryReward`` and
    ``MotionPerturbationReward``. Asked is between the first and the last frame shown with the object in it; a motion
    near a threshold is not asked about. Every direction is as frequent as the clips allow.

    Args:
        margin: Share by which a motion must differ from every threshold, and of half a direction's sector.
        frames: Which frames are shown, and how.
        wordings: A file of wordings to use instead.
        min_pixels: Size of both boxes from which it is asked about: the side of a square of their area.
    """

    name = "object_motion"
    family: ClassVar[str] = "motion_o"
    needs: ClassVar[str] = "an object with a name of its own and boxes at two times that clearly moves, or does not"
    answers = DIRECTIONS

    def __init__(
        self,
        margin: float = 0.1,
        frames: FrameSampling | None = None,
        wordings: Path | None = None,
        min_pixels: float = MIN_SIZE_PIXELS,
    ) -> None:
        super().__init__(frames, wordings)  # the motion tag is part of the thinking
        if not 0 <= margin < 1:
            msg = f"{self.name}: margin is a share from 0 to 1, got {margin}"
            raise ConfigError(msg)
        self.margin = margin
        self.min_pixels = min_pixels

    def serves(self, clip: Clip) -> bool:
        """Whether an object moves in a measurable way."""
        return any(self._motion(clip, name) is not None for name in lone_names(clip))

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """One of the objects, drawn evenly; None if its motion is not measurable."""
        names = lone_names(clip)
        name = names[int(generator.integers(len(names)))]
        motion = self._motion(clip, name)
        if motion is None:
            return None
        track, shown, (width, height) = self._track(clip, name), self.frames.frames_of(clip), image_size(clip)
        tag = f'<motion obj="{track.name}" dir="{motion.direction}" speed="{motion.speed}" scale="{motion.scale}"/>'
        first, last = (
            f"<obj>{track.name}</obj><box>{box_in_words(track.boxes[k])}</box>at<t>{track.pts_seconds[k]:.2f}</t>s"
            for k in (0, -1)
        )
        places = {"object": track.name, "width": str(width), "height": str(height)}
        return self.prompt(
            shown,
            self.text("ask", generator, clip=clip, shown=shown, **places),
            Reference(answer=motion.direction, tracks=(track,)),
            answer=motion.direction,
            thought=f"{first} then {last} {tag}",
            verdict=motion.direction,
        )

    def _track(self, clip: Clip, name: str) -> BoxTrack:
        """Boxes in the frames shown, rounded as they are written."""
        seen = visible(clip, name)
        shown = [frame for frame in self.frames.frames_of(clip) if seen[frame]]
        boxes: list[Box] = []
        for frame in shown:
            left, top, right, bottom = (round(float(edge), DECIMALS) for edge in clip.objects[name].boxes_xyxy[frame])
            boxes.append((left, top, right, bottom))
        return BoxTrack(called(name), tuple(float(clip.pts_seconds[frame]) for frame in shown), tuple(boxes))

    def _motion(self, clip: Clip, name: str) -> ScreenMotion | None:
        """None for an object whose name no tag can hold, that is not seen twice or is small, or near a threshold."""
        if len(called(name)) > MAX_NAME_CHARS or '"' in called(name):
            return None
        if visible(clip, name)[list(self.frames.frames_of(clip))].sum() < 2:
            return None
        track = self._track(clip, name)
        first, last = track.boxes[0], track.boxes[-1]
        if math.sqrt(max(0.0, min(_area(first), _area(last)))) < max(self.min_pixels, 1e-9):
            return None
        motion = screen_motion(first, last, track.pts_seconds[-1] - track.pts_seconds[0])
        return motion if motion.margin >= self.margin else None


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
