"""Images made worse in known ways."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from remot.seeding import numpy_generator
from remot.structures import ImageEdit


@dataclass(frozen=True)
class Blur(ImageEdit):
    """Gaussian blur.

    Args:
        radius: Standard deviation as a share of the image's height.
    """

    radius: float

    def __call__(self, picture: Tensor) -> Tensor:
        """The blurred image."""
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
        blurred = image.filter(ImageFilter.GaussianBlur(self.radius * picture.shape[1]))
        return torch.from_numpy(np.array(blurred)).permute(2, 0, 1).contiguous()


@dataclass(frozen=True)
class Noise(ImageEdit):
    """Normal noise, other in every image.

    Args:
        deviation: In grey levels.
        seed: Names the noise, together with the image.
    """

    deviation: float
    seed: int

    def __call__(self, picture: Tensor) -> Tensor:
        """The noisy image."""
        generator = numpy_generator(self.seed, "noise", int(picture.sum(dtype=torch.int64)))
        noisy = picture.numpy() + generator.normal(0, self.deviation, tuple(picture.shape))
        return torch.from_numpy(np.clip(np.round(noisy), 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Darken(ImageEdit):
    """Less light.

    Args:
        share: Of the light that is left.
    """

    share: float

    def __call__(self, picture: Tensor) -> Tensor:
        """The darker image."""
        return (picture.float() * self.share).round().to(torch.uint8)
