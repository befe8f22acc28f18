"""How good are the images? They are made worse in known ways."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from remot.data.tasks.base import TaskPlan
from remot.data.tasks.shared.worded import WordedTask
from remot.errors import ConfigError
from remot.seeding import numpy_generator
from remot.structures import Clip, ImageEdit, Reference


@dataclass(frozen=True)
class Blur(ImageEdit):
    """Gaussian blur; ``radius`` is its standard deviation as a share of the image's height."""

    radius: float

    def __call__(self, image: Tensor) -> Tensor:
        """The blurred image."""
        radius = ImageFilter.GaussianBlur(self.radius * image.shape[1])
        blurred = Image.fromarray(image.permute(1, 2, 0).numpy()).filter(radius)
        return torch.from_numpy(np.array(blurred)).permute(2, 0, 1).contiguous()


@dataclass(frozen=True)
class Noise(ImageEdit):
    """Normal noise of a ``deviation`` in grey levels; ``seed`` names it, together with the image."""

    deviation: float
    seed: int

    def __call__(self, image: Tensor) -> Tensor:
        """The noisy image."""
        generator = numpy_generator(self.seed, "noise", int(image.sum(dtype=torch.int64)))
        noisy = image.numpy() + generator.normal(0, self.deviation, tuple(image.shape))
        return torch.from_numpy(np.clip(np.round(noisy), 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Darken(ImageEdit):
    """Less light; ``share`` of it is left."""

    share: float

    def __call__(self, image: Tensor) -> Tensor:
        """The darker image."""
        return (image.float() * self.share).round().to(torch.uint8)


Ask = Literal["kind", "blur", "noise", "dark"]
LEVELS = ("none", "slight", "strong")
#: What each way to make images worse is called, and what it does at each level above none.
KINDS: Mapping[str, tuple[str, Callable[[int, int], ImageEdit]]] = {
    "blur": ("blurred", lambda level, _: Blur((0.012, 0.035)[level])),
    "noise": ("noisy", lambda level, seed: Noise((18.0, 55.0)[level], seed)),
    "dark": ("dark", lambda level, _: Darken((0.55, 0.2)[level])),
}
CLEAN = "clean"


class ImageQuality(WordedTask):
    """A word for the quality of a clip (quality and classification of VideoChat-R1, arXiv 2504.06958).

    The published task rates videos by people's opinions. Here the images are made worse in a known way, so the answer
    is true by construction; it says what was done, not how good the clip was before. Every answer is as frequent.

    Args:
        ask: ``kind`` asks which of blurred, noisy, dark and clean it is; ``blur``, ``noise`` and ``dark`` ask how
            strong that is: none, slight or strong.
        shared: ``frames``, ``wordings`` and ``thinks``, see :class:`WordedTask`.
    """

    name = "classification"
    needs: ClassVar[str] = "images"

    def __init__(self, ask: Ask = "kind", **shared: Any) -> None:
        super().__init__(**shared)
        if ask != "kind" and ask not in KINDS:
            msg = f"classification: ask is kind, {', '.join(KINDS)}; got {ask!r}"
            raise ConfigError(msg)
        self.ask = ask
        self.answers = (*(word for word, _ in KINDS.values()), CLEAN) if ask == "kind" else LEVELS

    def serves(self, clip: Clip) -> bool:
        """Whether it has images."""
        return clip.media is not None

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan:
        """An answer drawn evenly, then what makes it true."""
        answer = self.answers[int(generator.integers(len(self.answers)))]
        edit = self._edit(answer, generator)
        shown = self.frames.frames_of(clip)
        choices = ", ".join(self.answers[int(k)] for k in generator.permutation(len(self.answers)))
        plan = self.prompt(
            shown,
            self.text(self.ask, generator, clip=clip, shown=shown, choices=choices),
            Reference(answer=answer),
            answer=answer,
            thought=f"I look at how sharp, clean and bright the pictures are: {answer}.",
            verdict=answer,
        )
        return replace(plan, transforms=(edit,) * len(shown))

    def _edit(self, answer: str, generator: np.random.Generator) -> ImageEdit | None:
        """What is done to the images; strongly where only the kind is asked for."""
        seed = int(generator.integers(2**31))
        if answer in {CLEAN, LEVELS[0]}:
            return None
        if self.ask == "kind":
            (make,) = (make for word, make in KINDS.values() if word == answer)
            return make(1, seed)
        return KINDS[self.ask][1](LEVELS.index(answer) - 1, seed)
