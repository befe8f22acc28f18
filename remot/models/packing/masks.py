"""Packing one prompt and its G completions into one row, so that the prompt is computed once.

Row layout, prompt padded to L on the right, each completion padded to T::

    [ prompt ........ pad | completion 1 .. pad | completion 2 .. pad | … ]

A completion token sees the real prompt tokens and the tokens of its own completion up to itself, and its positions
continue after the prompt, so its log-probability is the one a separate row would give.

Notation: P prompts, G completions, L prompt columns, T completion columns, S = L + G*T. ``prompt_mask`` is [P, L] bool,
True for real prompt tokens, ``num_completions`` is G and ``num_tokens`` T.
"""

import torch
from torch import Tensor


def packed_attention_mask(prompt_mask: Tensor, num_completions: int, num_tokens: int) -> Tensor:
    """Bool mask [P, 1, S, S], True where the row's query may attend to the column's key.

    Padding queries attend to themselves, so that no row of the softmax is empty.
    """
    num_prompts, length = prompt_mask.shape
    device = prompt_mask.device
    total = length + num_completions * num_tokens
    index = torch.arange(total, device=device)
    causal = index[:, None] >= index[None, :]
    segment = torch.where(index < length, -1, (index - length) // max(num_tokens, 1))  # [S]
    same = segment[:, None] == segment[None, :]
    to_prompt = (segment == -1)[None, :].expand(total, total)
    structure = causal & (same | to_prompt)  # [S, S]
    key_is_real = torch.ones(num_prompts, total, dtype=torch.bool, device=device)
    key_is_real[:, :length] = prompt_mask
    itself = torch.eye(total, dtype=torch.bool, device=device)
    return ((structure & key_is_real[:, None, :]) | itself)[:, None]


def decode_mask(prompt_mask: Tensor, num_completions: int, num_tokens: int) -> Tensor:
    """Bool mask [P, G, L + T*G] of a decode loop, True for columns that completion g may attend to.

    The prompt is followed by the first tokens of all G completions, then by their second tokens, and so on.
    """
    own = torch.eye(num_completions, dtype=torch.bool, device=prompt_mask.device).repeat(1, num_tokens)  # [G, T*G]
    shape = (len(prompt_mask), num_completions, -1)
    return torch.cat([prompt_mask[:, None].expand(shape), own[None].expand(shape)], dim=-1)


def packed_position_ids(
    prompt_positions: Tensor, next_position: Tensor, num_completions: int, num_tokens: int
) -> Tensor:
    """Rotary positions [3, P, S] of a packed row from ``prompt_positions`` [3, P, L].

    ``next_position`` [P] is the position of the first token after each prompt.
    """
    steps = torch.arange(num_tokens, device=prompt_positions.device).repeat(num_completions)  # [G*T]
    after = next_position[:, None] + steps  # [P, G*T]
    return torch.cat([prompt_positions, after.expand(3, *after.shape)], dim=-1)


def packed_predictor_columns(prompt_lengths: Tensor, length: int, num_completions: int, num_tokens: int) -> Tensor:
    """Column [P, G, T] whose hidden state predicts completion token t: the prompt's last token for t = 0.

    ``prompt_lengths`` [P] are numbers of real prompt tokens, ``length`` is L.
    """
    device = prompt_lengths.device
    start = length + torch.arange(num_completions, device=device) * num_tokens  # [G]
    columns = start[:, None] + torch.arange(num_tokens, device=device) - 1  # [G, T]
    columns = columns.expand(len(prompt_lengths), -1, -1).clone()
    columns[:, :, 0] = (prompt_lengths - 1)[:, None]
    return columns


def additive_mask(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """``allowed`` (bool, any shape) as numbers to add to attention scores: 0 where True, else the lowest finite one.

    Eager attention would add a bool mask to the scores; SDPA would turn it into such numbers in every layer, and keep
    them all for the backward pass.
    """
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(~allowed, torch.finfo(dtype).min)
