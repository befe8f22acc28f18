"""Images of a prompt changed alike, so that a policy learns the motion and not the looks of its clips.

A window, light, contrast, colours, noise and blur, drawn once for all images: what a camera did between them stays what
it was. Places and colours do not, so that prompts about things are left alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from remot.errors import ConfigError

#: Width by height of a window, each as often as it stands here.
ASPECTS = (4 / 3, 4 / 3, 16 / 9, 16 / 9, 1.0)
#: Ranges of factors, and of the exponent that values from 0 to 1 are raised to.
BRIGHTNESS, CONTRAST, SATURATION, GAMMA, TINT = (0.6, 1.4), (0.5, 1.5), (0.0, 1.6), (0.6, 1.7), (0.75, 1.25)
#: How often channels change places, images are grey, inverted, blurred or noisy, and the most noise of 255.
SHARE_PERMUTED, SHARE_GREY, SHARE_INVERTED, SHARE_BLURRED, SHARE_NOISY, MOST_NOISE = 0.5, 0.2, 0.15, 0.3, 0.5, 12.0


@dataclass(frozen=True)
class ImageChange:
    """What is done to all images of a prompt."""

    window: tuple[float, float, float, float]  # height as a share of the image's, width by height, place down and right
    channels: tuple[int, ...]  # from which each comes
    tint: tuple[float, ...]  # a factor for each
    saturation: float
    contrast: float
    brightness: float
    gamma: float
    inverts: bool
    blurs: bool
    noise: float  # standard deviation in values of 255
    seed: int  # of the noise

    def __call__(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Images [3, h, w] of ``images`` [3, H, W], values 0 to 255."""
        generator = np.random.default_rng(self.seed)
        return [self._changed(image, generator) for image in images]

    def _changed(self, image: Tensor, generator: np.random.Generator) -> Tensor:
        values = self._in_window(image).float() / 255
        values = values[list(self.channels)] * torch.tensor(self.tint)[:, None, None]
        grey = values.mean(0, keepdim=True)
        values = (grey + (values - grey) * self.saturation - 0.5) * self.contrast + 0.5
        values = (values * self.brightness).clamp(0, 1) ** self.gamma
        values = 1 - values if self.inverts else values
        values = _blurred(values) if self.blurs else values
        if self.noise:
            values = values + torch.from_numpy(generator.normal(0, self.noise / 255, values.shape).astype(np.float32))
        return (values.clamp(0, 1) * 255).round().to(torch.uint8)

    def _in_window(self, image: Tensor) -> Tensor:
        share, aspect, down, right = self.window
        height, width = image.shape[1:]
        tall = min(height * share, width / aspect)
        rows, columns = max(int(tall), 1), max(int(tall * aspect), 1)
        top, left = int(down * (height - rows)), int(right * (width - columns))
        return image[:, top : top + rows, left : left + columns]


def _blurred(values: Tensor) -> Tensor:
    """As if seen at half the size."""
    size = [max(side // 2, 1) for side in values.shape[1:]]
    return interpolate(interpolate(values[None], size, mode="area"), values.shape[1:], mode="bilinear")[0]


@dataclass(frozen=True)
class ImageChanges:
    """How often and how much images of training prompts about the camera are changed.

    Args:
        share: Of the prompts.
        least_window: The smallest height of a window, as a share of the image's.

    Raises:
        ConfigError: If one is no share above 0.
    """

    share: float = 0.6
    least_window: float = 0.6

    def __post_init__(self) -> None:
        for name, value in (("share", self.share), ("least_window", self.least_window)):
            if not 0 < value <= 1:
                msg = f"image_changes.{name} is {value}, give a number above 0 and at most 1"
                raise ConfigError(msg)

    def draw(self, generator: np.random.Generator) -> ImageChange | None:
        """What is done to the images of a prompt; None for nothing."""
        if generator.random() >= self.share:
            return None

        def happens(share: float) -> bool:
            return bool(generator.random() < share)

        window = generator.uniform(self.least_window, 1), generator.choice(ASPECTS), *generator.random(2)
        return ImageChange(
            window=tuple(map(float, window)),  # type: ignore[arg-type]
            channels=tuple(generator.permutation(3).tolist()) if happens(SHARE_PERMUTED) else (0, 1, 2),
            tint=tuple(generator.uniform(*TINT, 3).tolist()),
            saturation=0.0 if happens(SHARE_GREY) else float(generator.uniform(*SATURATION)),
            contrast=float(generator.uniform(*CONTRAST)),
            brightness=float(generator.uniform(*BRIGHTNESS)),
            gamma=float(generator.uniform(*GAMMA)),
            inverts=happens(SHARE_INVERTED),
            blurs=happens(SHARE_BLURRED),
            noise=float(generator.uniform(0, MOST_NOISE)) if happens(SHARE_NOISY) else 0.0,
            seed=int(generator.integers(2**62)),
        )
