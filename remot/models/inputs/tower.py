"""Passes of the vision tower over images or videos, long videos in parts.

In the towers of :data:`remot.models.families.names.COMPARED` a patch attends to those of its own moment, one patch in
time, and its position is one in height and width. Features of a moment so do not depend on the others.
"""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Patches that one pass of a frozen tower takes; a moment that has more is a pass by itself.
PASS_PATCHES = 8192


def tower_levels(model: "PreTrainedModel", kind: str, patches: Tensor, grid_thw: Tensor) -> list[Tensor]:
    """For each level the features [visual tokens, H] of images or videos (``kind`` is ``image`` or ``video``).

    Without gradient in passes of at most :data:`PASS_PATCHES` patches. With it all at once: the backward pass needs
    what all passes hold.

    Args:
        model: A model of a family in :data:`remot.models.families.names.COMPARED`.
        kind: Which of its methods computes them.
        patches: [patches, numbers of a patch], one image or video after the other, each moment by moment.
        grid_thw: [images or videos, 3] patches in time, height and width.
    """
    if torch.is_grad_enabled() or len(patches) <= PASS_PATCHES:
        return _one_pass(model, kind, patches, grid_thw)
    passes = passes_of(grid_thw.tolist(), PASS_PATCHES)
    sizes = [sum(map(prod, grid)) for grid in passes]
    found = [
        _one_pass(model, kind, part, grid_thw.new_tensor(grid))
        for part, grid in zip(torch.split(patches, sizes), passes, strict=True)
    ]
    return [torch.cat(level) for level in zip(*found, strict=True)]


def passes_of(grid_thw: Sequence[Sequence[int]], most_patches: int) -> list[list[tuple[int, int, int]]]:
    """Grids in passes of at most ``most_patches``, in order, cut between moments; at least one moment a pass.

    >>> passes_of([(1, 2, 2), (3, 2, 4)], 16)
    [[(1, 2, 2), (1, 2, 4)], [(2, 2, 4)]]
    """
    passes: list[list[tuple[int, int, int]]] = []
    left = 0  # patches that fit into the last pass
    for time, height, width in grid_thw:
        while time > 0:
            if height * width > left:
                passes.append([])
                left = most_patches
            taken = min(time, max(1, left // (height * width)))
            passes[-1].append((taken, height, width))
            left -= taken * height * width
            time -= taken  # noqa: PLW2901
    return passes


def _one_pass(model: "PreTrainedModel", kind: str, patches: Tensor, grid_thw: Tensor) -> list[Tensor]:
    output = getattr(model.model, f"get_{kind}_features")(patches, grid_thw, return_dict=True)
    levels = [output.pooler_output, *(getattr(output, "deepstack_features", None) or ())]
    # Some models split a level by image.
    return [level if isinstance(level, Tensor) else torch.cat(list(level), dim=0) for level in levels]
