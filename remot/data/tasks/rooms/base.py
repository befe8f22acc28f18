"""Questions about rooms: frames, the cognitive map, and how a question becomes a prompt."""

from typing import Any, ClassVar, Literal

import numpy as np

from remot.data.experts.visibility import MIN_SIZE_PIXELS, require_size
from remot.data.tasks.base import TaskPlan
from remot.data.tasks.geometry.maps import MAX_NAME_CHARS, cognitive_map, map_text
from remot.data.tasks.rooms.scene import MIN_SHARE, Scene, kind_counts
from remot.data.tasks.shared.candidates import Candidate, SceneTask
from remot.errors import ConfigError
from remot.structures import Clip, Point, Reference

MapAxes = Literal["first_view", "world", "none"]

#: Things of a map; a room with more has none, which would be longer than answers are.
MAX_DRAWN = 100


class RoomTask(SceneTask[Scene, Candidate]):
    """A question about a room, answered from the boxes of its layout.

    Where the camera is known, only things are asked about that the shown frames clearly show: a share ``min_seen`` of a
    grid of points on their surface is in an image and hidden by no other box. Walls are not annotated. Where it is
    not known, the clip is taken to show the whole room, as the videos of VSI-Bench do.

    Args:
        map_axes: Along what the rows of the optional cognitive map lie: the direction of the first shown frame's view,
            where the camera is known, or the layout's own y axis; ``none`` asks for no map. The published map has the
            axes of the scan, which a video does not show.
        min_seen: Share of a thing's surface that makes it clearly seen, at most about two thirds is possible.
        min_pixels: Where the camera is known, side of a square with the area of the rectangle around a thing from which
            it is clearly seen.
        min_share: Where the data set states which share of an image's pixels show a thing (``image_shares``), the share
            from which it is clearly seen; ``min_seen`` and ``min_pixels`` do not apply then.
        shared: ``frames`` and ``wordings``.
    """

    needs: ClassVar[str] = "a 3D layout"
    family = "spacer"
    #: Things that a question points at by a name the room has once.
    num_single: ClassVar[int] = 0

    def __init__(
        self,
        map_axes: MapAxes = "first_view",
        min_seen: float = 0.2,
        min_pixels: float = MIN_SIZE_PIXELS,
        min_share: float = MIN_SHARE,
        **shared: Any,
    ) -> None:
        require_size(type(self).__name__, min_pixels)
        if map_axes not in {"first_view", "world", "none"} or not (0 < min_seen < 1 and 0 < min_share < 1):
            msg = f"{type(self).__name__}: map_axes is {map_axes!r}, min_seen {min_seen} and min_share {min_share}; "
            raise ConfigError(msg + "choose first_view, world or none, and shares between 0 and 1")
        super().__init__(**shared)
        self.map_axes: MapAxes = map_axes
        self.min_seen = min_seen
        self.min_pixels = min_pixels
        self.min_share = min_share

    def serves(self, clip: Clip) -> bool:
        """Whether the layout holds enough things; whether the frames show them, a plan finds out."""
        return bool(clip.layout) and sum(number == 1 for number in kind_counts(clip).values()) >= self.num_single

    def scene(self, clip: Clip, generator: np.random.Generator | None = None) -> Scene:  # noqa: ARG002
        """The layout and what the shown frames show of it."""
        return Scene(clip, self.frames.frames_of(clip), self.min_seen, self.min_pixels, self.min_share)

    def plan_of(self, scene: Scene, chosen: Candidate, generator: np.random.Generator) -> TaskPlan:
        """Times, question, and the line that asks for a map."""
        axes = self.map_axes
        if axes == "first_view" and (scene.clip.camera is None or scene.heading is None):
            axes = "world" if scene.clip.camera is None else "none"  # a view that looks up or down has no direction
        seen = [box for box, is_seen in zip(scene.layout, scene.is_seen, strict=True) if is_seen]
        boxes = [box for box in seen if len(box.name) <= MAX_NAME_CHARS]
        cells: dict[str, tuple[Point, ...]] = {}
        if axes != "none" and 0 < len(boxes) <= MAX_DRAWN:
            cells = cognitive_map(boxes, scene.heading if axes == "first_view" else None)
        question = self.worded(chosen, generator)
        head = self.times_lines(scene.clip, scene.frames, generator)
        hint = [self.shared.say(f"map_{axes}", generator, kinds=", ".join(cells))] if cells else []
        closing = self.shared.say(question.kind, generator)
        thought = self.wordings.say("thought", generator, right=chosen.right, **chosen.places)
        return TaskPlan(
            frame_indices=scene.frames,
            text="\n".join([*head, *question.lines, *hint, closing]),
            reference=Reference(
                answer=question.answer, number=None if chosen.wrong else float(chosen.right), map_centres=cells or None
            ),
            answer=question.answer,
            as_video=self.frames.as_video,
            thought=f"{map_text(cells)} {thought}" if cells else thought,
            verdict=chosen.verdict,
        )
