"""Runs whose features are kept on disk are those of runs without, up to the rounding of the vision tower."""

from dataclasses import replace

import pytest
import torch

from remot.models import FeatureStore, FullWeights, LoRA
from tests.strategies.test_module import fit, is_result, make_module, ready_module

COUNTS = {"train/feature_store/found", "train/feature_store/computed"}


def with_store(module, folder):
    """A module of a configuration with a store; its policy may be there already."""
    store = FeatureStore(folder)
    module.policy_settings = replace(module.policy_settings, feature_store=store)
    if module.policy is not None:
        module.policy.stored_features = store.open(module.policy.core, train_vision=False)
    return module


def results(logged):
    """What steps logged but clock times and what the store counted."""
    return [{name: step[name] for name in step if is_result(name) and name not in COUNTS} for step in logged]


def found(logged):
    return [int(step["train/feature_store/found"]) for step in logged]


@pytest.mark.parametrize("adaptation", [LoRA(rank=2), FullWeights()], ids=["lora", "full"])
def test_a_run_is_the_same_with_a_store(adaptation, tmp_path):
    """Supervised and reinforced steps, with a reference: an empty store, a full one, and none."""
    logged = {}
    for name in ("plain", "empty", "full"):
        module = ready_module(adaptation=adaptation)
        module = module if name == "plain" else with_store(module, tmp_path / "features")
        logged[name] = fit(module, tmp_path, max_steps=4)[0].logged
    assert not COUNTS & logged["plain"][0].keys()
    assert found(logged["empty"]) == [0] * 4
    assert min(found(logged["full"])) > 0
    assert not any(step["train/feature_store/computed"] for step in logged["full"])
    assert repr(results(logged["empty"])) == repr(results(logged["full"]))
    for ours, theirs in zip(results(logged["empty"]), results(logged["plain"]), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_resumed_run_with_a_store_is_the_same_run_bit_for_bit(is_lost, tmp_path):
    """Of new objects, which find what the first part has kept, or nothing."""
    whole = with_store(ready_module(), tmp_path / "whole")
    at_once = fit(whole, tmp_path, max_steps=4)[0].logged
    logged, trainer = fit(with_store(ready_module(), tmp_path / "some"), tmp_path, max_steps=2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    second = with_store(make_module(), tmp_path / ("others" if is_lost else "some"))
    more, _ = fit(second, tmp_path, max_steps=4, ckpt_path=tmp_path / "two.ckpt", adapter_seed=99)
    assert repr(results(logged.logged + more.logged)) == repr(results(at_once))
    for (name, wanted), actual in zip(whole.policy.named_parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(wanted, actual), name
