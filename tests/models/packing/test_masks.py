import pytest
import torch

from remot.models.packing.masks import (
    additive_mask,
    completion_bias,
    packed_position_ids,
    packed_predictor_columns,
)


def test_bias_of_a_completion_by_hand():
    """A prompt of two columns, a completion of two tokens, two query heads to a key."""
    bias = completion_bias(2, 2, 2, torch.zeros(()))
    first, second = [True, True, True, False], [True, True, True, True]
    assert (bias == 0).tolist() == [first, second, first, second]
    assert bias[0, 3] == torch.finfo(torch.float32).min


def test_positions_restart_after_the_prompt():
    """Each completion goes on at the prompt's next position, whatever the padding and the other completions."""
    prompt = torch.arange(3 * 2 * 4).view(3, 2, 4)
    positions = packed_position_ids(prompt, torch.tensor([7, 20]), 2, 3)
    assert positions.shape == (3, 2, 4 + 6)
    assert torch.equal(positions[..., :4], prompt)
    for axis in range(3):
        assert positions[axis, :, 4:].tolist() == [[7, 8, 9, 7, 8, 9], [20, 21, 22, 20, 21, 22]]


def test_predictor_columns():
    """The first token comes from the prompt's last real column, the others from the column before their own."""
    columns = packed_predictor_columns(torch.tensor([3, 5]), 5, 2, 3)
    assert columns.tolist() == [[[2, 5, 6], [2, 8, 9]], [[4, 5, 6], [4, 8, 9]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_additive_mask_gives_the_softmax_of_the_allowed(dtype):
    allowed = torch.tensor([[True, False, True], [False, True, False]])
    scores = torch.tensor([[1.0, 99.0, 1.0], [-50.0, 0.0, 50.0]], dtype=dtype)
    mask = additive_mask(allowed, dtype)
    assert mask.dtype == dtype
    assert torch.softmax(scores + mask, -1).tolist() == [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]
