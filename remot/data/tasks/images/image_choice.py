"""Which of these is farthest to a side of the image, and where is it?"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from remot.data.experts.visibility import MIN_SIZE_PIXELS, require_size
from remot.data.questions.text import called
from remot.data.tasks.base import TaskPlan
from remot.data.tasks.geometry.choices import shuffled_choice
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.shared.places import box_in_words, clearly_visible, image_size, is_large, lone_names, share_box
from remot.data.tasks.shared.worded import WordedTask
from remot.structures import Box, Clip, Reference

#: Axis and direction of each side.
SIDES: dict[str, tuple[int, int]] = {"left": (0, -1), "right": (0, 1), "top": (1, -1), "bottom": (1, 1)}
MAX_OPTIONS = 4


class ImageGroundedChoice(WordedTask):
    """A question about one image with the box that shows the answer, ``<glue>[x0, y0, x1, y1]</glue>``.

    Image grounded question answering of VideoChat-R1.5 (arXiv 2509.21100). What is asked there is not known; here it
    is which object lies farthest to a side, by annotated boxes in shares of the image.

    Args:
        wordings: A file of wordings to use instead.
        min_side: Smallest side of a box, as a share of the image's.
        min_pixels: Shorter side in pixels of a box from which an object is clearly seen.
        margin: Middles of boxes nearer than this share of the image are not distinguished.
        thinks: Ask for thinking before the answer, and include it in the response.
    """

    name = "image_grounded_qa"
    needs: ClassVar[str] = "at least two objects with boxes and names of their own in one frame"

    def __init__(
        self,
        wordings: Path | None = None,
        min_side: float = 0.04,
        margin: float = 0.08,
        thinks: bool = True,  # noqa: FBT001, FBT002 - a setting
        min_pixels: float = MIN_SIZE_PIXELS,
    ) -> None:
        super().__init__(FrameSampling(1, as_video=False), wordings, thinks)
        require_size(self.name, min_pixels)
        self.min_side = min_side
        self.min_pixels = min_pixels
        self.margin = margin

    def serves(self, clip: Clip) -> bool:
        """Whether a frame shows two such objects."""
        return bool(len(self._frames(clip)))

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """A frame, then a side, each drawn evenly."""
        frames = self._frames(clip)
        frame, side = int(frames[int(generator.integers(len(frames)))]), str(generator.choice(list(SIDES)))
        boxes = self._boxes(clip, frame)
        axis, sign = SIDES[side]
        order = sorted(boxes, key=lambda name: -sign * _middle(boxes[name], axis))
        if len(order) < 2 or abs(_middle(boxes[order[0]], axis) - _middle(boxes[order[1]], axis)) < self.margin:
            return None
        right, *rest = (called(name) for name in order)
        wrong = [rest[int(k)] for k in generator.permutation(len(rest))[: MAX_OPTIONS - 1]]
        choice = shuffled_choice(right, wrong, generator)
        box = boxes[order[0]]
        return TaskPlan(
            frame_indices=(frame,),
            text=self.text(side, generator, clip=clip, shown=(frame,), options=choice.lines),
            reference=Reference(answer=choice.letter, boxes=(box,)),
            answer=choice.letter,
            as_video=False,
            thinks=self.thinks,
            thought=f"The {right} is farthest to the {side}: {choice.letter}",
            after=f"<glue>{box_in_words(box)}</glue>",
        )

    def _boxes(self, clip: Clip, frame: int) -> dict[str, Box]:
        """Boxes of the objects that are large enough to be seen."""
        names = (name for name in lone_names(clip) if clearly_visible(clip, name, self.min_pixels)[frame])
        size = image_size(clip)
        boxes = {name: clip.objects[name].boxes_xyxy[frame] for name in names}
        large = {name: box for name, box in boxes.items() if is_large(box, size, self.min_side, self.min_pixels)}
        return {name: share_box(box, size) for name, box in large.items()}

    def _frames(self, clip: Clip) -> np.ndarray:
        """Frames that clearly show at least two objects with names of their own."""
        names = lone_names(clip)
        if len(names) < 2:
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(np.sum([clearly_visible(clip, name, self.min_pixels) for name in names], axis=0) >= 2)


def _middle(box: Box, axis: int) -> float:
    return (box[axis] + box[axis + 2]) / 2
