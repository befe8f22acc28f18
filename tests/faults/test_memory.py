"""Memory that runs out in a rollout, in scoring, in an update, in evaluation and in export."""

import pytest
import torch

from remot.callbacks import HeldOutEvaluation, RunSummary
from remot.models import export
from remot.models.memory import halving
from remot.strategies.checkpoint_io import read_checkpoint
from tests.faults.test_steps import make, run, told, weights
from tests.strategies.test_module import ready_module
from tests.tiny import make_batch, make_policy

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning")


def no_memory(*_, **__):
    raise torch.OutOfMemoryError("tried to allocate 2 GiB")


def test_images_are_encoded_in_halves_with_the_same_features(monkeypatch):
    """Room for two of four prompts, one of them without an image; the features are those of all at once."""
    from remot.models.families import grid as module

    policy = make_policy("qwen3_vl")
    prompts = policy.process(make_batch(4, seed=1))
    wanted, real, asked = policy.encode(prompts), module.visual_features, []

    def features(model, images, videos, token_types, stored):
        asked.append(len(token_types))
        if len(token_types) > 2:
            no_memory()
        return real(model, images, videos, token_types, stored)

    monkeypatch.setattr(module, "visual_features", features)
    with torch.no_grad():
        found = policy.encode(prompts)
    assert asked == [4, 2, 2]
    assert len(found.features) == len(wanted.features)
    torch.testing.assert_close(list(found.features), list(wanted.features), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "key"), [(16, "model.micro_batch_prompts: 4"), (4, "model.micro_batch_prompts: 1"), (2, "max_pixels"),
                      (1, "gradient_checkpointing")]
)  # fmt: skip
def test_the_error_names_what_would_do(size, key):
    """Half of the prompts did not fit: half of that is next; below one prompt other settings are."""
    with pytest.raises(torch.OutOfMemoryError) as raised:
        halving(no_memory, size, "training on", "model.micro_batch_prompts")
    (note,) = raised.value.__notes__
    assert key in note


PLACES = {
    "rollout": ("remot.rollout.decoding.engine.decode", "while decoding"),
    "encoding": ("remot.models.families.grid.visual_features", "while encoding"),
    "scoring": ("remot.models.policy.VLMPolicy.completion_logprobs", "while training on"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_run_without_room_saves_the_step_before_and_exports(tmp_path, capsys, monkeypatch, place):
    """From the third step on nothing fits, in no size: step 2 is saved and exported, with the setting to change."""
    name, what = PLACES[place]
    module = make()

    def fill():
        monkeypatch.setattr(name, no_memory)

    from tests.faults.test_data import AtStep

    with pytest.raises(torch.OutOfMemoryError):
        run(module, tmp_path / "run", RunSummary(), AtStep(fill, 2))
    said = told(capsys)
    assert what in said
    assert "gradient_checkpointing" in said
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == 2
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()


def test_a_final_evaluation_without_room_leaves_checkpoint_and_adapter(tmp_path, monkeypatch):
    monkeypatch.setattr(HeldOutEvaluation, "on_fit_end", no_memory)
    module = make()
    with pytest.raises(torch.OutOfMemoryError):
        run(module, tmp_path / "run", HeldOutEvaluation(enabled=False), RunSummary())
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == 4
    assert exported(tmp_path / "run" / "adapter").keys() == exported_names(module)


def exported(folder):
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def exported_names(module):
    return {name.replace(".default.", ".").removeprefix("model.") for name in weights(module)}


def test_an_export_that_runs_out_once_is_made_all_the_same_and_never_by_halves(tmp_path, monkeypatch):
    real, calls = export.write_record, []

    def once(*arguments):
        calls.append(1)
        if len(calls) == 1:
            no_memory()
        return real(*arguments)

    monkeypatch.setattr(export, "write_record", once)
    with pytest.raises(torch.OutOfMemoryError):
        run(make(), tmp_path / "run", RunSummary())
    folder = tmp_path / "run" / "adapter"
    assert {"adapter_model.safetensors", "adapter_config.json", "remot.json"} <= {one.name for one in folder.iterdir()}
    assert not list((tmp_path / "run").glob(".adapter-*"))


def test_an_export_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    module = ready_module()
    folder = export.save_trained(module.policy, tmp_path / "adapter", step=1)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(export, "write_record", no_memory)
    with torch.no_grad():
        for parameter in module.policy.trainable_parameters():
            parameter.add_(1)
    with pytest.raises(torch.OutOfMemoryError):
        export.save_trained(module.policy, folder, step=2)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
