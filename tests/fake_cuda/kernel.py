"""Stands for the compiled FlexAttention: what the function of the mask says, as a dense mask.

Whether the blocks say the same is tested in tests/models/packing/test_attention.py.
"""

from unittest import mock

from torch.nn.attention.flex_attention import create_mask
from torch.nn.functional import scaled_dot_product_attention

from remot.models.packing import attention


def _over_blocks(query, key, value, *, block_mask, scale, enable_gqa):
    columns = query.shape[2]
    assert block_mask.shape[-2:] == (columns, columns)
    mask = create_mask(block_mask.mask_mod, len(query), None, columns, columns, device=query.device)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=enable_gqa)


def fake_kernel():
    """A context in which nothing is compiled."""
    return mock.patch.object(attention, "_compiled_flex_attention", return_value=_over_blocks)
