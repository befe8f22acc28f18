"""Where in one image is a thing, and which thing is farthest to a side?"""

from typing import Any, ClassVar

import numpy as np

from remot.data.experts.visibility import MIN_SIZE_PIXELS, require_size
from remot.data.questions.text import called
from remot.data.tasks.base import TaskPlan
from remot.data.tasks.shared.candidates import shuffled_choice
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.shared.places import box_in_words, clearly_visible, large_box, lone_names
from remot.data.tasks.shared.worded import WordedTask
from remot.structures import Clip, Reference

#: Axis and direction of each side.
SIDES: dict[str, tuple[int, int]] = {"left": (0, -1), "right": (0, 1), "top": (1, -1), "bottom": (1, 1)}
MAX_OPTIONS = 4


class _SingleImageTask(WordedTask):
    """A question about one image and the objects whose names fit no other object of the clip.

    Args:
        min_side: Smallest side of a box, as a share of the image's.
        min_pixels: Shorter side in pixels of a box from which an object is clearly seen.
        shared: ``wordings`` and ``thinks``, see :class:`WordedTask`.
    """

    def __init__(self, min_side: float = 0.04, min_pixels: float = MIN_SIZE_PIXELS, **shared: Any) -> None:
        super().__init__(FrameSampling(1, as_video=False), **shared)
        require_size(self.name, min_pixels)
        self.min_side = min_side
        self.min_pixels = min_pixels

    def seen(self, clip: Clip) -> dict[str, np.ndarray]:
        """[N] bool by object with a name of its own: frames that clearly show it."""
        return {name: clearly_visible(clip, name, self.min_pixels) for name in lone_names(clip)}


class Detection(_SingleImageTask):
    """The box of a named object in one image (VideoChat-R1.5, arXiv 2509.21100).

    Boxes are shares of the image, as in tracking; which unit is used in R1.5 is not known.
    """

    name = "detection"
    needs: ClassVar[str] = "an object with boxes and a name of its own"

    def serves(self, clip: Clip) -> bool:
        """Whether there is such an object."""
        return any(seen.any() for seen in self.seen(clip).values())

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """An object, then a frame that shows it."""
        found = {name: seen for name, seen in self.seen(clip).items() if seen.any()}
        name = list(found)[int(generator.integers(len(found)))]
        frames = np.flatnonzero(found[name])
        frame = int(frames[int(generator.integers(len(frames)))])
        box = large_box(clip, name, frame, self.min_side, self.min_pixels)
        if box is None:
            return None
        return self.prompt(
            (frame,),
            self.text("ask", generator, clip=clip, shown=(frame,), object=called(name)),
            Reference(boxes=(box,)),
            answer=box_in_words(box),
            thought=f"I see the {called(name)}.",
        )


class ImageGroundedChoice(_SingleImageTask):
    """A question about one image with the box that shows the answer, ``<glue>[x0, y0, x1, y1]</glue>``.

    Image grounded question answering of VideoChat-R1.5 (arXiv 2509.21100). What is asked there is not known; here it
    is which object lies farthest to a side, by annotated boxes in shares of the image.

    Args:
        margin: Middles of boxes nearer than this share of the image are not distinguished.
        shared: Size limits, ``wordings`` and ``thinks``.
    """

    name = "image_grounded_qa"
    needs: ClassVar[str] = "at least two objects with boxes and names of their own in one frame"

    def __init__(self, margin: float = 0.08, **shared: Any) -> None:
        super().__init__(**shared)
        self.margin = margin

    def serves(self, clip: Clip) -> bool:
        """Whether a frame shows two such objects."""
        return bool(len(self._frames(clip)))

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """A frame, then a side, each drawn evenly."""
        frames = self._frames(clip)
        frame, side = int(frames[int(generator.integers(len(frames)))]), str(generator.choice(list(SIDES)))
        names = [name for name, seen in self.seen(clip).items() if seen[frame]]
        found = {name: large_box(clip, name, frame, self.min_side, self.min_pixels) for name in names}
        boxes = {name: box for name, box in found.items() if box is not None}
        axis, sign = SIDES[side]
        middles = {name: (box[axis] + box[axis + 2]) / 2 for name, box in boxes.items()}
        order = sorted(boxes, key=lambda name: -sign * middles[name])
        if len(order) < 2 or abs(middles[order[0]] - middles[order[1]]) < self.margin:
            return None
        right, *rest = (called(name) for name in order)
        wrong = [rest[int(k)] for k in generator.permutation(len(rest))[: MAX_OPTIONS - 1]]
        choice = shuffled_choice(right, wrong, generator)
        box = boxes[order[0]]
        return self.prompt(
            (frame,),
            self.text(side, generator, clip=clip, shown=(frame,), options=choice.lines),
            Reference(answer=choice.letter, boxes=(box,)),
            answer=choice.letter,
            thought=f"The {right} is farthest to the {side}: {choice.letter}",
            after=f"<glue>{box_in_words(box)}</glue>",
        )

    def _frames(self, clip: Clip) -> np.ndarray:
        """Frames that clearly show at least two objects with names of their own."""
        return np.flatnonzero(np.sum([*self.seen(clip).values(), np.zeros(clip.num_frames)], axis=0) >= 2)
