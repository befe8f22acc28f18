"""A folder of trained adapters given as the model: what is loaded, what is continued, and what is refused."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from remot.errors import CheckpointError, ConfigError, RemotError
from remot.models import FullWeights, LoRA, ModelSource, QLoRA, VLMPolicy
from remot.models.export import save_trained
from remot.models.loading import describe_source, describe_weights
from tests.models.test_parity import largest_gap
from tests.tiny import (
    encode,
    make_batch,
    make_lora_policy,
    make_policy,
    model_folder,
    random_completions,
    randomise_,
    snapshot,
)

TENSORS, CONFIG, RECORD = "adapter_model.safetensors", "adapter_config.json", "remot.json"
#: As :func:`make_lora_policy`'s.
SHAPE = {"rank": 3, "alpha": 6.0}


@pytest.fixture(scope="module")
def trained():
    return make_lora_policy()


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    """Adapters saved at step 60. Read only."""
    return save_trained(trained, tmp_path_factory.mktemp("run") / "adapter", step=60)


@pytest.fixture
def folder(saved, tmp_path):
    """A copy to break."""
    return Path(shutil.copytree(saved, tmp_path / "adapter"))


def load(folder, adaptation=None, **settings):
    settings = {"with_reference": False, "prefix_sharing": "on"} | settings
    return VLMPolicy(ModelSource(str(folder)), adaptation, **settings)


def logprobs(policy, **settings):
    """Of the same completions of the same prompts."""
    completions, mask = random_completions(policy, 2, 2, 4)
    with torch.no_grad():
        return policy.completion_logprobs(encode(policy, make_batch(2)), completions, **settings)[mask]


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# -- what is loaded ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adaptation", [None, LoRA(**SHAPE), LoRA(rank=16), LoRA(rank=3, target_modules=".*q_proj")])
def test_evaluation_uses_the_adapter_whatever_the_adaptation_says(saved, trained, adaptation):
    assert torch.equal(logprobs(load(saved, adaptation, is_trained=False)), logprobs(trained))
    assert largest_gap(logprobs(trained), logprobs(make_policy())) > 0.1


def test_training_continues_the_adapter(saved, trained):
    """Not one number is drawn anew, and what is trained is what a new run would train."""
    policy = load(saved, LoRA(**SHAPE))
    wanted = {name: weight for name, weight in trained.named_parameters() if "lora_" in name}
    assert {name for name, weight in policy.named_parameters() if weight.requires_grad} == wanted.keys()
    assert all(torch.equal(weight, wanted[name]) for name, weight in policy.named_parameters() if name in wanted)
    assert sum(float(weight.detach().abs().sum()) for name, weight in wanted.items() if "lora_B" in name) > 1
    assert torch.equal(logprobs(policy), logprobs(trained))


def test_the_vision_tower_s_adapters_are_continued_too(tmp_path):
    trained = make_lora_policy(train_vision=True)
    saved = save_trained(trained, tmp_path / "adapter", step=1)
    assert torch.equal(logprobs(load(saved, LoRA(**SHAPE), train_vision=True)), logprobs(trained))
    assert torch.equal(logprobs(load(saved, is_trained=False)), logprobs(trained))
    with pytest.raises(ConfigError, match=r"visual\.blocks"):
        load(saved, LoRA(**SHAPE))


def test_four_bit_weights_take_their_adapter(tmp_path):
    trained = make_policy(adaptation=QLoRA(**SHAPE))
    randomise_(trained.trainable_parameters(), seed=2)
    saved = save_trained(trained, tmp_path / "adapter", step=5)
    for settings in ({"is_trained": False}, {}):
        assert torch.equal(logprobs(load(saved, QLoRA(**SHAPE), **settings)), logprobs(trained))


@pytest.mark.parametrize(("with_snapshot", "is_base"), [(False, True), (True, False)])
def test_the_reference_is_the_base_model_or_the_adapter_as_it_was(saved, trained, with_snapshot, is_base):
    """The first as GRPO(reference="base"), the second as "phase_start" once the first step has taken it."""
    policy = load(saved, LoRA(**SHAPE), with_reference=True, with_snapshot=with_snapshot)
    if policy.snapshot is not None:
        policy.snapshot.capture(policy.model, 0)
    randomise_(policy.trainable_parameters(), seed=9)
    reference = logprobs(policy, use_reference=True)
    assert torch.equal(reference, logprobs(make_policy() if is_base else trained))


def test_the_base_model_is_found_from_any_folder(tmp_path, monkeypatch):
    """A bundled name is found wherever the package is; a folder by its whole path."""
    (tmp_path / "elsewhere").mkdir()
    bundled = VLMPolicy(ModelSource(), LoRA(rank=2), with_reference=False)
    save_trained(bundled, tmp_path / "bundled", step=7)
    edit(tmp_path / "bundled" / CONFIG, base_model_name_or_path="/another/machine/remot/assets/remot-tiny")
    shutil.copytree(model_folder(), tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    save_trained(VLMPolicy(ModelSource("base"), LoRA(rank=2), with_reference=False), tmp_path / "own", step=1)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert describe_weights(ModelSource("../bundled")) == "remot-tiny + adapter ../bundled, step 7"
    assert load("../bundled", is_trained=False).core.num_parameters() > 1_000_000
    assert ModelSource("../own").resolve() == os.fspath((tmp_path / "base").resolve())
    load("../own", is_trained=False)


def test_a_continued_adapter_names_its_base_model_and_not_itself(saved, tmp_path):
    again = save_trained(load(saved, LoRA(**SHAPE)), tmp_path / "again", step=3)
    assert json.loads((again / RECORD).read_text()) == {"base_model": str(model_folder()), "step": 3}
    assert ModelSource(str(again)).base == str(model_folder())
    assert describe_source(ModelSource(str(again))) == model_folder().name


def test_full_weights_are_saved_with_their_step(tmp_path):
    saved = save_trained(make_policy(adaptation=FullWeights(), with_reference=False), tmp_path / "policy", step=4)
    assert describe_weights(ModelSource(str(saved))) == f"{saved}, step 4"


@pytest.mark.parametrize("record", [None, "{not json", "[1]", '{"step": -1, "base_model": "\\u001b"}', "9" * 2_000_000])
def test_a_record_that_is_missing_or_damaged_is_no_obstacle(folder, record):
    (folder / RECORD).unlink()
    if record is not None:
        (folder / RECORD).write_text(record)
    source = ModelSource(str(folder))
    assert describe_weights(source) == f"{model_folder().name} + adapter {folder}"
    assert source.resolve() == str(model_folder())


def test_names_in_the_configuration_are_not_evaluated(folder):
    """A regular expression that never ends, in a file from the world."""
    edit(folder / CONFIG, target_modules="(a+)+$" + "(.*)*" * 20)
    load(folder, is_trained=False)


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adaptation", "key"),
    [
        (LoRA(rank=4, alpha=6.0), "rank 4"),
        (LoRA(rank=3, alpha=7.0), "alpha 7"),
        (LoRA(**SHAPE, target_modules=r".*q_proj"), "target_modules"),
        (None, "rank 3 and alpha 6"),
        (FullWeights(), "adaptation"),
    ],
)
def test_training_in_another_shape_is_refused(saved, adaptation, key):
    with pytest.raises(ConfigError, match=key) as error:
        load(saved, adaptation)
    assert str(saved) in str(error.value)


def test_random_weights_take_no_adapter(saved):
    with pytest.raises(ConfigError, match="random_weights"):
        VLMPolicy(ModelSource(str(saved), random_weights=True), LoRA(**SHAPE))


def first_name(tensors):
    return min(tensors)


def lose_a_layer(tensors):
    """Both matrices."""
    stem = first_name(tensors).partition(".lora_")[0]
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(stem)}


def lose_a_matrix(tensors):
    return {name: tensor for name, tensor in tensors.items() if name != first_name(tensors)}


def gain_a_layer(tensors):
    added = {f"base_model.model.no.such.layer.lora_{kind}.weight": torch.ones(3, 3) for kind in "AB"}
    return tensors | added


def gain_another_kind(tensors):
    return tensors | {"base_model.model.lm_head.lora_magnitude_vector": torch.ones(3)}


def widen(tensors):
    return tensors | {first_name(tensors): torch.ones(3, 5)}


def spoil(tensors):
    return tensors | {first_name(tensors): torch.full_like(tensors[first_name(tensors)], torch.nan)}


@pytest.mark.parametrize(
    ("damage", "fact", "in_evaluation"),
    [
        (lose_a_layer, "has 13 layers", False),
        (lose_a_matrix, "1 of 14 layers", True),
        (gain_a_layer, "no.such.layer", True),
        (gain_another_kind, "lora_magnitude_vector", True),
        (widen, r"\[3, 5\]", True),
        (spoil, "not finite", True),
    ],
)
@pytest.mark.parametrize("is_trained", [False, True])
def test_tensors_that_do_not_fit_are_named(folder, damage, fact, in_evaluation, is_trained):
    save_file(damage(load_file(folder / TENSORS)), folder / TENSORS)
    if not is_trained and not in_evaluation:
        load(folder, is_trained=False)  # fewer layers are another shape, and a sound one
        return
    with pytest.raises(RemotError, match=fact) as error:
        load(folder, LoRA(**SHAPE), is_trained=is_trained)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("content", ["{not json", "[]", "{}", '{"peft_type": "LORA", "base_model_name_or_path": 3}'])
def test_a_damaged_configuration_is_named(folder, content):
    (folder / CONFIG).write_text(content)
    with pytest.raises(RemotError, match="adapter"):
        load(folder, is_trained=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [("bias", "all"), ("rank_pattern", {"q_proj": 2}), ("peft_type", "IA3"),
     ("init_lora_weights", "pissa"), ("modules_to_save", ["lm_head"]), ("of_a_later_version", 1)],
)  # fmt: skip
def test_other_kinds_of_adapters_are_refused_by_name(folder, key, value):
    edit(folder / CONFIG, **{key: value})
    with pytest.raises(ConfigError, match="IA3" if key == "peft_type" else key):
        load(folder, is_trained=False)


def test_dora_without_magnitudes_is_not_complete(folder):
    edit(folder / CONFIG, use_dora=True)
    with pytest.raises(CheckpointError, match="14 of 14"):
        load(folder, is_trained=False)


@pytest.mark.parametrize("key", ["r", "lora_alpha"])
@pytest.mark.parametrize("value", [0, -1, "3", None, True, pytest.param(10**400, id="huge")])
def test_numbers_are_checked(folder, key, value):
    edit(folder / CONFIG, **{key: value})
    with pytest.raises(CheckpointError, match=key):
        load(folder, is_trained=False)


def test_a_rank_that_the_tensors_do_not_have_takes_no_memory(folder):
    edit(folder / CONFIG, r=10**9)
    with pytest.raises(CheckpointError, match=r"r is 1000000000, but .* has 3 rows"):
        ModelSource(str(folder)).adapter()


def test_a_base_model_that_is_not_there_is_named(folder):
    (folder / RECORD).unlink()
    edit(folder / CONFIG, base_model_name_or_path="/no/such/model")
    with pytest.raises(CheckpointError, match="/no/such/model") as error:
        load(folder, is_trained=False)
    assert str(folder) in str(error.value)


def test_adapters_without_tensors_are_named(folder):
    (folder / TENSORS).unlink()
    with pytest.raises(CheckpointError, match=TENSORS):
        load(folder, is_trained=False)


def test_what_was_loaded_is_not_shared_with_what_is_asked_for(saved):
    """One adaptation may stand in several configurations; loading an adapter leaves it as it is."""
    adaptation = LoRA(**SHAPE)
    before = dict(vars(adaptation))
    load(saved, adaptation)
    assert vars(adaptation) == before
    assert snapshot(load(model_folder(), adaptation)).keys()
