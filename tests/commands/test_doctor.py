"""``remot doctor`` from the command line: a small run, one without its device or weights; nothing is written."""

import re
from pathlib import Path

import pytest
import torch

from remot.cli import EXIT_BAD_INPUT, main
from tests.data.handmade import mixed_clips, write_folder
from tests.helpers import PROJECT
from tests.tiny import model_folder

SMALL = {
    "model.grpo.num_completions": 2,
    "model.grpo.max_new_tokens": 4,
    "model.evaluation.max_new_tokens": 4,
    "model.micro_batch_prompts": 2,
    "model.policy.source.pretrained": model_folder,
    "data.batch_size": 2,
    "data.num_train_prompts_per_epoch": 8,
    "data.num_test_prompts": 4,
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("clips"), mixed_clips(4))


def doctor(capsys, config, *words):
    """Levels of the lines by name, and the whole output; of runs in which something would fail."""
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--config", str(PROJECT / "configs" / config), *map(str, words)])
    assert stop.value.code == 1
    out = capsys.readouterr().out
    found = re.findall(r"^(fine|warn|fail|open) +(\S.*?)  +", out, flags=re.M)
    return {name: level for level, name in found}, out


def small():
    return [word for key, value in SMALL.items() for word in (f"--{key}", value() if callable(value) else value)]


@pytest.mark.parametrize("strategy", [pytest.param("GRPO", marks=pytest.mark.slow), "SFTThenGRPO"])
def test_a_small_run_is_measured_and_leaves_nothing(capsys, tmp_path, monkeypatch, clips, strategy):
    """Random weights: nothing ends within 4 tokens, which would fail, and groups may have no signal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("remot.commands.doctor.NUM_PROMPTS", 4)
    words = ["--root", clips, "--model.strategy", strategy, *small()]
    levels, out = doctor(capsys, "quickstart.yaml", *words)
    assert levels["completions cut off"] == "fail"
    for name in ("tracking", "data", "clips", "weights", "tokens per prompt", "memory", "time of the run", "disk"):
        assert levels[name] == "fine", name
    assert levels["sampler and scorer"] == levels["KL at the start"] == "fine"
    assert levels["test scenes"] == "warn"
    assert ("memory of SFT" in levels) == (strategy == "SFTThenGRPO")
    assert "0 not measured" in out
    assert list(tmp_path.iterdir()) == []


def test_the_recipe_without_its_gpu_and_weights(capsys, tmp_path, monkeypatch, clips):
    """What is needed is known all the same, and by which setting less would do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("remot.commands.doctor.NUM_PROMPTS", 4)
    levels, out = doctor(capsys, "grpo.yaml", "--root", clips)
    assert (levels["device"], levels["weights"], levels["training"]) == ("fail", "warn", "open")
    assert "4,438 M parameters" in out
    flat = " ".join(out.split())
    assert "a GPU of 40 GB" in flat
    assert re.search(r"max_new_tokens 4096 \(and model.evaluation's\): [\d.]+ GB, 32 GB GPU", flat)
    assert list(tmp_path.iterdir()) == []


def test_data_that_would_stop_the_run_fail(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = write_folder(tmp_path / "clips", mixed_clips(2))
    broken = sorted(root.glob("*.json"))[0]
    broken.write_text("{")
    levels, out = doctor(capsys, "quickstart.yaml", "--root", root, *small())
    assert (levels["data"], levels["training"]) == ("fail", "open")
    assert broken.name in out
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]


def test_a_misspelt_key_and_a_run_without_an_end_are_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, fact in ((["--data.batch_sze", "4"], "batch_sze"), (["--trainer.max_steps", "-1"], "max_steps")):
        with pytest.raises(SystemExit) as stop:
            main(["doctor", "--config", str(PROJECT / "configs/quickstart.yaml"), *words])
        assert stop.value.code == EXIT_BAD_INPUT
        assert fact in capsys.readouterr().err
    assert not Path("runs").exists()
