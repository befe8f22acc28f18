"""Where does it go?"""

from typing import Any, ClassVar

import numpy as np

from remot.data.experts.visibility import MIN_SIZE_PIXELS
from remot.data.questions.text import called
from remot.data.tasks.base import TaskPlan
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.shared.places import box_in_words, clearly_visible, image_size, share_box, shares_its_box
from remot.data.tasks.shared.worded import WordedTask
from remot.errors import ConfigError
from remot.structures import Clip, Reference


class ObjectTracking(WordedTask):
    """An object's boxes over the clip, of which the first is given (VideoChat-R1, arXiv 2504.06958).

    As published: frames 0, then int(i (n - 1) / 6) for i = 1 … 5, then n - 1 of n are shown, and 8 boxes in shares of
    the image are asked for, since the processor rounds the 7 frames up to 8 by showing the last one twice.

    Args:
        as_video: Show the frames as a video; False shows them as images and states the times in words.
        num_boxes: Boxes asked for.
        repeat_last: The last frame stands for the last two boxes.
        min_pixels: Size from which a box is clearly seen: the side of a square of its area.
        shared: ``wordings`` and ``thinks``, see :class:`WordedTask`.
    """

    name = "tracking"
    needs: ClassVar[str] = "an object with boxes over the whole clip, the first of which no other of its kind shares"

    def __init__(
        self,
        as_video: bool = True,  # noqa: FBT001, FBT002 - a setting
        num_boxes: int = 8,
        repeat_last: bool = True,  # noqa: FBT001, FBT002 - a setting
        min_pixels: float = MIN_SIZE_PIXELS,
        **shared: Any,
    ) -> None:
        if num_boxes < 2 + repeat_last:
            msg = f"tracking: num_boxes is {num_boxes}; ask for two different frames at least"
            raise ConfigError(msg)
        super().__init__(FrameSampling(num_boxes - repeat_last, as_video=as_video), **shared)
        self.num_boxes = num_boxes
        self.repeat_last = repeat_last
        self.min_pixels = min_pixels

    def serves(self, clip: Clip) -> bool:
        """Whether an object is clearly visible in all frames shown."""
        names, _ = self._objects(clip)
        return bool(names)

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """One of the objects, drawn evenly; None if nothing of it lies in one of the images."""
        names, shown = self._objects(clip)
        name, size = names[int(generator.integers(len(names)))], image_size(clip)
        boxes = [share_box(clip.objects[name].boxes_xyxy[frame], size) for frame in shown]
        if not all(box[0] < box[2] and box[1] < box[3] for box in boxes):
            return None
        boxes += boxes[-1:] * (self.num_boxes - len(boxes))
        places = {"object": called(name), "box": box_in_words(boxes[0]), "count": str(self.num_boxes)}
        return self.prompt(
            shown,
            self.text("ask", generator, clip=clip, shown=shown, **places),
            Reference(boxes=tuple(boxes)),
            answer=f"[{', '.join(map(box_in_words, boxes))}]",
            thought=f"The {called(name)} goes from {box_in_words(boxes[0])} to {box_in_words(boxes[-1])}.",
        )

    def _objects(self, clip: Clip) -> tuple[list[str], tuple[int, ...]]:
        """Names of the objects that are clearly visible in the published frames, and these frames; each once."""
        steps = self.num_boxes - self.repeat_last - 1
        shown = tuple(k * (clip.num_frames - 1) // steps for k in range(steps + 1))
        if len(set(shown)) < len(shown):
            return [], shown
        words = list(map(called, clip.objects))
        alone = [name for name, word in zip(clip.objects, words, strict=True) if word and words.count(word) == 1]
        clear = [name for name in alone if clearly_visible(clip, name, self.min_pixels)[list(shown)].all()]
        return [name for name in clear if not shares_its_box(clip, name, shown[0])], shown
