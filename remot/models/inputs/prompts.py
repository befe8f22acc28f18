"""Prompts on their way into the language model: after the processor, and after the vision tower."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Kinds of tokens, as transformers numbers them in ``mm_token_type_ids``.
TEXT, IMAGE, VIDEO = 0, 1, 2


@dataclass(frozen=True, eq=False)
class VisualInputs:
    """Images, or videos, of P prompts as patches."""

    patches: Tensor  # [patches, numbers of a patch], one image or video after the other
    grid_thw: Tensor  # [images or videos, 3] patches in time, height and width
    counts: tuple[int, ...]  # P numbers of images or videos

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

    def items(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Patches and grid [1, 3] of each image or video."""
        patches = torch.split(self.patches, self.grid_thw.prod(-1).tolist())
        yield from zip(patches, torch.split(self.grid_thw, 1), strict=True)

    def num_tokens(self, spatial_merge_size: int) -> list[int]:
        """P numbers of visual tokens, ``spatial_merge_size``² patches each."""
        sizes = (self.grid_thw.prod(-1) // spatial_merge_size**2).tolist()
        ends = [sum(self.counts[: row + 1]) for row in range(len(self.counts))]
        return [sum(sizes[end - count : end]) for end, count in zip(ends, self.counts, strict=True)]


@dataclass(frozen=True, eq=False)
class OwnInputs:
    """What a model's own forward pass takes, prompt by prompt."""

    tensors: tuple[Mapping[str, Tensor], ...]  # for each prompt its unpadded tensors by name, token ids left out
    whole_reason: str | None  # why the model's own forward pass takes them, and no features are put in place

    def to(self, device: torch.device) -> "OwnInputs":
        """The same on a device."""
        moved = ({name: tensor.to(device) for name, tensor in held.items()} for held in self.tensors)
        return OwnInputs(tuple(moved), self.whole_reason)

    def select(self, rows: slice) -> "OwnInputs":
        """Those of the prompts of a contiguous slice."""
        return OwnInputs(self.tensors[rows], self.whole_reason)


@dataclass(frozen=True, eq=False)
class ProcessedPrompts:
    """P prompts after chat template, tokeniser and processor, on the model's device."""

    input_ids: Tensor  # [P, L] right-padded
    prompt_mask: Tensor  # [P, L] bool, True for real tokens
    position_ids: Tensor  # [3, P, L] rotary positions
    next_position: Tensor  # [P] position of the first completion token
    token_types: Tensor  # [P, L] 0 for text, 1 for placeholders of images, 2 for those of videos
    images: VisualInputs | None  # their images, None if there are none
    videos: VisualInputs | None  # their videos, None if there are none
    own: OwnInputs | None = None  # tensors of each prompt in place of ``images`` and ``videos``, for other families

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def prompt_lengths(self) -> Tensor:
        """[P] real tokens of each prompt."""
        return self.prompt_mask.sum(-1)

    @property
    def visual_mask(self) -> Tensor:
        """[P, L] bool, True for placeholders of images and videos."""
        return self.token_types != TEXT

    def to(self, device: torch.device) -> "ProcessedPrompts":
        """The same on a device."""
        return ProcessedPrompts(
            input_ids=self.input_ids.to(device),
            prompt_mask=self.prompt_mask.to(device),
            position_ids=self.position_ids.to(device),
            next_position=self.next_position.to(device),
            token_types=self.token_types.to(device),
            images=self.images.to(device) if self.images is not None else None,
            videos=self.videos.to(device) if self.videos is not None else None,
            own=self.own.to(device) if self.own is not None else None,
        )

    def select(self, rows: slice) -> "ProcessedPrompts":
        """The prompts of a contiguous slice, with their images and videos."""
        return ProcessedPrompts(
            input_ids=self.input_ids[rows],
            prompt_mask=self.prompt_mask[rows],
            position_ids=self.position_ids[:, rows],
            next_position=self.next_position[rows],
            token_types=self.token_types[rows],
            images=self.images.select(rows) if self.images is not None else None,
            videos=self.videos.select(rows) if self.videos is not None else None,
            own=self.own.select(rows) if self.own is not None else None,
        )


@dataclass(frozen=True, eq=False)
class EncodedPrompts:
    """Processed prompts with the features of their images and videos.

    Args:
        prompts: The processed prompts.
        features: For each level (pooled first, then DeepStack levels) the features [visual tokens, H] of all prompts;
            no level if nothing is shown, or if the model takes the images in its own forward pass.

    Raises:
        ValueError: If there is not one feature for each placeholder. Every pass starts here, and transformers' own
            scatter would silently drop surplus features.
    """

    prompts: ProcessedPrompts
    features: Sequence[Tensor]

    def __post_init__(self) -> None:
        if self.whole_reason is not None:
            return
        placeholders = int(self.prompts.visual_mask.sum())
        counts = [len(level) for level in self.features] or [0]
        if any(count != placeholders for count in counts):
            msg = f"{placeholders} visual placeholders in {len(self)} prompts, but {counts} features by level"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def whole_reason(self) -> str | None:
        """Why the model's own forward pass takes the prompts with their images; None if features are put in place."""
        return self.prompts.own.whole_reason if self.prompts.own is not None else None

    def select(self, rows: slice) -> "EncodedPrompts":
        """The prompts of a contiguous slice, with their features."""
        counts = self.prompts.visual_mask.sum(-1)
        start, stop, _ = rows.indices(len(self))
        first, last = int(counts[:start].sum()), int(counts[:stop].sum())
        return EncodedPrompts(self.prompts.select(rows), [level[first:last] for level in self.features])
