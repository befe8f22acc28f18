"""Whole training steps on the pretended GPU, as it is set up there: planned, over blocks, decoded by graphs."""

import copy
import itertools
from functools import partial

import pytest
import torch

from remot.evaluation.benchmark import EvaluationSettings, answer_batch
from remot.losses import GRPOLoss
from remot.models import FullWeights, LoRA
from remot.models.attention import RowMask
from remot.models.sharing import Packing
from remot.rollout.sampling import SamplingSettings
from remot.strategies.sft import SFTObjective
from tests.pretended.gpu import PretendedGpu, to_gpu
from tests.strategies.test_grpo import ADDRESS, objective_of, update
from tests.tiny import FAMILIES, encode, make_batch, make_mixed_batch, make_policy

#: Adaptation, whether the vision tower is trained and activations are recomputed, and the prompts.
KINDS = {
    "adapters": (LoRA, {}, partial(make_batch, 3)),
    "adapters, recomputed": (LoRA, {"gradient_checkpointing": True}, make_mixed_batch),
    "weights": (FullWeights, {}, make_mixed_batch),
    "weights and vision, recomputed": (
        FullWeights,
        {"train_vision": True, "gradient_checkpointing": True},
        partial(make_batch, 3),
    ),
    "adapters and vision": (LoRA, {"train_vision": True}, make_mixed_batch),
}


def some_steps(policy, make):
    """Two updates of a rollout, one of the right answers, and an evaluation."""
    optimizer = torch.optim.AdamW(policy.trainable_parameters(), lr=1e-3)
    prepared = objective_of(loss=GRPOLoss(beta=0.1), updates_per_rollout=2).prepare(policy, make(), ADDRESS, "auto")
    updates = []
    for _ in range(2):
        updates.append(update(prepared, policy))
        torch.nn.utils.clip_grad_norm_(policy.trainable_parameters(), 1.0)
        optimizer.step()
    metrics = dict(prepared.late_metrics())
    updates.append(update(SFTObjective().prepare(policy, make(), ADDRESS, "auto"), policy))
    settings = EvaluationSettings(max_new_tokens=6, num_completions=2)
    answers = answer_batch(policy, make(), settings, SamplingSettings()).rollout.texts
    return updates, [sample.completions for sample in prepared.samples], answers, metrics


def assert_same_numbers(there, here):
    assert there.keys() == here.keys()
    for name, number in there.items():
        assert number == pytest.approx(here[name], rel=1e-4, abs=1e-5), name


#: Of all pairs these are run always: together they go every way at least once.
ALWAYS = {("qwen3_vl", "adapters, recomputed"), ("qwen2_5_vl", "weights and vision, recomputed")}


def test_a_rollout_that_asks_whether_blocks_are_exact_goes_on_as_it_began():
    """The answer takes a pass with gradient, in training mode, in which dropout and recomputation change a rollout."""
    policy = make_policy(adaptation=LoRA(dropout=0.5), attention="auto", prefix_sharing="auto")
    with PretendedGpu():
        encoded = encode(to_gpu(policy), make_batch(2))
        with policy.evaluating():
            assert policy.packing(encoded).row_mask is RowMask.BLOCKS
            assert not any(part.training for part in policy.modules())


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        pytest.param(*pair, marks=[] if pair in ALWAYS else [pytest.mark.slow])
        for pair in itertools.product(FAMILIES, KINDS)
    ],
)
def test_steps_are_those_of_a_processor(family, kind):
    adaptation, settings, make = KINDS[kind]
    policy = make_policy(family, adaptation(), attention="auto", prefix_sharing="auto", **settings)
    policy.logit_bias[policy.eos_token_ids[0]] = 3.0
    wanted, *texts_here, gap = some_steps(copy.deepcopy(policy), make)
    with PretendedGpu() as gpu:
        found, *texts_there, gap_there = some_steps(to_gpu(policy), make)
        assert policy.packing(None) == Packing(shares_prompt=True, row_mask=RowMask.BLOCKS)
    assert len(gpu.runtime.graphs) == 2
    assert texts_there == texts_here
    assert max(*gap.values(), *gap_there.values()) < 1e-5
    for (numbers, gradients), (numbers_here, gradients_here) in zip(found, wanted, strict=True):
        assert_same_numbers(numbers, numbers_here)
        assert gradients.keys() == gradients_here.keys()
        for name, gradient in gradients.items():
            assert gradient.is_cuda
            difference = gradient.inner - gradients_here[name]
            assert difference.norm() <= 1e-3 * gradients_here[name].norm() + 1e-6, name
