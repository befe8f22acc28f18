"""What all questions about rooms share: frames, the map, and how a question becomes a prompt."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from remot.data.experts.visibility import MIN_SIZE_PIXELS, require_size
from remot.data.tasks.base import Task, TaskPlan
from remot.data.tasks.geometry.maps import MAX_NAME_CHARS, cognitive_map, map_text
from remot.data.tasks.rooms.scene import Scene, kind_counts, scene_of
from remot.data.tasks.shared.asking import times_lines, worded_question
from remot.data.tasks.shared.candidates import Refusal, counted, drawn
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.shared.wordings import read_wordings
from remot.errors import ConfigError
from remot.structures import Clip, Point, Reference

MapAxes = Literal["first_view", "world", "none"]


#: Things of a map; a room with more has none, which would be longer than answers are.
MAX_DRAWN = 100


@dataclass(frozen=True)
class Candidate:
    """Something that can be asked about a scene, and its answer.

    Args:
        places: What fills the wording, by place.
        right: The right option or number as text.
        wrong: Wrong options; none for a number.
        verdict: Answers that are to be equally frequent within a clip, "" if any candidate is as good as another.
    """

    places: Mapping[str, str]
    right: str
    wrong: tuple[str, ...] = ()
    verdict: str = ""


class RoomTask(Task):
    """A question about a room, answered from the boxes of its layout.

    Where the camera is known, only things are asked about that the shown frames clearly show: a share ``min_seen`` of a
    grid of points on their surface is in an image and hidden by no other box. Walls are not annotated. Where it is
    not known, the clip is taken to show the whole room, as the videos of VSI-Bench do.

    Args:
        frames: Which frames are shown; published: 2 a second, at most 16.
        map_axes: Along what the rows of the optional cognitive map lie: the direction of the first shown frame's view,
            where the camera is known, or the layout's own y axis; ``none`` asks for no map. The published map has the
            axes of the scan, which a video does not show.
        min_seen: Share of a thing's surface that makes it clearly seen, at most about two thirds is possible.
        wordings: File with other words.
        min_pixels: Where the camera is known, side of a square with the area of the rectangle around a thing from which
            it is clearly seen.
    """

    needs: ClassVar[str] = "a 3D layout"
    #: Things that a question points at by a name the room has once.
    num_single: ClassVar[int] = 0

    def __init__(
        self,
        frames: FrameSampling | None = None,
        map_axes: MapAxes = "first_view",
        min_seen: float = 0.2,
        wordings: Path | None = None,
        min_pixels: float = MIN_SIZE_PIXELS,
    ) -> None:
        require_size(type(self).__name__, min_pixels)
        if map_axes not in {"first_view", "world", "none"} or not 0 < min_seen < 1:
            msg = (
                f"{type(self).__name__}: map_axes is {map_axes!r} and min_seen {min_seen}; choose first_view, world or "
            )
            raise ConfigError(msg + "none, and a share between 0 and 1")
        self.frames = FrameSampling(16, 2.0) if frames is None else frames
        self.map_axes: MapAxes = map_axes
        self.min_seen = min_seen
        self.min_pixels = min_pixels
        self.wordings = read_wordings(self.name, "spacer", wordings)
        self.shared = read_wordings("shared", "spacer", wordings)

    def serves(self, clip: Clip) -> bool:
        """Whether the layout holds enough things; whether the frames show them, a plan finds out."""
        return bool(clip.layout) and sum(number == 1 for number in kind_counts(clip).values()) >= self.num_single

    @abstractmethod
    def candidates(self, scene: Scene, generator: np.random.Generator) -> Iterator[Candidate | Refusal]:
        """What may be asked about a scene, and what is refused.

        Args:
            scene: The shown frames and what they show.
            generator: For tasks with too many candidates to name all.
        """

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """A prompt: a verdict is drawn first, then one of its candidates."""
        scene = self._scene(clip)
        chosen = drawn(self.candidates(scene, generator), generator)
        return None if chosen is None else self._plan_of(scene, chosen, generator)

    def refusals(self, clips: Iterable[Clip], generator: np.random.Generator) -> Counter[str]:
        """How often something is ``asked`` or refused, by reason."""
        scenes = (self._scene(clip) for clip in clips if self.serves(clip))
        return counted(one for scene in scenes for one in self.candidates(scene, generator))

    def _scene(self, clip: Clip) -> Scene:
        return scene_of(clip, self.frames.frames_of(clip), self.min_seen, self.min_pixels)

    def _plan_of(self, scene: Scene, chosen: Candidate, generator: np.random.Generator) -> TaskPlan:
        cells = self._map(scene)
        question = worded_question(chosen, self.wordings, generator)
        head = times_lines(scene.clip, scene.frames, self.frames, self.shared, generator)
        hint = [self.shared.say(f"map_{self._axes(scene)}", generator, kinds=", ".join(cells))] if cells else []
        closing = self.shared.say(question.kind, generator)
        thought = self.wordings.say("thought", generator, right=chosen.right, **chosen.places)
        return TaskPlan(
            frame_indices=scene.frames,
            text="\n".join([*head, *question.lines, *hint, closing]),
            reference=Reference(
                answer=question.answer,
                number=None if chosen.wrong else float(chosen.right),
                map_centres=cells or None,
            ),
            answer=question.answer,
            as_video=self.frames.as_video,
            thought=f"{map_text(cells)} {thought}" if cells else thought,
            verdict=chosen.verdict,
        )

    def _axes(self, scene: Scene) -> MapAxes:
        """Along what the map's rows lie; a view that looks up or down has no direction."""
        if self.map_axes == "first_view" and scene.clip.camera is None:
            return "world"
        return "none" if self.map_axes == "first_view" and scene.heading is None else self.map_axes

    def _map(self, scene: Scene) -> dict[str, tuple[Point, ...]]:
        """The map of everything that is clearly seen, empty if none is asked for."""
        axes = self._axes(scene)
        boxes = [box for box in scene.seen if len(box.name) <= MAX_NAME_CHARS]
        if axes == "none" or not 0 < len(boxes) <= MAX_DRAWN:
            return {}
        return cognitive_map(boxes, scene.heading if axes == "first_view" else None)
