import pytest
import torch

from remot.models.packing.masks import (
    additive_mask,
    decode_mask,
    packed_attention_mask,
    packed_position_ids,
    packed_predictor_columns,
)

PROMPT_LENGTHS = (3, 5, 1)


def prompt_mask_of(lengths, width=5):
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def who_and_when(column, num_columns, num_tokens):
    """(completion number, token number) of a column, completion None for the prompt."""
    if column < num_columns:
        return None, column
    return divmod(column - num_columns, num_tokens)


def may_look(prompt_mask, query, key, num_tokens):
    """The rule of the module docstring, spelt out for one prompt and one pair of columns."""
    num_columns = len(prompt_mask)
    if query == key:
        return True
    (asker, when), (owner, then) = (who_and_when(c, num_columns, num_tokens) for c in (query, key))
    if owner is None:
        is_later = asker is not None or then < when
        return bool(prompt_mask[then]) and is_later
    return asker == owner and then < when


@pytest.mark.parametrize(("num_completions", "num_tokens"), [(2, 3), (1, 4), (3, 1), (0, 0)])
def test_mask_against_the_rule_spelt_out(num_completions, num_tokens):
    prompt_mask = prompt_mask_of(PROMPT_LENGTHS)
    mask = packed_attention_mask(prompt_mask, num_completions, num_tokens)
    total = 5 + num_completions * num_tokens
    assert mask.shape == (3, 1, total, total)
    assert mask.dtype == torch.bool
    for p in range(3):
        for query in range(total):
            wanted = [may_look(prompt_mask[p], query, key, num_tokens) for key in range(total)]
            assert mask[p, 0, query].tolist() == wanted, (p, query)


def test_mask_of_a_small_row_by_hand():
    """Two prompt tokens, then padding, then two completions of two tokens."""
    mask = packed_attention_mask(torch.tensor([[True, True, False]]), 2, 2)[0, 0]
    image = [
        "x......",
        "xx.....",
        "xxx....",  # padding looks at itself so that its softmax is not empty
        "xx.x...",
        "xx.xx..",
        "xx...x.",
        "xx...xx",
    ]
    assert ["".join("x" if one else "." for one in row) for row in mask.tolist()] == image


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


def test_decode_mask_by_hand():
    """Two prompts of 1 and 2 tokens, 2 completions, 2 steps: behind the prompt stand a1 b1 a2 b2."""
    mask = decode_mask(prompt_mask_of((1, 2), width=2), num_completions=2, num_tokens=2)
    assert mask.int().tolist() == [
        [[1, 0, 1, 0, 1, 0], [1, 0, 0, 1, 0, 1]],
        [[1, 1, 1, 0, 1, 0], [1, 1, 0, 1, 0, 1]],
    ]


def test_decode_mask_of_no_step_is_the_prompt():
    mask = decode_mask(prompt_mask_of((2,), width=3), num_completions=2, num_tokens=0)
    assert mask.tolist() == [[[True, True, False]] * 2]
