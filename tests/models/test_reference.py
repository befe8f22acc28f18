"""A second set of the trained weights: the base model until it is taken, then the policy of that moment."""

import pytest
import torch
from safetensors.torch import load_file

from remot.models import FullWeights, LoRA, QLoRA
from remot.models.export import save_merged, save_trained
from tests.tiny import FAMILIES, encode, make_batch, make_policy, random_completions, randomise_

KINDS = {
    "lora": (lambda: LoRA(rank=3), False),
    "lora with vision": (lambda: LoRA(rank=3), True),
    "qlora": (lambda: QLoRA(rank=3), False),
    "full": (FullWeights, False),
    "full with vision": (FullWeights, True),
}


@pytest.fixture(params=KINDS)
def policy(request):
    adaptation, train_vision = KINDS[request.param]
    return make_policy("qwen3_vl", adaptation(), train_vision=train_vision, with_snapshot=True)


def logprobs(policy, *, use_reference):
    """Of the same completions of the same prompts, by each model's own vision tower."""
    completions, mask = random_completions(policy, 2, 2, 4)
    prompts = policy.process(make_batch(2))
    seen = policy.encode(prompts, use_reference=use_reference)
    return policy.completion_logprobs(seen, completions, use_reference=use_reference)[mask]


def trained_names(policy):
    return {name for name, parameter in policy.named_parameters() if parameter.requires_grad}


def test_it_is_the_base_model_until_it_is_taken(policy):
    base = logprobs(policy, use_reference=False)
    randomise_(policy.trainable_parameters(), seed=3)
    assert policy.snapshot.step is None
    assert torch.equal(logprobs(policy, use_reference=True), base)
    assert (logprobs(policy, use_reference=False) - base).abs().max() > 0.01


def test_it_stays_what_the_policy_was_when_it_was_taken(policy):
    randomise_(policy.trainable_parameters(), seed=3)
    taken = logprobs(policy, use_reference=False)
    policy.snapshot.capture(policy.model, 7)
    assert policy.snapshot.step == 7
    assert torch.equal(logprobs(policy, use_reference=True), taken)
    randomise_(policy.trainable_parameters(), seed=4)
    reference = logprobs(policy, use_reference=True)
    assert torch.equal(reference, taken)
    assert not reference.requires_grad
    later = logprobs(policy, use_reference=False)
    assert (later - taken).abs().max() > 0.01
    policy.snapshot.capture(policy.model, 9)
    assert torch.equal(logprobs(policy, use_reference=True), later)


def test_nothing_of_it_is_trained(policy):
    adaptation, train_vision = policy.adaptation, policy.train_vision
    plain = make_policy("qwen3_vl", adaptation, train_vision=train_vision, with_reference=False)
    policy.snapshot.capture(policy.model, 0)
    logprobs(policy, use_reference=True)
    assert trained_names(policy) == trained_names(plain)
    held = {id(frozen) for frozen, _ in policy.snapshot.pairs(policy.model)}
    assert len(held) == len(trained_names(plain))
    assert held.isdisjoint(id(parameter) for parameter in policy.trainable_parameters())


def test_asking_it_between_the_passes_changes_no_gradient(policy):
    """The graph of the policy is there while the reference computes with other weights."""
    randomise_(policy.trainable_parameters(), seed=3)
    policy.snapshot.capture(policy.model, 0)
    randomise_(policy.trainable_parameters(), seed=4)
    found = []
    for asks in (False, True):
        policy.zero_grad()
        loss = logprobs(policy, use_reference=False).sum()
        if asks:
            logprobs(policy, use_reference=True)
        loss.backward()
        found.append(
            [parameter.grad.clone() for parameter in policy.trainable_parameters() if parameter.grad is not None]
        )
    without, with_it = found
    assert len(without) == len(with_it) > 10
    assert all(torch.equal(one, other) for one, other in zip(without, with_it, strict=True))
    assert any(gradient.any() for gradient in without)


def test_the_policy_answers_again_after_an_error(policy):
    policy.snapshot.capture(policy.model, 0)
    randomise_(policy.trainable_parameters(), seed=3)
    before = logprobs(policy, use_reference=False)
    with pytest.raises(RuntimeError, match="stop"), policy.reference_policy():
        raise RuntimeError("stop")
    assert torch.equal(logprobs(policy, use_reference=False), before)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adaptation", [LoRA(rank=3), FullWeights()], ids=["lora", "full"])
def test_it_is_not_exported(family, adaptation, tmp_path):
    """Every file is there by name and value as without it, merged ones too."""
    folders = []
    for with_snapshot in (False, True):
        policy = make_policy(
            family, adaptation, train_vision=True, with_reference=with_snapshot, with_snapshot=with_snapshot
        )
        randomise_(policy.trainable_parameters(), seed=5)
        if with_snapshot:
            policy.snapshot.capture(policy.model, 3)
            encode(policy, make_batch(1))
        folder = tmp_path / str(with_snapshot)
        save_trained(policy, folder / "plain")
        save_merged(policy, folder / "merged")
        folders.append(folder)
    without, with_it = folders
    names = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in folders]
    assert names[0] == names[1]
    files = [name for name in names[0] if name.endswith(".safetensors")]
    assert len(files) == 2
    for name in files:
        wanted, found = load_file(without / name), load_file(with_it / name)
        assert wanted.keys() == found.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_adapters_cost_the_memory_of_adapters():
    plain, with_own_snapshot = (
        make_policy("qwen3_vl", LoRA(rank=3), with_reference=False, with_snapshot=on) for on in (False, True)
    )
    sizes = [sum(parameter.numel() for parameter in policy.parameters()) for policy in (plain, with_own_snapshot)]
    assert sizes[1] - sizes[0] == sum(parameter.numel() for parameter in plain.trainable_parameters())
    assert with_own_snapshot.reference is None
