"""Prompts that grow by a response and a reply, token by token as they were sampled and never tokenised again."""

from collections.abc import Sequence
from itertools import zip_longest

import torch
from torch import Tensor
from torch.nn.functional import pad

from remot.models.inputs.prompts import TEXT, EncodedPrompts, ProcessedPrompts, VisualInputs


def continued(
    before: EncodedPrompts, completion_ids: Sequence[int], reply: EncodedPrompts, eos_token_ids: Sequence[int]
) -> EncodedPrompts:
    """One conversation as the prompt of its next turn.

    Args:
        before: The prompt of the turn, one row.
        completion_ids: What the policy wrote, its end of turn included.
        reply: What the chat template writes behind a response, one row; its positions count from 0.
        eos_token_ids: Ends of a turn: one at the beginning of the reply is the completion's own, and left out.

    Returns:
        One row without padding. A completion's positions follow those of its prompt one by one, and a reply's those of
        the completion, which is where the model's own index puts them.
    """
    first, second = before.prompts, reply.prompts
    length, reply_length = int(first.prompt_lengths[0]), int(second.prompt_lengths[0])
    skip = int(int(second.input_ids[0, 0]) in eos_token_ids)
    written = torch.tensor(completion_ids, dtype=torch.long, device=first.input_ids.device)  # [n]
    start = first.next_position[0]
    positions = (start + torch.arange(len(written), device=start.device)).expand(3, -1)  # [3, n]
    shift = start + len(written) - skip
    kept = slice(skip, reply_length)
    token_types = [first.token_types[0, :length], torch.full_like(written, TEXT), second.token_types[0, kept]]
    ids = torch.cat([first.input_ids[0, :length], written, second.input_ids[0, kept]])  # [L]
    prompts = ProcessedPrompts(
        input_ids=ids[None],
        prompt_mask=torch.ones_like(ids, dtype=torch.bool)[None],
        position_ids=torch.cat(
            [first.position_ids[:, 0, :length], positions, second.position_ids[:, 0, kept] + shift], dim=1
        )[:, None],
        next_position=second.next_position + shift,
        token_types=torch.cat([one.to(first.token_types.dtype) for one in token_types])[None],
        images=_joined_visual([first.images, second.images], merge=True),
        videos=first.videos,
    )
    levels = zip_longest(before.features, reply.features)  # a prompt without images has no level
    features = [torch.cat([part for part in level if part is not None]) for level in levels]
    return EncodedPrompts(prompts, features)


def joined_rows(rows: Sequence[EncodedPrompts], pad_token_id: int) -> EncodedPrompts:
    """Conversations of one row each as one batch, padded on the right."""
    parts = [row.prompts for row in rows]
    width = max(part.input_ids.shape[1] for part in parts)

    def padded(name: str, value: float) -> list[Tensor]:
        tensors = [getattr(part, name) for part in parts]
        return [pad(tensor, (0, width - tensor.shape[-1]), value=value) for tensor in tensors]

    prompts = ProcessedPrompts(
        input_ids=torch.cat(padded("input_ids", pad_token_id)),
        prompt_mask=torch.cat(padded("prompt_mask", 0)),
        position_ids=torch.cat(padded("position_ids", 0), dim=1),
        next_position=torch.cat([part.next_position for part in parts]),
        token_types=torch.cat(padded("token_types", TEXT)),
        images=_joined_visual([part.images for part in parts]),
        videos=_joined_visual([part.videos for part in parts]),
    )
    levels = zip_longest(*(row.features for row in rows))
    return EncodedPrompts(prompts, [torch.cat([part for part in level if part is not None]) for level in levels])


def _joined_visual(parts: Sequence[VisualInputs | None], *, merge: bool = False) -> VisualInputs | None:
    """Images of several rows one after another, as those of one row if ``merge``; None if none has any."""
    shown = [part for part in parts if part is not None]
    if not shown:
        return None
    counts = [0 if part is None else sum(part.counts) for part in parts]
    return VisualInputs(
        patches=torch.cat([part.patches for part in shown]),
        grid_thw=torch.cat([part.grid_thw for part in shown]),
        counts=(sum(counts),) if merge else tuple(counts),
    )
