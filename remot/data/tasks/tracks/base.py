"""Questions about tracks: frames, relation graphs, and which thing a number means."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np

from remot.data.experts.visibility import MIN_SIZE_PIXELS
from remot.data.tasks.base import TaskPlan
from remot.data.tasks.geometry.maps import MAX_NAME_CHARS, graph_text, rounded_nodes
from remot.data.tasks.shared.candidates import Candidate, Refusal, SceneTask
from remot.data.tasks.shared.marks import COLOURS, BoxMark, Mark, Marks, OutlineMark
from remot.data.tasks.shared.places import box_in_words, ground_place, image_size, share_box, shares_its_box
from remot.data.tasks.tracks.scene import Refer, TrackScene, renumbered
from remot.errors import ConfigError
from remot.structures import Box, Clip, Interval, Point, Reference


@dataclass(frozen=True)
class TrackCandidate(Candidate):
    """Something that can be asked about tracks, and its answer.

    Args:
        tracks: Names in the clip of the tracks it is about; all clearly visible in one shown frame, unless their names
            are distinct.
        number: The right number, if that is what is asked for.
        interval: The right stretch of time, if that is.
        box: The right box in shares of the image, if that is.
        not_at: Shown frame in which no object may be pointed out, as that would be the answer; None if any will do.
        has_graphs: False if the times of graphs would give the answer away.
    """

    tracks: tuple[str, ...] = ()
    number: float | None = None
    interval: Interval | None = None
    box: Box | None = None
    not_at: int | None = None
    has_graphs: bool = True


class TrackTask(SceneTask[TrackScene, TrackCandidate]):
    """A question about tracked things.

    Places are those of :mod:`remot.data.tasks.shared.places`; those of a frame are seen from its own camera. Tracks
    whose names end in a number, such as ``car 2``, are pointed out by their box in a shown frame in which all that the
    question is about are clearly seen, and no other of their kind shares the box (an overlap above 0.7); their numbers
    change places from prompt to prompt. Where places are known, the reasoning begins with the relation graphs of
    ``num_graphs`` shown frames, spread evenly over those in which everything asked about is clearly seen; their nodes
    are these tracks and others with distinct names, at most ``max_nodes``.

    Args:
        num_graphs: Graphs that are asked for, 0 for none.
        max_nodes: Most nodes of a graph.
        min_pixels: Shorter side of a box from which a thing is clearly seen, unless it is stated to be hidden.
        refer: How a question refers to things. ``names`` is by what they are called, see above. The others name
            nothing and refer by time and place, as Strefer (arXiv 2509.03501) does: ``boxes`` by a box in numbers at a
            time that the question does not ask about, ``drawn_boxes`` by a coloured box and ``outlines`` by a coloured
            line around the mask, drawn in one shown frame, whose time the prompt states. Up to eight things of a clip
            are drawn, and only those with masks have outlines. Questions about kinds of things name them anyway.
        shared: ``frames`` (which ones Video-STR shows is not published) and ``wordings``.
    """

    needs: ClassVar[str] = "tracked objects"
    family = "video_str"

    def __init__(
        self,
        num_graphs: int = 2,
        max_nodes: int = 6,
        min_pixels: float = MIN_SIZE_PIXELS,
        refer: Refer = "names",
        **shared: Any,
    ) -> None:
        if not 0 <= num_graphs <= 16 or not 2 <= max_nodes <= 32 or min_pixels < 0:
            msg = (
                f"{self.name}: num_graphs is {num_graphs}, max_nodes {max_nodes}, min_pixels {min_pixels}; choose 0 to "
            )
            raise ConfigError(msg + "16 graphs of 2 to 32 nodes, and pixels of at least 0")
        if refer not in get_args(Refer):
            msg = f"{self.name}: refer is {refer!r}, choose {', '.join(get_args(Refer))}"
            raise ConfigError(msg)
        super().__init__(**shared)
        self.num_graphs = num_graphs
        self.max_nodes = max_nodes
        self.min_pixels = min_pixels
        self.refer: Refer = refer

    def serves(self, clip: Clip) -> bool:
        """Whether anything is tracked; whether there is something to ask, a plan finds out."""
        return bool(clip.objects)

    def scene(self, clip: Clip, generator: np.random.Generator | None = None) -> TrackScene:
        """The tracks and what the shown frames show of them; renumbered if there is a generator."""
        if self.refer != "names":
            names = self._marked_names(clip, generator)
        else:
            names = {} if generator is None else renumbered(clip, generator)
        return TrackScene(clip, self.frames.frames_of(clip), self.min_pixels, names, self.refer)

    def _marked_names(self, clip: Clip, generator: np.random.Generator | None) -> dict[str, str]:
        """What a prompt that names nothing calls each thing; drawn if there is a generator."""
        names = list(clip.objects)
        if self.refer == "outlines":
            names = [name for name in names if clip.objects[name].masks is not None]
        marks = [str(k + 1) for k in range(len(names))] if self.refer == "boxes" else list(COLOURS)
        order = np.arange(len(names)) if generator is None else generator.permutation(len(names))
        if generator is not None and self.refer != "boxes":
            marks = [marks[k] for k in generator.permutation(len(marks))]
        (wording,) = self.shared.texts[f"by_{self.refer}"]
        return {names[k]: wording.replace("{mark}", mark) for k, mark in zip(order, marks, strict=False)}

    def accepted(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:
        """The candidates; those that no shown frame can point out are refused."""
        for one in self.candidates(scene, generator):
            if (
                isinstance(one, Refusal)
                or not any(map(scene.is_pointed_out, one.tracks))
                or _pointing_frames(self.prompt_scene(scene, one), one)
            ):
                yield one
            else:
                yield Refusal("never clearly seen together, or not distinguished by a box")

    def prompt_scene(self, scene: TrackScene, chosen: TrackCandidate) -> TrackScene:  # noqa: ARG002
        """The scene with the frames that the prompt about a candidate shows."""
        return scene

    def plan_of(self, scene: TrackScene, chosen: TrackCandidate, generator: np.random.Generator) -> TaskPlan:
        """Times, the line that says which thing each number means, question, and the line that asks for graphs."""
        scene = self.prompt_scene(scene, chosen)
        question = self.worded(chosen, generator)
        head = self.times_lines(scene.clip, scene.frames, generator)
        graph_frames, graphs = self._graphs(scene, chosen.tracks) if chosen.has_graphs else ([], ())
        hint = []
        if graphs:
            times, names = ", ".join(map(scene.seconds, graph_frames)), ", ".join(graphs[0])
            hint = [self.shared.say("graph", generator, times=times, names=names)]
        thought = self.wordings.say("thought", generator, right=chosen.right, **chosen.places)
        pointing, transforms = self._pointing(scene, chosen, generator)
        kind = "box" if chosen.box else "interval" if chosen.interval else question.kind
        closing = self.shared.say(kind, generator)
        return TaskPlan(
            frame_indices=scene.frames,
            text="\n".join([*head, *pointing, *question.lines, *hint, closing]),
            reference=Reference(
                answer=question.answer,
                number=chosen.number,
                intervals=None if chosen.interval is None else (chosen.interval,),
                boxes=None if chosen.box is None else (chosen.box,),
                graphs=graphs or None,
            ),
            answer=question.answer,
            as_video=self.frames.as_video,
            thought=f"{''.join(map(graph_text, graphs))} {thought}" if graphs else thought,
            verdict=chosen.verdict,
            transforms=transforms,
        )

    def _pointing(
        self, scene: TrackScene, chosen: TrackCandidate, generator: np.random.Generator
    ) -> tuple[list[str], tuple[Marks | None, ...]]:
        """A line that points out tracks, and what is drawn in each shown frame; nothing where names will do."""
        pointed = sorted(filter(scene.is_pointed_out, chosen.tracks), key=scene.names.__getitem__)
        if not pointed:
            return [], ()
        frames = _pointing_frames(scene, chosen)
        shown = frames[int(generator.integers(len(frames)))]
        time, boxes = scene.seconds(shown), {name: scene.box(name, shown) for name in pointed}
        if self.refer in {"names", "boxes"}:
            size = image_size(scene.clip)
            listed = ", ".join(
                f"{scene.names[name]} {box_in_words(share_box(box, size))}" for name, box in boxes.items()
            )
            return [self.shared.say("pointing", generator, boxes=listed, time=time)], ()
        marks = Marks(tuple(self._mark(scene, name, shown) for name in pointed))
        drawn = tuple(marks if k == shown else None for k in range(len(scene.frames)))
        return [self.shared.say(f"pointing_{self.refer}", generator, time=time)], drawn

    def _mark(self, scene: TrackScene, name: str, shown: int) -> Mark:
        """The box or the outline of a track in the colour that its name in the prompt holds."""
        (wording,) = self.shared.texts[f"by_{self.refer}"]
        before, _, after = wording.partition("{mark}")
        colour = scene.names[name].removeprefix(before).removesuffix(after)
        if self.refer == "outlines":
            return OutlineMark(colour, scene.clip.objects[name], scene.frames[shown])
        left, top, right, bottom = scene.box(name, shown).tolist()
        return BoxMark(colour, (left, top, right, bottom))

    def _graphs(self, scene: TrackScene, tracks: Sequence[str]) -> tuple[list[int], tuple[dict[str, Point], ...]]:
        """Shown frames with a graph, and ground places by the names in the prompt; the same names in each."""
        places = {k: scene.places(k) for k in scene.common(tracks)} if self.num_graphs else {}
        usable = [k for k, found in places.items() if all(name in found for name in tracks) and len(found) > 1]
        if not usable:
            return [], ()
        spread = np.linspace(0, len(usable) - 1, min(self.num_graphs, len(usable)))
        chosen = [usable[k] for k in sorted({round(float(k)) for k in spread})]
        if any(len(scene.names[name]) > MAX_NAME_CHARS for name in tracks):
            return [], ()
        others = sorted(set.intersection(*(set(places[k]) for k in chosen)) - set(tracks))
        others = [name for name in others if len(scene.names[name]) <= MAX_NAME_CHARS]
        named = [*tracks, *(name for name in others if not scene.is_pointed_out(name))][
            : max(self.max_nodes, len(tracks))
        ]
        if len(named) < 2:
            return [], ()
        return chosen, tuple(
            rounded_nodes({scene.names[name]: ground_place(places[k][name]) for name in named}) for k in chosen
        )


class FarTask(TrackTask):
    """A question about a way or a distance of a certain length.

    Args:
        min_metres: Smallest one that is asked about.
        shared: Settings of all questions about tracks, see :class:`TrackTask`.
    """

    def __init__(self, min_metres: float = 0.5, **shared: Any) -> None:
        super().__init__(**shared)
        self.min_metres = min_metres


class DirectionTask(FarTask):
    """A question with directions as answers, asked only where one of them is clear.

    Args:
        margin_degrees: How far a direction has to be from those at which the answer changes.
        shared: ``min_metres``, and settings of all questions about tracks, see :class:`TrackTask`.
    """

    def __init__(self, margin_degrees: float = 15.0, **shared: Any) -> None:
        super().__init__(**shared)
        if not 0 <= margin_degrees < 45 or self.min_metres <= 0:
            msg = f"{self.name}: margin_degrees is {margin_degrees}, min_metres {self.min_metres}; choose 0 to 45 "
            raise ConfigError(msg + "degrees and metres above 0")
        self.margin_degrees = margin_degrees


def _pointing_frames(scene: TrackScene, chosen: TrackCandidate) -> list[int]:
    """Shown frames in which the boxes of the tracks that are not named point them out."""
    pointed = list(filter(scene.is_pointed_out, chosen.tracks))
    by_kind = scene.refer == "names"
    asked = set(chosen.places.values()) if scene.refer == "boxes" else set()  # a box would tell where things are then
    return [
        k
        for k in scene.common(chosen.tracks)
        if k != chosen.not_at
        and scene.seconds(k) not in asked
        and not any(shares_its_box(scene.clip, name, scene.frames[k], by_kind) for name in pointed)
    ]
