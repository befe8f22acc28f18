"""Features kept on disk are those of this tower for these pixels, whatever happens to the files."""

import errno
import logging
import multiprocessing
import os
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from remot.bounded_cache import BoundedCache
from remot.errors import ConfigError
from remot.models import FeatureStore, FullWeights, LoRA, ModelSource, VLMPolicy
from remot.models.export import save_trained
from remot.models.inputs import feature_store as store_module
from remot.models.parts import vision_parts
from remot.strategies import PolicySettings
from remot.structures import PromptBatch
from tests.models.store_users import use_heavily
from tests.tiny import FAMILIES, make_batch, make_lora_policy, make_mixed_batch, make_policy, model_folder, randomise_

#: Largest difference of a feature computed with the others of its batch and by itself, to the largest feature.
ROUNDING = 1e-6


def store(folder, gigabytes=1.0):
    return FeatureStore(folder, gigabytes)


def with_store(policy, folder, gigabytes=1.0):
    """A policy that has been loaded with a store."""
    policy.stored_features = store(folder, gigabytes).open(policy.core, train_vision=policy.train_vision)
    return policy


def encode(policy, batch, **settings):
    return policy.encode(policy.process(batch), **settings).features


def counts(policy):
    """Found and computed since the last call."""
    return tuple(policy.stored_features.metrics().values())


def files(folder):
    return sorted((folder / "files").rglob("*.safetensors"))


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs) > 0
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def assert_near(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert float((one - other).abs().max()) <= ROUNDING * float(other.abs().max())


# -- the same features -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [*FAMILIES, "qwen3_5", "internvl"])
def test_found_features_are_those_that_were_computed(family, tmp_path):
    """Bit for bit, by another policy of the same weights too; and those of a policy without a store up to rounding."""
    batch = make_batch(3) if family == "internvl" else make_mixed_batch()
    settings = {"prefix_sharing": "off"} if family in ("qwen3_5", "internvl") else {}
    plain = encode(make_policy(family, **settings), batch)
    policy = with_store(make_policy(family, **settings), tmp_path)
    computed = encode(policy, batch)
    found, missed = counts(policy)
    assert (found, missed > 2) == (0, True)
    assert_near(computed, plain)
    passes = []
    for part in vision_parts(policy.core).values():
        part.register_forward_pre_hook(lambda *_: passes.append(1))
    assert_equal(encode(policy, batch), computed)
    assert counts(policy) == (missed, 0)
    assert not passes
    other = with_store(make_policy(family, **settings), tmp_path)
    assert_equal(encode(other, batch), computed)
    assert counts(other) == (missed, 0)


def test_an_image_is_found_in_any_prompt(tmp_path):
    """What a feature is does not depend on what else was in the batch, or had been stored."""
    policy, batch = with_store(make_policy(), tmp_path), make_batch(3)
    alone = encode(policy, PromptBatch([batch.images[1][:1]], batch.questions[:1], batch.clip_ids[:1]))
    counts(policy)
    whole = encode(policy, batch)
    assert counts(policy) == (1, 6)
    before = 2 * 16  # visual tokens of the two images of the first prompt
    assert_equal([level[before : before + 16] for level in whole], alone)
    cold = with_store(make_policy(), tmp_path / "cold")
    assert_equal(encode(cold, batch), whole)


def test_a_store_is_off_unless_asked_for(tmp_path):
    policy = make_policy()
    assert policy.stored_features is None
    encode(policy, make_batch(1))
    assert not list(tmp_path.iterdir())


# -- keys --------------------------------------------------------------------------------------------------------------


def brighter(_, batch):
    """One number of one image, by one step."""
    batch.images[0][0][0, 0, 0] ^= 1
    return batch


def moved_tower(policy, batch):
    with torch.no_grad():
        next(policy.core.model.visual.parameters()).view(-1)[0] += 1e-3
    return batch


def other_buffer(policy, batch):
    """Rotary frequencies are no parameters."""
    next(policy.core.model.visual.buffers()).mul_(1.5)
    return batch


def other_setting(policy, batch):
    policy.core.config.vision_config.hidden_act = "relu"
    policy.stored_features._towers.clear()  # a setting is read when the weights are
    return batch


CHANGES = {
    "pixel": (brighter, 1),
    "weights": (moved_tower, 2),
    "buffer": (other_buffer, 2),
    "setting": (other_setting, 2),
    "size": (lambda policy, batch: setattr(policy.processor.image_processor, "size", SMALLER) or batch, 2),
    "precision": (lambda policy, batch: policy.to(torch.bfloat16) and batch, 2),
}
SMALLER = {"shortest_edge": 32 * 32, "longest_edge": 32 * 32}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_a_feature_depends_on_names_it(change, tmp_path):
    """And what it does not depend on does not: the language model is trained, and features stay."""
    policy = with_store(make_policy(), tmp_path)
    encode(policy, make_batch(1))
    with torch.no_grad():
        policy.core.model.language_model.layers[0].mlp.up_proj.weight.add_(1)
    counts(policy)
    encode(policy, make_batch(1))
    assert counts(policy) == (2, 0)
    act, num_computed = CHANGES[change]
    changed = act(policy, make_batch(1))
    ours = encode(policy, changed)
    assert counts(policy) == (2 - num_computed, num_computed)
    policy.stored_features = None
    assert_near([one.float() for one in ours], [one.float() for one in encode(policy, changed)])


def test_mixed_precision_has_features_of_its_own(tmp_path):
    policy = with_store(make_policy(), tmp_path)
    full = encode(policy, make_batch(1))
    counts(policy)
    for expected in ((0, 2), (2, 0)):
        with torch.autocast("cpu", torch.bfloat16):
            half = encode(policy, make_batch(1))
        assert counts(policy) == expected
    assert not torch.equal(full[0], half[0].float())
    assert_equal(encode(policy, make_batch(1)), full)


# -- reference ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adaptation", [FullWeights, LoRA])
def test_the_reference_has_its_own_tower(adaptation, tmp_path):
    """The same frozen weights are the same features, in a copy too; a copy with others has others."""
    policy, batch = with_store(make_policy(adaptation=adaptation()), tmp_path), make_batch(2)
    own = encode(policy, batch)
    counts(policy)
    assert_equal(encode(policy, batch, use_reference=True), own)
    assert counts(policy) == (5, 0)
    if policy.reference is None:
        return
    randomise_(policy.reference.model.visual.parameters(), seed=5)
    others = encode(policy, batch, use_reference=True)
    assert counts(policy) == (0, 5)
    assert not torch.equal(others[0], own[0])
    assert_equal(encode(policy, batch), own)
    policy.stored_features = None
    assert_near(others, encode(policy, batch, use_reference=True))


@pytest.mark.parametrize("adaptation", [FullWeights, LoRA])
def test_averaged_and_captured_policies_share_the_tower(adaptation, tmp_path):
    policy, batch = make_policy(adaptation=adaptation(), with_snapshot=True), make_batch(2)
    policy.keep_average()
    own = encode(with_store(policy, tmp_path), batch)
    randomise_(policy.trainable_parameters(), seed=3)
    policy.snapshot.capture(policy.model, 0)
    counts(policy)
    with policy.averaged():
        assert_equal(encode(policy, batch), own)
    assert_equal(encode(policy, batch, use_reference=True), own)
    assert counts(policy) == (10, 0)


# -- files that are damaged, disks that are full -----------------------------------------------------------------------


def cut(file):
    file.write_bytes(file.read_bytes()[:-3])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def empty(file):
    file.write_bytes(b"")


def grow(file):
    """To more than all files together may have, without taking room."""
    os.truncate(file, 10**9 + 1)


def exchange(file):
    """The file of another image of the same size."""
    other = files(file.parents[2])[-1]
    file.write_bytes(other.read_bytes())


def rename_a_level(file):
    held = load_file(file)
    held["7"] = held.pop("1")
    save_file(held, file)


@pytest.mark.parametrize("damage", [cut, flip_a_bit, empty, grow, exchange, rename_a_level])
def test_a_damaged_file_is_computed_again_and_replaced(damage, tmp_path, caplog):
    policy, batch = with_store(make_policy(), tmp_path), make_batch(2)
    own = encode(policy, batch)
    whole = {file: file.read_bytes() for file in files(tmp_path)}
    for file in files(tmp_path)[:2]:
        damage(file)
    counts(policy)
    with caplog.at_level(logging.WARNING):
        assert_equal(encode(policy, batch), own)
    assert {file: file.read_bytes() for file in files(tmp_path)} == whole
    assert counts(policy) == (3, 2)
    assert ["is damaged" in record.message for record in caplog.records] == [True]


def test_a_full_disk_is_no_end(tmp_path, caplog, monkeypatch):
    """One warning, the right features, nothing half written, and what is there is still read."""
    batch, more = make_batch(2), make_batch(2, seed=7)
    policy = with_store(make_policy(), tmp_path)
    own = encode(policy, batch)
    held, written = files(tmp_path), Path.write_bytes

    def no_space(path, content):
        if path.is_relative_to(tmp_path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(path, content)

    monkeypatch.setattr(Path, "write_bytes", no_space)
    counts(policy)
    plain = encode(make_policy(), more)
    for _ in range(2):
        assert_near(encode(policy, more), plain)
    assert counts(policy)[0] == 0
    assert_equal(encode(policy, batch), own)
    assert counts(policy) == (5, 0)
    assert files(tmp_path) == held
    assert not list((tmp_path / "partial").iterdir())
    assert ["No space left on device" in record.message for record in caplog.records] == [True]


def test_those_not_used_for_longest_go_first(tmp_path):
    """Room for five files of six, of which four stay when some have to go."""
    policy = with_store(make_policy(), tmp_path)
    whole = [make_batch(1, seed=k) for k in range(6)]
    batches = [PromptBatch([one.images[0][:1]], one.questions, one.clip_ids) for one in whole]
    encode(policy, batches[0])
    (first,) = files(tmp_path)
    num_bytes, written = first.stat().st_size, first.stat().st_mtime_ns
    future = time.time_ns() + 10**12
    os.utime(first, ns=(future, written))  # now a file system of ``relatime`` notes no reading by itself
    encode(policy, batches[0])
    assert first.stat().st_atime_ns < future
    bounded = with_store(make_policy(), tmp_path, 5.1 * num_bytes / 10**9)
    for batch in batches[1:5]:
        encode(bounded, batch)
        time.sleep(0.01)
    encode(bounded, batches[0])  # the second is now the one not used for longest
    counts(bounded)
    encode(bounded, batches[5])
    assert len(files(tmp_path)) <= 5
    encode(bounded, batches[0])
    assert counts(bounded) == (1, 1)
    encode(bounded, batches[1])
    assert counts(bounded) == (0, 1)


def test_features_larger_than_the_bound_are_not_kept(tmp_path, caplog):
    policy = with_store(make_policy(), tmp_path, 1e-7)
    assert_near(encode(policy, make_batch(1)), encode(make_policy(), make_batch(1)))
    assert not files(tmp_path)
    assert ["max_gigabytes" in record.message for record in caplog.records] == [True]


@pytest.mark.slow
def test_processes_share_a_folder(tmp_path):
    """Two at once with half the room that all need: all they read is right, and the bound holds."""
    num_bytes = len(store_module._as_bytes("", [torch.zeros(64)]))
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=use_heavily, args=(tmp_path, num_bytes, results, k)) for k in range(2)]
    for process in processes:
        process.start()
    found = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert [wrong for wrong, _, _ in found] == [0, 0]
    assert all(num_found > 0 for _, num_found, _ in found)
    assert not any(warned for *_, warned in found)
    assert 0 < len(files(tmp_path)) <= 20
    assert BoundedCache(tmp_path, 1, "").used_bytes() <= 20 * num_bytes


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_a_trained_tower_is_refused(tmp_path):
    source = ModelSource(str(model_folder()))
    for adaptation in (FullWeights(), LoRA(rank=2)):
        with pytest.raises(ConfigError, match="vision tower is trained"):
            VLMPolicy(source, adaptation, train_vision=True, with_reference=False, feature_store=store(tmp_path))


def test_adapters_in_the_tower_are_refused(tmp_path):
    """Those of a run with train_vision, where they are only evaluated: the reference goes without them."""
    saved = save_trained(make_lora_policy(train_vision=True), tmp_path / "adapter", step=1)
    with pytest.raises(ConfigError, match="vision tower has adapters"):
        VLMPolicy(ModelSource(str(saved)), is_trained=False, feature_store=store(tmp_path / "features"))


def test_divided_weights_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="divided weights"):
        with_store(make_policy(), tmp_path).shard(None)


def test_a_family_without_features_is_refused(tmp_path):
    policy = with_store(make_policy("gemma3", prefix_sharing="off"), tmp_path)
    with pytest.raises(ConfigError, match="own forward pass"):
        encode(policy, make_batch(1))


@pytest.mark.parametrize("gigabytes", [0, -1.0, float("nan"), float("inf")])
def test_a_bound_is_a_number_above_0(gigabytes, tmp_path):
    with pytest.raises(ConfigError, match="max_gigabytes"):
        FeatureStore(tmp_path, gigabytes)


@pytest.mark.parametrize("folder", ["", ".", "None"])
def test_no_folder_is_refused(folder):
    """null becomes the path None, and an empty string the current folder."""
    with pytest.raises(ConfigError, match="names no folder"):
        FeatureStore(Path(folder))


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"feature_store\.folder"):
        with_store(make_policy(), tmp_path / "file")


def test_settings_reach_the_policy(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    settings = PolicySettings(ModelSource(str(model_folder())), feature_store=FeatureStore(Path("${SCRATCH}/kept")))
    policy = settings.load(with_reference=False, with_snapshot=False)
    encode(policy, make_batch(1))
    assert len(files(tmp_path / "kept")) == 2
    assert "kept (" in policy.stored_features.describe()
    assert "0 found, 2 computed" in policy.stored_features.describe()
