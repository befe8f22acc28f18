"""Images seen through a warp, and small copies of images."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from remot.structures import FloatArray, Warp

#: Side of the small copies that are compared.
SMALL_SIDE = 32


def warp_image(image: Tensor, warp: Warp) -> Tensor:
    """The image that ``warp`` shows of a decoded one.

    Args:
        image: uint8 [3, H, W].
        warp: Where each shown pixel comes from; all of them must come from inside.

    Returns:
        uint8 [3, h, w] of the warp's size, by bilinear interpolation.
    """
    width, height = warp.size
    columns, rows = torch.meshgrid(
        torch.arange(width, dtype=torch.float64) + 0.5, torch.arange(height, dtype=torch.float64) + 0.5, indexing="xy"
    )
    places = (
        torch.stack([columns, rows, torch.ones_like(rows)], dim=-1)
        @ torch.tensor(warp.matrix, dtype=torch.float64).reshape(3, 3).T
    )
    source = places[..., :2] / places[..., 2:]
    extent = torch.tensor([image.shape[2], image.shape[1]], dtype=torch.float64)
    grid = (2 * source / extent - 1).float()
    shown = grid_sample(image[None].float(), grid[None], mode="bilinear", padding_mode="border", align_corners=False)
    return shown[0].round().clamp(0, 255).to(torch.uint8)


def warped_corners(warp_matrix: FloatArray, size: tuple[int, int]) -> FloatArray:
    """[4, 2] places in the decoded image of the shown image's corners; infinite if one lies behind the camera."""
    width, height = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], dtype=np.float64)
    mapped = corners @ warp_matrix.T
    ahead = mapped[:, 2:] > 1e-6
    return np.where(ahead, mapped[:, :2] / np.where(ahead, mapped[:, 2:], 1.0), np.inf)


def small_copy(image: Tensor) -> NDArray[np.float32]:
    """Copy [3, 32, 32] of an image, uint8 [3, H, W], in grey levels of 255, each the mean of what it covers."""
    size = (SMALL_SIDE, SMALL_SIDE)
    small: NDArray[np.float32] = interpolate(image[None].float(), size=size, mode="area")[0].numpy()
    return small
