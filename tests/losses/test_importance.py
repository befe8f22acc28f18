"""Importance weights: by hand, against a loop, and what they do not look at."""

import math

import pytest
import torch

from remot.errors import ConfigError
from remot.losses import MaskedImportance, TruncatedImportance, importance_ratio
from tests.helpers import assert_close
from tests.losses.batches import random_batch

#: One prompt, two completions; the sampler had ½ everywhere. Ratios 2, ½ and 1.6; products 1 and 1.6.
TRAINER = torch.tensor([[[1.0, 0.25], [0.8, 0.3]]], dtype=torch.float64).log()
ROLLOUT = torch.full((1, 2, 2), 0.5, dtype=torch.float64).log()
MASK = torch.tensor([[[True, True], [True, False]]])


@pytest.mark.parametrize(
    ("correction", "weights", "is_bounded"),
    [
        (TruncatedImportance(), [2, 0.5, 1.6], [False] * 3),
        (TruncatedImportance(1.5), [1.5, 0.5, 1.5], [True, False, True]),
        (TruncatedImportance(1.5, "sequence"), [1, 1, 1.5], [False, False, True]),
        (MaskedImportance(), [2, 0.5, 1.6], [False] * 3),
        (MaskedImportance(0.6, 1.8), [0, 0, 1.6], [True, True, False]),
        (MaskedImportance(0.0, 1.5, "sequence"), [1, 1, 0], [False, False, True]),
    ],
)
def test_by_hand(correction, weights, is_bounded):
    importance = correction(TRAINER, ROLLOUT, MASK)
    assert_close(importance.weights[MASK], weights)
    assert importance.is_bounded[MASK].tolist() == is_bounded
    assert not importance.is_bounded[~MASK].any()
    assert importance.weights[~MASK].tolist() == importance.ratio[~MASK].tolist() == [0]


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_ratio_agrees_with_a_loop(level):
    batch = random_batch(2)
    mask = batch["completion_mask"]
    ratio = importance_ratio(batch["logprobs"], batch["old_logprobs"], mask, level)
    for p, g, t in mask.nonzero().tolist():
        places = [t] if level == "token" else mask[p, g].nonzero()[:, 0].tolist()
        pairs = [(math.exp(batch["logprobs"][p, g, s]), math.exp(batch["old_logprobs"][p, g, s])) for s in places]
        assert_close(ratio[p, g, t], math.prod(new for new, _ in pairs) / math.prod(old for _, old in pairs))


@pytest.mark.parametrize("correction", [TruncatedImportance(), MaskedImportance(), TruncatedImportance(3, "sequence")])
@pytest.mark.parametrize("garbage", [0.0, math.nan, -math.inf])
def test_padding_and_other_rows_change_nothing(correction, garbage):
    batch = random_batch(3)
    mask = batch["completion_mask"]
    plain = correction(batch["logprobs"], batch["old_logprobs"], mask)
    dirty = [torch.where(mask, batch[name], garbage) for name in ("logprobs", "old_logprobs")]
    assert torch.equal(correction(*dirty, mask).weights, plain.weights)
    part = correction(batch["logprobs"][1:2], batch["old_logprobs"][1:2], mask[1:2])
    assert torch.equal(part.weights, plain.weights[1:2])


def test_equal_engines_have_weight_one():
    batch = random_batch(4)
    mask = batch["completion_mask"]
    for correction in (TruncatedImportance(), MaskedImportance(level="sequence")):
        importance = correction(batch["logprobs"], batch["logprobs"], mask)
        assert torch.equal(importance.weights, mask.double())
        assert not importance.is_bounded.any()


def test_weights_carry_no_gradient_and_stay_finite():
    logprobs = torch.zeros(1, 1, 3).requires_grad_()
    far = torch.full((1, 1, 3), -500.0)
    mask = torch.ones(1, 1, 3, dtype=torch.bool)
    for level in ("token", "sequence"):
        ratio = importance_ratio(logprobs, far, mask, level)
        assert not ratio.requires_grad
        assert_close(ratio, torch.full((1, 1, 3), math.exp(20.0)))


@pytest.mark.parametrize(
    "build",
    [
        lambda: TruncatedImportance(0.5),
        lambda: TruncatedImportance(level="word"),
        lambda: MaskedImportance(low=1.1),
        lambda: MaskedImportance(high=0.9),
        lambda: MaskedImportance(low=-0.1),
        lambda: MaskedImportance(low=math.nan),
    ],
)
def test_impossible_settings_are_refused(build):
    with pytest.raises(ConfigError):
        build()
