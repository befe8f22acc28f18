"""Whole training steps on the fake CUDA device, as it is set up there: planned, in packed rows, decoded by graphs."""

import copy
import itertools
from functools import partial

import pytest
import torch

from remot import losses
from remot.evaluation.benchmark import EvaluationSettings, answer_batch
from remot.losses import GRPOLoss
from remot.models import FullWeights, LoRA
from remot.rollout.sampling import SamplingSettings
from remot.strategies.grpo.dynamic_sampling import DynamicSampling
from remot.strategies.sft import SFTObjective
from tests.fake_cuda.gpu import FakeCudaDevice, to_gpu
from tests.strategies.grpo.test_objective import ADDRESS, objective_of, update
from tests.tiny import FAMILIES, encode, make_batch, make_lora_policy, make_mixed_batch, make_policy, random_completions

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
ALWAYS = {("qwen3_vl", "adapters, recomputed")}


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
    with FakeCudaDevice() as gpu:
        found, *texts_there, gap_there = some_steps(to_gpu(policy), make)
        assert policy.shares_prompts(encode(policy, make_batch(1)))
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


FAMILY_OF_LOSSES = {
    type(loss).__name__: {"loss": loss}
    for loss in (
        *(losses.BNPOLoss(), losses.DAPOLoss(), losses.DrGRPOLoss(length=6), losses.GSPOLoss(), losses.CISPOLoss()),
        *(losses.ScaleRLCISPOLoss(), losses.LUSPOLoss(), losses.GMPOLoss(), losses.SAPOLoss()),
    )
}
COMPARISONS = {
    type(kind).__name__: {"advantages": kind}
    for kind in (losses.LeaveOneOutAdvantages(), losses.BatchStdAdvantages(), losses.GDPOAdvantages())
}
OTHERS = {
    "corrected": {"correction": losses.TruncatedImportance()},
    "without those cut off": {"mask_truncated": True},
    "groups that differ": {"dynamic_sampling": DynamicSampling(max_redraws=0)},
}


@pytest.mark.slow  # formulas that make no difference between devices
@pytest.mark.parametrize("changes", (cases := FAMILY_OF_LOSSES | COMPARISONS | OTHERS).values(), ids=cases)
def test_every_objective_mixes_no_devices(changes):
    policy = make_lora_policy(attention="auto")
    policy.logit_bias[policy.eos_token_ids[0]] = 3.0

    def updated(policy):
        prepared = objective_of(**changes, updates_per_rollout=2).prepare(policy, make_batch(2), ADDRESS, 1)
        return update(prepared, policy)[0]

    wanted = updated(copy.deepcopy(policy))
    with FakeCudaDevice():
        assert_same_numbers(updated(to_gpu(policy)), wanted)


@pytest.mark.parametrize(
    "adaptation", [LoRA(), pytest.param(FullWeights(), marks=pytest.mark.slow)], ids=["adapters", "weights"]
)
def test_a_reference_taken_anew(adaptation):
    """It is what the policy was when it was taken, there too."""
    policy = make_policy(adaptation=adaptation, attention="auto", with_snapshot=True)
    completions, mask = random_completions(policy, 2, 2, 3)
    with FakeCudaDevice():
        encoded, completions, mask = encode(to_gpu(policy), make_batch(2)), completions.cuda(), mask.cuda()
        with torch.no_grad():
            randomise_there(policy.trainable_parameters())
            policy.snapshot.capture(policy.model, 1)
            taken = policy.completion_logprobs(encoded, completions)[mask].tolist()
            randomise_there(policy.trainable_parameters())
            moved_on = policy.completion_logprobs(encoded, completions)[mask].tolist()
            reference = policy.completion_logprobs(encoded, completions, use_reference=True)[mask].tolist()
    assert reference == pytest.approx(taken, abs=1e-5)
    assert reference != pytest.approx(moved_on, abs=1e-2)


def randomise_there(parameters):
    """Other weights, that grow with their place."""
    for number, parameter in enumerate(parameters, start=1):
        parameter.add_(0.01 * number)
