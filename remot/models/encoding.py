"""Prompts on their way into the language model: after the processor, and after the vision tower."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ProcessedPrompts:
    """P prompts after chat template, tokeniser and image processor, on the model's device.

    Args:
        input_ids: [P, L] right-padded.
        prompt_mask: [P, L] bool, True for real tokens.
        position_ids: [3, P, L] rotary positions.
        next_position: [P] position of the first completion token.
        visual_mask: [P, L] bool, True for image placeholder tokens.
        pixel_values: Patches of all pictures in order.
        image_grid_thw: [number of pictures, 3].
        num_images: Pictures of each prompt.
    """

    input_ids: Tensor
    prompt_mask: Tensor
    position_ids: Tensor
    next_position: Tensor
    visual_mask: Tensor
    pixel_values: Tensor
    image_grid_thw: Tensor
    num_images: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def prompt_lengths(self) -> Tensor:
        """[P] real tokens of each prompt."""
        return self.prompt_mask.sum(-1)

    def select(self, rows: slice) -> "ProcessedPrompts":
        """The prompts of a contiguous slice, with their pictures."""
        patches_per_image = self.image_grid_thw.prod(-1).tolist()
        images_before = [sum(self.num_images[:i]) for i in range(len(self) + 1)]
        start, stop, _ = rows.indices(len(self))
        first, last = images_before[start], images_before[stop]
        patch_start, patch_stop = sum(patches_per_image[:first]), sum(patches_per_image[:last])
        return ProcessedPrompts(
            input_ids=self.input_ids[rows],
            prompt_mask=self.prompt_mask[rows],
            position_ids=self.position_ids[:, rows],
            next_position=self.next_position[rows],
            visual_mask=self.visual_mask[rows],
            pixel_values=self.pixel_values[patch_start:patch_stop],
            image_grid_thw=self.image_grid_thw[first:last],
            num_images=self.num_images[start:stop],
        )


@dataclass(frozen=True, eq=False)
class EncodedPrompts:
    """Processed prompts and what the vision tower made of their pictures.

    Args:
        prompts: The processed prompts.
        features: For each level (pooled first, then DeepStack levels) the features [visual tokens, H] of all prompts.
    """

    prompts: ProcessedPrompts
    features: Sequence[Tensor]

    def __len__(self) -> int:
        return len(self.prompts)

    def select(self, rows: slice) -> "EncodedPrompts":
        """The prompts of a contiguous slice, with their features."""
        counts = self.prompts.visual_mask.sum(-1)
        start, stop, _ = rows.indices(len(self))
        first, last = int(counts[:start].sum()), int(counts[:stop].sum())
        return EncodedPrompts(self.prompts.select(rows), [level[first:last] for level in self.features])


def concatenate_features(level: Tensor | Sequence[Tensor]) -> Tensor:
    """Features of one level as one tensor, whether the model split them by picture or not."""
    return level if isinstance(level, Tensor) else torch.cat(list(level), dim=0)
