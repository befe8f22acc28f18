"""What all questions about tracks share: frames, the relation graph, and who is meant by a number."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from remot.data.experts.visibility import MIN_SIZE_PIXELS
from remot.data.tasks.base import Task, TaskPlan
from remot.data.tasks.geometry.graphs import graphs_text, rounded_nodes
from remot.data.tasks.geometry.maps import MAX_NAME_CHARS
from remot.data.tasks.geometry.places import ground_place
from remot.data.tasks.shared.asking import times_lines, worded_question
from remot.data.tasks.shared.candidates import Refusal, counted, drawn
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.shared.places import box_in_words, image_size, share_box, shares_its_box
from remot.data.tasks.shared.wordings import read_wordings
from remot.data.tasks.tracks.scene import TrackScene, is_numbered, renumbered
from remot.errors import ConfigError
from remot.structures import Box, Clip, Interval, Point, Reference


@dataclass(frozen=True)
class TrackCandidate:
    """Something that can be asked about tracks, and its answer.

    Args:
        tracks: Names in the clip of the tracks it is about; all clearly visible in one shown frame, unless their names
            are distinct.
        places: What fills the wording, by place.
        right: The right option, or the answer as text.
        wrong: Wrong options; none if there are no options.
        verdict: Answers that are to be equally frequent, "" if any candidate is as good as another.
        number: The right number, if that is what is asked for.
        interval: The right stretch of time, if that is.
        box: The right box in shares of the image, if that is.
        not_at: Shown frame in which no object may be pointed out, as that would be the answer; None if any will do.
        has_graphs: False if the times of graphs would give the answer away.
    """

    tracks: tuple[str, ...]
    places: Mapping[str, str]
    right: str
    wrong: tuple[str, ...] = ()
    verdict: str = ""
    number: float | None = None
    interval: Interval | None = None
    box: Box | None = None
    not_at: int | None = None
    has_graphs: bool = True


class TrackTask(Task):
    """A question about followed things.

    Places are those of :mod:`remot.data.tasks.geometry.places`; those of a frame are seen from its own camera. Tracks
    whose names end in a number, such as ``car 2``, are pointed out by their box in a shown frame in which all that the
    question is about are clearly seen, and no other of their kind shares the box (an overlap above 0.7); their numbers
    change places from prompt to prompt. Where places are known, the
    reasoning begins with the relation graphs of ``num_graphs`` shown frames, spread evenly over those in which
    everything asked about is clearly seen; their nodes are these tracks and others with distinct names, at most
    ``max_nodes``.

    Args:
        frames: Which frames are shown. What Video-STR shows is not published.
        num_graphs: Graphs that are asked for, 0 for none.
        max_nodes: Most nodes of a graph.
        min_pixels: Shorter side of a box from which a thing is clearly seen, unless it is stated to be hidden.
        wordings: File with other words.
    """

    needs: ClassVar[str] = "tracked objects"

    def __init__(
        self,
        frames: FrameSampling | None = None,
        num_graphs: int = 2,
        max_nodes: int = 6,
        min_pixels: float = MIN_SIZE_PIXELS,
        wordings: Path | None = None,
    ) -> None:
        if not 0 <= num_graphs <= 16 or not 2 <= max_nodes <= 32 or min_pixels < 0:
            msg = (
                f"{self.name}: num_graphs is {num_graphs}, max_nodes {max_nodes}, min_pixels {min_pixels}; choose 0 to "
            )
            raise ConfigError(msg + "16 graphs of 2 to 32 nodes, and pixels of at least 0")
        self.frames = FrameSampling(16, 2.0) if frames is None else frames
        self.num_graphs = num_graphs
        self.max_nodes = max_nodes
        self.min_pixels = min_pixels
        self.wordings = read_wordings(self.name, "video_str", wordings)
        self.shared = read_wordings("shared", "video_str", wordings)

    def serves(self, clip: Clip) -> bool:
        """Whether anything is tracked; whether there is something to ask, a plan finds out."""
        return bool(clip.objects)

    @abstractmethod
    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:
        """What may be asked about a scene, and what is refused.

        Args:
            scene: The clip and the shown frames.
            generator: For tasks with too many candidates to name all.
        """

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """A prompt: a verdict is drawn first, then one of its candidates."""
        scene = TrackScene(clip, self.frames.frames_of(clip), self.min_pixels, renumbered(clip, generator))
        chosen = drawn(self._found(scene, generator), generator)
        return None if chosen is None else self._plan_of(scene, chosen, generator)

    def refusals(self, clips: Iterable[Clip], generator: np.random.Generator) -> Counter[str]:
        """How often something is ``asked`` or refused, by reason."""
        scenes = (TrackScene(clip, self.frames.frames_of(clip), self.min_pixels) for clip in clips if self.serves(clip))
        return counted(one for scene in scenes for one in self._found(scene, generator))

    def _found(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:
        """The candidates; those that no shown frame can point out are refused."""
        for one in self.candidates(scene, generator):
            can_ask = isinstance(one, Refusal) or self._can_point_out(scene, one)
            yield one if can_ask else Refusal("never clearly seen together, or not distinguished by a box")

    def _plan_of(self, scene: TrackScene, chosen: TrackCandidate, generator: np.random.Generator) -> TaskPlan:
        question = worded_question(chosen, self.wordings, generator)
        head = times_lines(scene.clip, scene.frames, self.frames, self.shared, generator)
        graph_frames, graphs = self._graphs(scene, chosen.tracks) if chosen.has_graphs else ([], ())
        hint = self._graph_lines(scene, graph_frames, graphs, generator)
        thought = self.wordings.say("thought", generator, right=chosen.right, **chosen.places)
        pointing = self._pointing(scene, chosen, generator)
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
            thought=f"{graphs_text(graphs)} {thought}" if graphs else thought,
            verdict=chosen.verdict,
        )

    def _graph_lines(
        self,
        scene: TrackScene,
        frames: Sequence[int],
        graphs: Sequence[Mapping[str, Point]],
        generator: np.random.Generator,
    ) -> list[str]:
        """A line that asks for the graphs, none if there are none."""
        if not graphs:
            return []
        times, names = ", ".join(map(scene.seconds, frames)), ", ".join(graphs[0])
        return [self.shared.say("graph", generator, times=times, names=names)]

    def _pointing_frames(self, scene: TrackScene, chosen: TrackCandidate) -> list[int]:
        numbered = [name for name in chosen.tracks if is_numbered(name)]
        return [
            k
            for k in scene.common(chosen.tracks)
            if k != chosen.not_at and not any(shares_its_box(scene.clip, name, scene.frames[k]) for name in numbered)
        ]

    def _can_point_out(self, scene: TrackScene, chosen: TrackCandidate) -> bool:
        return not any(map(is_numbered, chosen.tracks)) or bool(self._pointing_frames(scene, chosen))

    def _pointing(self, scene: TrackScene, chosen: TrackCandidate, generator: np.random.Generator) -> list[str]:
        """A line that says which track each number means, none if there are no numbers."""
        numbered = sorted((name for name in chosen.tracks if is_numbered(name)), key=scene.names.__getitem__)
        if not numbered:
            return []
        frames = self._pointing_frames(scene, chosen)
        shown, size = frames[int(generator.integers(len(frames)))], image_size(scene.clip)
        boxes = {name: scene.clip.objects[name].boxes_xyxy[scene.frames[shown]] for name in numbered}
        listed = ", ".join(f"{scene.names[name]} {box_in_words(share_box(box, size))}" for name, box in boxes.items())
        return [self.shared.say("pointing", generator, boxes=listed, time=scene.seconds(shown))]

    def _graphs(self, scene: TrackScene, tracks: Sequence[str]) -> tuple[list[int], tuple[dict[str, Point], ...]]:
        """Shown frames with a graph, and ground places by spoken name; the same names in each."""
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
        named = [*tracks, *(name for name in others if not is_numbered(name))][: max(self.max_nodes, len(tracks))]
        if len(named) < 2:
            return [], ()
        return chosen, tuple(
            rounded_nodes({scene.names[name]: ground_place(places[k][name]) for name in named}) for k in chosen
        )
