"""The vision tower takes long videos in parts, which give the features of the whole."""

from math import prod

import pytest
import torch

from remot.models.inputs import tower
from remot.models.inputs.tower import passes_of
from tests.tiny import FAMILIES, HYBRID, make_mixed_batch, make_policy

#: Every kind of tower that takes a batch in one pass; the mixture of experts has Qwen3-VL's.
TOWERS = (*FAMILIES, "qwen2_vl", HYBRID)


def passes_while(policy, work):
    """Patches of each pass of the vision tower while ``work`` runs, and its result."""
    seen = []
    handle = policy.core.model.visual.register_forward_pre_hook(lambda _module, args: seen.append(len(args[0])))
    try:
        return seen, work()
    finally:
        handle.remove()


@pytest.mark.parametrize("family", TOWERS)
@pytest.mark.parametrize("most_patches", [1, 100, 200])
def test_features_of_parts_are_those_of_the_whole(family, most_patches, monkeypatch):
    """Images of two sizes, videos of two sizes; in float64, and with weights that make attention sharp."""
    policy = make_policy(family, prefix_sharing="auto").double()
    prompts = policy.process(make_mixed_batch())
    whole = policy.encode(prompts).features
    assert whole[0].dtype is torch.float64
    monkeypatch.setattr(tower, "PASS_PATCHES", most_patches)
    seen, encoded = passes_while(policy, lambda: policy.encode(prompts))
    moments = [size for shown in (prompts.images, prompts.videos) for _, *size in shown.grid_thw.tolist()]
    assert len(seen) > 2, "images and videos are a pass each where nothing is divided"
    assert max(seen) <= max(most_patches, *map(prod, moments))
    assert len(encoded.features) == len(whole) == (2 if family == "qwen3_vl" else 1)
    for level, of_whole in zip(encoded.features, whole, strict=True):
        assert (level - of_whole).abs().max() < 1e-10


def test_with_gradient_nothing_is_divided(monkeypatch):
    policy = make_policy(train_vision=True)
    prompts = policy.process(make_mixed_batch())
    monkeypatch.setattr(tower, "PASS_PATCHES", 1)
    seen, encoded = passes_while(policy, lambda: policy.encode(prompts))
    assert seen == [len(prompts.images.patches), len(prompts.videos.patches)]
    assert encoded.features[0].requires_grad
    with torch.no_grad():
        seen, _ = passes_while(policy, lambda: policy.encode(prompts))
    assert len(seen) > 2


@pytest.mark.parametrize("most_patches", [1, 7, 12, 16, 100])
@pytest.mark.parametrize("grid", [[(1, 2, 2)], [(5, 2, 4)], [(1, 4, 4), (3, 2, 2), (7, 2, 4), (1, 2, 2)]])
def test_passes_hold_all_moments_in_order(grid, most_patches):
    passes = passes_of(grid, most_patches)
    moments = [(height, width) for time, height, width in grid for _ in range(time)]
    assert [(height, width) for one in passes for time, height, width in one for _ in range(time)] == moments
    for one in passes:
        assert sum(map(prod, one)) <= most_patches or sum(time for time, *_ in one) == 1
    assert len(passes) == 1 or most_patches < sum(map(prod, grid))
