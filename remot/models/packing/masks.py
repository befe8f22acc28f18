"""Masks and positions of packed rows.

A completion's positions continue after its prompt, so its log-probability is the one a separate row would give.

Notation: P prompts, G completions, L prompt columns, T completion columns, R query heads to a key.
"""

import torch
from torch import Tensor


def completion_bias(length: int, num_tokens: int, heads_per_key: int, like: Tensor) -> Tensor:
    """Numbers [R*T, L + T] to add to a completion's scores: 0 for its prompt and its own tokens up to the query's.

    ``length`` is L, ``num_tokens`` T and ``heads_per_key`` R; ``like`` has the type and the device.
    """
    allowed = torch.ones(num_tokens, length + num_tokens, dtype=torch.bool, device=like.device).tril(length)
    return additive_mask(allowed.repeat(heads_per_key, 1), like.dtype)


def packed_position_ids(
    prompt_positions: Tensor, next_position: Tensor, num_completions: int, num_tokens: int
) -> Tensor:
    """Rotary positions [3, P, L + G*T] of prompts and their completions from ``prompt_positions`` [3, P, L].

    ``next_position`` [P] is the position of the first token after each prompt.
    """
    steps = torch.arange(num_tokens, device=prompt_positions.device).repeat(num_completions)  # [G*T]
    after = next_position[:, None] + steps  # [P, G*T]
    return torch.cat([prompt_positions, after.expand(3, *after.shape)], dim=-1)


def packed_predictor_columns(prompt_lengths: Tensor, length: int, num_completions: int, num_tokens: int) -> Tensor:
    """Column [P, G, T] of those whose hidden state predicts completion token t: the prompt's last token for t = 0.

    ``prompt_lengths`` [P] are numbers of real prompt tokens, ``length`` is L.
    """
    device = prompt_lengths.device
    start = length + torch.arange(num_completions, device=device) * num_tokens  # [G]
    columns = start[:, None] + torch.arange(num_tokens, device=device) - 1  # [G, T]
    columns = columns.expand(len(prompt_lengths), -1, -1).clone()
    columns[:, :, 0] = (prompt_lengths - 1)[:, None]
    return columns


def additive_mask(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """``allowed`` (bool, any shape) as numbers to add to attention scores: 0 where True, else the lowest finite one."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(~allowed, torch.finfo(dtype).min)
