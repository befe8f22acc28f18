"""Attention of packed rows in parts: the prompt by itself, then each completion over the prompt and itself.

A packed row of L + G*T columns has (L + G*T)^2 pairs, most of which its mask forbids. Computed in parts there are
L^2 / 2 + G*T*(L + T), and no mask of a whole row. Query heads that share their keys are further rows of one product, so
that no keys are copied for them.

Notation as in :mod:`remot.models.packing.masks`; N query heads, K key-value heads, R = N / K, D numbers of a head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


@dataclass(frozen=True)
class PackedLayout:
    """What stands in a packed row.

    Args:
        length: L.
        num_completions: G.
        num_tokens: T.
    """

    length: int
    num_completions: int
    num_tokens: int


def completion_mask(prompt_mask: Tensor, num_tokens: int, heads_per_key: int) -> Tensor:
    """Bool mask [P, 1, R*T, L + T], True for what a completion's tokens may look at: real prompt tokens and themselves.

    Args:
        prompt_mask: [P, L] bool, True for real prompt tokens.
        num_tokens: T.
        heads_per_key: R.
    """
    num_prompts = len(prompt_mask)
    own = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=prompt_mask.device).tril()
    parts = [prompt_mask[:, None].expand(-1, num_tokens, -1), own.expand(num_prompts, -1, -1)]
    return torch.cat(parts, dim=-1).repeat(1, heads_per_key, 1)[:, None]


def grouped_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    parts: PackedLayout,
    scale: float | None,
    dropout: float = 0.0,
) -> Tensor:
    """Attention of packed rows; the same as over :func:`remot.models.packing.masks.packed_attention_mask`.

    Padding attends to its prompt; no token attends to padding.

    Args:
        query: [P, N, S, D].
        key: [P, K, S, D].
        value: As ``key``.
        mask: :func:`completion_mask` as numbers to add to the scores.
        parts: What stands where.
        scale: Multiplies the scores; None for D^-0.5.
        dropout: Share of the weights to drop.

    Returns:
        [P, S, N, D].
    """
    length, heads_per_key = parts.length, query.shape[1] // key.shape[1]
    first_key, first_value = (part[:, :, :length].repeat_interleave(heads_per_key, dim=1) for part in (key, value))
    prompt = scaled_dot_product_attention(
        query[:, :, :length], first_key, first_value, dropout_p=dropout, is_causal=True, scale=scale
    ).transpose(1, 2)
    if parts.num_completions * parts.num_tokens == 0:
        return prompt
    mixed = scaled_dot_product_attention(
        _completion_rows(query, key.shape[1], parts),
        _with_prompt(key, parts),
        _with_prompt(value, parts),
        attn_mask=mask,
        dropout_p=dropout,
        scale=scale,
    )
    return torch.cat([prompt, _columns(mixed, key.shape[1], parts)], dim=1)


def folded_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None, dropout: float = 0.0
) -> Tensor:
    """Attention of a few queries over many keys, which are not copied for query heads that share them.

    Args:
        query: [P, N, S, D].
        key: [P, K, columns, D].
        value: As ``key``.
        mask: [P, 1, S, columns] numbers to add to the scores.
        scale: Multiplies the scores; None for D^-0.5.
        dropout: Share of the weights to drop.

    Returns:
        [P, S, N, D].
    """
    num_prompts, num_heads, num_queries, size = query.shape
    heads_per_key = num_heads // key.shape[1]
    rows = query.reshape(num_prompts, key.shape[1], heads_per_key * num_queries, size)
    mixed = scaled_dot_product_attention(
        rows, key, value, attn_mask=mask.repeat(1, 1, heads_per_key, 1), dropout_p=dropout, scale=scale
    )
    return mixed.view(num_prompts, num_heads, num_queries, size).transpose(1, 2)


def _completion_rows(query: Tensor, num_key_heads: int, parts: PackedLayout) -> Tensor:
    """Queries of completions: [P, N, S, D] to [P, G*K, R*T, D]."""
    num_prompts, num_heads, _, size = query.shape
    completions, tokens = parts.num_completions, parts.num_tokens
    rows = query[:, :, parts.length :].reshape(
        num_prompts, num_key_heads, num_heads // num_key_heads, completions, tokens, size
    )
    return rows.permute(0, 3, 1, 2, 4, 5).reshape(num_prompts, completions * num_key_heads, -1, size)


def _with_prompt(states: Tensor, parts: PackedLayout) -> Tensor:
    """Keys or values of each completion behind those of its prompt: [P, K, S, D] to [P, G*K, L + T, D]."""
    num_prompts, num_heads, _, size = states.shape
    completions, tokens = parts.num_completions, parts.num_tokens
    own = states[:, :, parts.length :].reshape(num_prompts, num_heads, completions, tokens, size).transpose(1, 2)
    shared = states[:, None, :, : parts.length].expand(-1, completions, -1, -1, -1)
    return torch.cat([shared, own], dim=3).view(num_prompts, completions * num_heads, -1, size)


def _columns(mixed: Tensor, num_key_heads: int, parts: PackedLayout) -> Tensor:
    """What :func:`_completion_rows` did, undone: [P, G*K, R*T, D] to [P, G*T, N, D]."""
    num_prompts, _, _, size = mixed.shape
    completions, tokens = parts.num_completions, parts.num_tokens
    rows = mixed.view(num_prompts, completions, num_key_heads, -1, tokens, size)
    return rows.permute(0, 1, 4, 2, 3, 5).reshape(num_prompts, completions * tokens, -1, size)
