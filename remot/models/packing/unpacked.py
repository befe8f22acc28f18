"""The plain computation: each completion in a row of its own behind a copy of its prompt, causal and without a mask.

It is G times the work of a packed row. It is what a model falls back to that does not compute the same in packed rows,
and what packed rows are held against. Rows are padded on the right, where a causal model does not look.

Notation: P prompts, G completions, B = P*G rows, T tokens, S columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from remot.models.inputs.prompts import EncodedPrompts


@dataclass(frozen=True, eq=False)
class SeparateRows:
    """Prompts and completions one behind the other.

    Args:
        input_ids: [B, S].
        visual_mask: [B, S] bool, True for placeholders.
        position_ids: [3, B, S] rotary positions.
        features: For each level the features of all placeholders in order.
        predictor_columns: [B, T] column whose hidden state predicts each completion token.
    """

    input_ids: Tensor
    visual_mask: Tensor
    position_ids: Tensor
    features: Sequence[Tensor]
    predictor_columns: Tensor


def separate_rows(encoded: EncodedPrompts, completion_ids: Tensor) -> SeparateRows:
    """Rows for ``completion_ids`` [P, G, T]; with T = 0 the prompts, each G times."""
    prompts = encoded.prompts
    num_prompts, num_completions, num_tokens = completion_ids.shape
    lengths = prompts.prompt_lengths.repeat_interleave(num_completions)[:, None]  # [B, 1]
    total = int(lengths.amax()) + num_tokens
    column = torch.arange(total, device=lengths.device).expand(num_prompts * num_completions, -1)
    in_prompt, after = column < lengths, (column - lengths).clamp(min=0)

    def merged(of_prompt: Tensor, of_completion: Tensor) -> Tensor:
        repeated = _to_width(of_prompt, total).repeat_interleave(num_completions, dim=0)
        return torch.where(in_prompt, repeated, of_completion)

    ids = completion_ids.flatten(0, 1)
    behind = ids.gather(1, after.clamp(max=num_tokens - 1)) if num_tokens else torch.zeros_like(column)
    next_position = prompts.next_position.repeat_interleave(num_completions)[:, None] + after
    visual = merged(prompts.visual_mask, torch.zeros_like(in_prompt))
    return SeparateRows(
        input_ids=merged(prompts.input_ids, behind),
        visual_mask=visual,
        position_ids=torch.stack([merged(axis, next_position) for axis in prompts.position_ids]),
        features=_repeated_features(encoded, num_completions),
        predictor_columns=lengths - 1 + torch.arange(num_tokens, device=lengths.device),
    )


def _to_width(part: Tensor, width: int) -> Tensor:
    """[P, L] cut or filled with zeros to ``width`` columns."""
    return torch.nn.functional.pad(part[:, :width], (0, max(0, width - part.shape[1])))


def _repeated_features(encoded: EncodedPrompts, num_completions: int) -> list[Tensor]:
    """Each prompt's features ``num_completions`` times, one time after the other."""
    counts = encoded.prompts.visual_mask.sum(-1).tolist()
    return [
        torch.cat([part.repeat(num_completions, 1) for part in torch.split(level, counts)]) if len(level) else level
        for level in encoded.features
    ]
