"""What the vision tower takes: patches of images and of videos, and the order of what it makes of them.

A prompt shows its images first, then its videos, but nothing here relies on that: features go to the placeholders of
their kind, in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Kinds of tokens, as transformers numbers them in ``mm_token_type_ids``.
TEXT, IMAGE, VIDEO = 0, 1, 2


@dataclass(frozen=True, eq=False)
class VisualInputs:
    """Images, or videos, of P prompts as patches.

    Args:
        patches: [patches, numbers of a patch], one image or video after the other.
        grid_thw: [images or videos, 3] patches in time, height and width.
        counts: P numbers of images or videos.
    """

    patches: Tensor
    grid_thw: Tensor
    counts: tuple[int, ...]

    def to(self, device: torch.device) -> "VisualInputs":
        """The same on a device."""
        return VisualInputs(self.patches.to(device), self.grid_thw.to(device), self.counts)

    def select(self, rows: slice) -> "VisualInputs | None":
        """Those of the prompts of a contiguous slice, None if they show none."""
        start, stop, _ = rows.indices(len(self.counts))
        first, last = sum(self.counts[:start]), sum(self.counts[:stop])
        if first == last:
            return None
        sizes = self.grid_thw.prod(-1)
        patches = self.patches[int(sizes[:first].sum()) : int(sizes[:last].sum())]
        return VisualInputs(patches, self.grid_thw[first:last], self.counts[start:stop])

    def num_tokens(self, spatial_merge_size: int) -> list[int]:
        """P numbers of visual tokens, ``spatial_merge_size``² patches each."""
        sizes = (self.grid_thw.prod(-1) // spatial_merge_size**2).tolist()
        ends = [sum(self.counts[: row + 1]) for row in range(len(self.counts))]
        return [sum(sizes[end - count : end]) for end, count in zip(ends, self.counts, strict=True)]


def visual_features(
    model: "PreTrainedModel", images: VisualInputs | None, videos: VisualInputs | None, token_types: Tensor
) -> list[Tensor]:
    """One pass of the vision tower over the images and one over the videos.

    Args:
        model: The whole model.
        images: Images, if there are any.
        videos: Videos, if there are any.
        token_types: [P, L] kinds of tokens.

    Returns:
        For each level (pooled first, then DeepStack levels) the features [visual tokens, H] in the order of their
        placeholders; no level if nothing is shown.
    """
    kinds = []
    if images is not None:
        kinds.append(_levels(model.model.get_image_features(images.patches, images.grid_thw, return_dict=True)))
    if videos is not None:
        kinds.append(_levels(model.model.get_video_features(videos.patches, videos.grid_thw, return_dict=True)))
    if len(kinds) < 2:
        return kinds[0] if kinds else []
    return [in_prompt_order(of_images, of_videos, token_types) for of_images, of_videos in zip(*kinds, strict=True)]


def in_prompt_order(of_images: Tensor, of_videos: Tensor, token_types: Tensor) -> Tensor:
    """Features [visual tokens, H] of images and of videos, each at the place of its token.

    Args:
        of_images: [image tokens, H].
        of_videos: [video tokens, H].
        token_types: [P, L] kinds of tokens.
    """
    kinds = token_types[token_types != TEXT]
    order = torch.empty_like(kinds, dtype=torch.long)
    order[kinds == IMAGE] = torch.arange(len(of_images), device=kinds.device)
    order[kinds == VIDEO] = torch.arange(len(of_videos), device=kinds.device) + len(of_images)
    return torch.cat([of_images, of_videos])[order]


def _levels(output: Any) -> list[Tensor]:  # noqa: ANN401 - transformers' outputs differ by family
    levels = [output.pooler_output, *(getattr(output, "deepstack_features", None) or ())]
    return [_concatenated(level) for level in levels]


def _concatenated(level: Tensor | Sequence[Tensor]) -> Tensor:
    """Features of one level as one tensor, whether the model split them by image or not."""
    return level if isinstance(level, Tensor) else torch.cat(list(level), dim=0)
