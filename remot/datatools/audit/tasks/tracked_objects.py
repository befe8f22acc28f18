"""The things of a clip as a prompt names them, and their places in the world."""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from remot.data.tasks.tracks.base import TrackTask
from remot.datatools.audit.tasks.drawn import drawn_places, frame_around
from remot.datatools.audit.tasks.images import shares
from remot.datatools.audit.tasks.prompt import SECONDS, AskedPrompt, UnreadableError, kind, one_of, readings, thing
from remot.datatools.audit.tasks.responses import THREE
from remot.structures import FloatArray

#: Overlap beyond which two boxes do not distinguish two things of a kind; those in the text are rounded.
_SHARED = 0.7 + 0.02
#: One thing and its box in the line that points things out: ``car 2 [0.1, 0.2, 0.3, 0.4]``.
_POINTED = re.compile(r"(.+?) \[([\d., e-]+)\](?:, |$)")


@dataclass(frozen=True, eq=False)
class TrackedObjects:
    """The things of a clip as its prompt names them."""

    asked: AskedPrompt

    @property
    def task(self) -> TrackTask:
        """The task, whose settings and wordings are used."""
        assert isinstance(self.asked.task, TrackTask)
        return self.asked.task

    @cached_property
    def pointed(self) -> dict[str, list[str]]:
        """Names in the clip that each name with a number or a mark may stand for, by the boxes that explain it."""
        found = self.pointing
        if not found:
            return {}
        if self.task.refer in {"drawn_boxes", "outlines"}:
            return self._drawn(self.asked.frame_at(found["time"]))
        frame, size = self.asked.frame_at(found["time"]), self.asked.image_size
        boxes = {name: shares(track.boxes_xyxy[frame], size) for name, track in self.asked.clip.objects.items()}
        meant: dict[str, list[str]] = {}
        for word, stated in _POINTED.findall(found["boxes"]):
            edges = np.array([float(one) for one in stated.split(",")])
            edges = edges if edges.shape == (4,) else np.full(4, np.inf)
            by_kind = self.task.refer == "names"
            alike = {name: box for name, box in boxes.items() if not by_kind or kind(name) == kind(word)}
            meant[word] = [name for name, box in alike.items() if _may_be_meant(box, edges)]
        return meant

    def _drawn(self, frame: int) -> dict[str, list[str]]:
        """Names in the clip that each mark drawn in a frame may stand for, by its pixels."""
        size, outside = self.asked.image_size, self.task.refer == "outlines"
        (wording,) = self.task.shared.texts[f"by_{self.task.refer}"]
        boxes = {name: shares(track.boxes_xyxy[frame], size) for name, track in self.asked.clip.objects.items()}
        found = {}
        for colour, places in drawn_places(self.asked, self.asked.frames.index(frame)).items():
            around = shares(frame_around(places, outside, size[1]), size)
            meant = [name for name, box in boxes.items() if _may_be_meant(box, around)]
            found[re.sub(r"\{mark\}", colour, wording)] = meant
        return found

    @cached_property
    def pointing(self) -> dict[str, str]:
        """The ``time`` at which things with numbers are explained, and their ``boxes``; empty if none are."""
        use = f"pointing_{self.task.refer}" if self.task.refer in {"drawn_boxes", "outlines"} else "pointing"
        found = readings(self.asked.question.text, self.task.shared.texts[use], {"time": SECONDS})
        return found[0] if found else {}

    @cached_property
    def words(self) -> list[str]:
        """All names that the prompt may use: those with numbers only if they are explained."""
        return [*self.pointed, *self.named_by_words]

    @cached_property
    def named_by_words(self) -> list[str]:
        """Names that need no explanation."""
        names = self.asked.clip.objects if self.task.refer == "names" else ()
        return [thing(name) for name in names if kind(name) == thing(name)]

    def named(self, word: str) -> str:
        """The name in the clip of what the prompt calls ``word``; an UnreadableError unless it names one thing."""
        plain = [name for name in self.asked.clip.objects if thing(name) == word and word in self.named_by_words]
        found = self.pointed.get(word, plain)
        if len(found) != 1:
            msg = f"{word!r:.40} may be {len(found)} things of the clip"
            raise UnreadableError(msg)
        return found[0]

    def read(self, *places: str) -> dict[str, str]:
        """What stands at places of the question, which are things or times."""
        patterns = {place: one_of(self.words) for place in places} | dict.fromkeys(("time", "start", "end"), SECONDS)
        return self.asked.read(self.task.wordings.texts["ask"], patterns)

    def is_clear(self, name: str, frame: int) -> bool:
        """Whether the box of a thing in a frame is large enough, and the thing not stated to be hidden there."""
        track = self.asked.clip.objects[name]
        left, top, right, bottom = track.boxes_xyxy[frame]
        is_hidden = track.hidden is not None and bool(track.hidden[frame])
        return not is_hidden and bool(min(right - left, bottom - top) >= self.task.min_pixels)

    def in_world(self, name: str, frame: int) -> FloatArray:
        """Place [3] of a thing: in the world where the camera's path is known, else as its camera sees it.

        An UnreadableError if it is not known, or the thing is not clearly seen.
        """
        centres = self.asked.clip.objects[name].centres_metres
        if centres is None or not np.isfinite(centres[frame]).all() or not self.is_clear(name, frame):
            msg = f"the place of {name!r:.40} in frame {frame} is not known, or it is not clearly seen there"
            raise UnreadableError(msg)
        world: FloatArray = (self._pose(frame) @ np.append(centres[frame], 1.0))[:3]
        return world

    def on_ground(self, way: FloatArray, frame: int) -> complex:
        """A way [3] in the world as a frame's camera sees it: to the right, and away from it."""
        right, _, away = self._pose(frame)[:3, :3].T
        return complex(way @ right, way @ away)

    def from_camera(self, name: str, frame: int) -> complex:
        """Where a thing is from a frame's camera: to the right, and away from it."""
        return self.on_ground(self.in_world(name, frame) - self._pose(frame)[:3, 3], frame)

    def _pose(self, frame: int) -> FloatArray:
        camera = self.asked.clip.camera
        return np.eye(4) if camera is None else camera.camera_to_world[frame]


def _may_be_meant(box: FloatArray, stated: FloatArray) -> bool:
    """Whether a box [4] is the stated one, or overlaps it so much that a viewer may confuse them."""
    if np.abs(box - stated).max() <= THREE:
        return True
    both = np.clip(np.minimum(box[2:], stated[2:]) - np.maximum(box[:2], stated[:2]), 0.0, None).prod()
    areas = [float((one[2] - one[0]) * (one[3] - one[1])) for one in (box, stated)]
    return bool(both > _SHARED * (sum(areas) - both))
