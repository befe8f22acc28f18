"""Where is it?"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from remot.data.experts.visibility import MIN_SIZE_PIXELS, require_size
from remot.data.questions.text import called
from remot.data.tasks.base import TaskPlan
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.shared.places import box_in_words, clearly_visible, image_size, is_large, lone_names, share_box
from remot.data.tasks.shared.worded import WordedTask
from remot.structures import Clip, Reference


class Detection(WordedTask):
    """The box of a named object in one image (VideoChat-R1.5, arXiv 2509.21100).

    Asked about objects whose name fits no other object of the clip. Boxes are shares of the image, as in tracking;
    which unit is used in R1.5 is not known.

    Args:
        wordings: A file of wordings to use instead.
        min_side: Smallest side of a box, as a share of the image's.
        min_pixels: Shorter side in pixels of a box from which an object is clearly seen.
        thinks: Ask for thinking before the answer, and include it in the response.
    """

    name = "detection"
    needs: ClassVar[str] = "an object with boxes and a name of its own"

    def __init__(
        self,
        wordings: Path | None = None,
        min_side: float = 0.04,
        thinks: bool = True,  # noqa: FBT001, FBT002 - a setting
        min_pixels: float = MIN_SIZE_PIXELS,
    ) -> None:
        super().__init__(FrameSampling(1, as_video=False), wordings, thinks)
        require_size(self.name, min_pixels)
        self.min_side = min_side
        self.min_pixels = min_pixels

    def serves(self, clip: Clip) -> bool:
        """Whether there is such an object."""
        return any(clearly_visible(clip, name, self.min_pixels).any() for name in lone_names(clip))

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """An object, then a frame that shows it."""
        names = [name for name in lone_names(clip) if clearly_visible(clip, name, self.min_pixels).any()]
        name = names[int(generator.integers(len(names)))]
        frames = np.flatnonzero(clearly_visible(clip, name, self.min_pixels))
        frame = int(frames[int(generator.integers(len(frames)))])
        size = image_size(clip)
        pixels = clip.objects[name].boxes_xyxy[frame]
        if not is_large(pixels, size, self.min_side, self.min_pixels):
            return None
        box = share_box(pixels, size)
        return TaskPlan(
            frame_indices=(frame,),
            text=self.text("ask", generator, clip=clip, shown=(frame,), object=called(name)),
            reference=Reference(boxes=(box,)),
            answer=box_in_words(box),
            as_video=False,
            thinks=self.thinks,
            thought=f"I see the {called(name)}.",
        )
