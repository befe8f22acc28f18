"""Which checkpoint a run continues from, and which settings it may continue with."""

import json
import os
import socket
import time
from pathlib import Path

import pytest
import torch

from remot.commands.training.resume import (
    Change,
    Sought,
    changes_since,
    find_checkpoint,
    require_allowed,
)
from remot.errors import CheckpointError
from remot.strategies.checkpoint_io import read_checkpoint, write_checkpoint

GRPO = Sought("GRPO", "remot-tiny")
CONFIG = {
    "seed_everything": 0,
    "root": None,
    "trainer": {"max_steps": 60, "precision": None, "logger": {"class_path": "L", "init_args": {"run_id": None}}},
    "model": {
        "policy": {"adaptation": {"class_path": "remot.models.LoRA", "init_args": {"rank": 16, "alpha": 32.0}}},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 4e-4, "betas": [0.9, 0.999]}},
        "scheduler": None,
        "micro_batch_prompts": 8,
    },
    "data": {
        "batch_size": 16,
        "num_workers": 0,
        "tasks": [{"class_path": "A", "init_args": {"x": 1}}, {"class_path": "B"}],
    },
    "checkpoint": {"every_n_train_steps": None},
}


def save(path, age, strategy="GRPO", base_model="remot-tiny", step=1):
    """A checkpoint that was written ``age`` seconds before some moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"global_step": step, "remot": {"strategy": strategy, "base_model": base_model}}, path)
    os.utime(path, (1_000_000 - age, 1_000_000 - age))


def test_last_is_the_newest_whatever_its_name(tmp_path):
    """Such as the last-v1.ckpt that earlier versions left beside last.ckpt."""
    save(tmp_path / "a" / "last.ckpt", 20)
    save(tmp_path / "b" / "last.ckpt", 30)
    save(tmp_path / "b" / "last-v1.ckpt", 10)
    assert find_checkpoint("last", tmp_path, GRPO) == tmp_path / "b" / "last-v1.ckpt"
    assert find_checkpoint(None, tmp_path, GRPO) is None
    with pytest.raises(CheckpointError, match=r"gone\.ckpt does not exist"):
        find_checkpoint("gone.ckpt", tmp_path, GRPO)


def test_a_replaced_checkpoint_is_older_also_after_copying(tmp_path):
    """``cp -r`` gives the files new times, in the order of their names."""
    save(tmp_path / "a" / "last.ckpt", 30, step=9)
    save(tmp_path / "a" / "previous.ckpt", 20, step=8)
    assert find_checkpoint("last", tmp_path, GRPO) == tmp_path / "a" / "last.ckpt"
    (tmp_path / "a" / "last.ckpt").write_bytes(b"")
    assert find_checkpoint("last", tmp_path, GRPO) == tmp_path / "a" / "previous.ckpt"


def test_the_newest_is_the_one_that_was_written_last_also_after_the_clock_was_set_back(tmp_path):
    """By two names, as with a ModelCheckpoint of the user's."""
    sought = {"remot": {"strategy": "GRPO", "base_model": "remot-tiny"}}
    for step, name in ((1, "step-1.ckpt"), (2, "last.ckpt")):
        write_checkpoint(sought | {"global_step": step}, tmp_path / "a" / name)
        if step == 1:
            ahead = time.time() + 86400
            os.utime(tmp_path / "a" / name, (ahead, ahead))
    assert find_checkpoint("last", tmp_path, GRPO) == tmp_path / "a" / "last.ckpt"


def test_last_is_of_the_same_strategy_and_model(tmp_path):
    save(tmp_path / "sft" / "last.ckpt", 1, strategy="SFT")
    save(tmp_path / "other" / "last.ckpt", 2, base_model="other")
    save(tmp_path / "same" / "last.ckpt", 3)
    assert find_checkpoint("last", tmp_path, GRPO) == tmp_path / "same" / "last.ckpt"


def test_no_match_names_what_there_is(tmp_path):
    save(tmp_path / "old" / "last.ckpt", 3, strategy="SFT", step=4)
    save(tmp_path / "new" / "last.ckpt", 1, strategy="SFT", step=7)
    with pytest.raises(CheckpointError) as refused:
        find_checkpoint("last", tmp_path, GRPO)
    said = str(refused.value)
    assert "GRPO from remot-tiny" in said
    assert f"SFT from remot-tiny: {tmp_path / 'new' / 'last.ckpt'} (step 7)" in said
    assert "old" not in said


def test_half_written_checkpoints_are_passed_over(tmp_path):
    """A whole file, and its first half, which is newer."""
    save(tmp_path / "run" / "last.ckpt", 5)
    whole = (tmp_path / "run" / "last.ckpt").read_bytes()
    (tmp_path / "run" / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    assert find_checkpoint("last", tmp_path, GRPO) == tmp_path / "run" / "last.ckpt"
    (tmp_path / "run" / "last.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"damaged: .*cut\.ckpt"):
        find_checkpoint("last", tmp_path, GRPO)


@pytest.mark.parametrize("kind", ["loop", "dangling", "folder", "pipe", "device", "socket"])
def test_what_is_no_file_in_place_of_the_newest_checkpoint_is_passed_over(tmp_path, monkeypatch, kind):
    (tmp_path / "a").mkdir()
    save(tmp_path / "a" / "previous.ckpt", 20)
    monkeypatch.chdir(tmp_path / "a")  # the name of a socket is short
    last = Path("last.ckpt")
    made = {
        "loop": lambda: last.symlink_to(last),
        "dangling": lambda: last.symlink_to("nothing"),
        "folder": last.mkdir,
        "pipe": lambda: os.mkfifo(last),
        "device": lambda: last.symlink_to("/dev/zero"),
        "socket": lambda: socket.socket(socket.AF_UNIX).bind(str(last)),
    }
    made[kind]()
    passed = []
    assert find_checkpoint("last", tmp_path, GRPO, passed.append) == tmp_path / "a" / "previous.ckpt"
    assert [line for line in passed if "last.ckpt" in line]


def test_what_is_no_mapping_is_no_checkpoint(tmp_path):
    torch.save([1], tmp_path / "list.ckpt")
    with pytest.raises(CheckpointError, match=r"list\.ckpt .*list"):
        read_checkpoint(tmp_path / "list.ckpt")


def changed(dotted, value):
    """CONFIG with one setting changed; numbers are places in lists."""
    config = json.loads(json.dumps(CONFIG))
    *words, last = dotted.split(".")
    place = config
    for word in words:
        place = place[int(word)] if isinstance(place, list) else place[word]
    place[last] = value
    return config


def changes(now):
    return changes_since({"remot_config": json.dumps(CONFIG)}, now)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed_everything", 1),
        ("root", "clips"),
        ("trainer.precision", "bf16-mixed"),
        ("model.policy.adaptation.init_args.rank", 8),
        ("model.policy.adaptation.init_args.alpha", 16.0),
        ("model.optimizer.init_args.lr", 1e-2),
        ("model.optimizer.init_args.betas", [0.9, 0.95]),
        ("data.batch_size", 8),
        ("data.tasks.0.init_args.x", 2),
    ],
)
def test_other_settings_are_refused_by_name_and_allowed_by_name(key, value, tmp_path):
    (found,) = changes(changed(key, value))
    assert found.key == key
    assert found.new == value
    with pytest.raises(CheckpointError) as refused:
        require_allowed([found], ["model.optimizer.init_args.l", "mod", "data.b"], tmp_path / "last.ckpt")
    for part in ("last.ckpt", f"{key}: ", f"→ {value}", f"--resume.allow {key}"):
        assert part in str(refused.value)
    for allowed in (key, key.replace(".init_args", ""), key.rpartition(".")[0] or key):
        require_allowed([found], [allowed], tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer.max_steps", 120),
        ("trainer.logger", False),
        ("trainer.logger.init_args.run_id", "abc"),
        ("model.micro_batch_prompts", 2),
        ("data.num_workers", 4),
        ("checkpoint.every_n_train_steps", 1),
    ],
)
def test_length_logging_and_memory_may_change(key, value):
    assert changes(changed(key, value)) == []


CHECKPOINT = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"save_top_k": 1}}
STOPPING = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"patience": 3}}
OWN = {"class_path": "mine.Noise", "init_args": {"scale": 1.0}}


def with_callbacks(callbacks):
    return changed("trainer.callbacks", callbacks)


@pytest.mark.parametrize(
    "callbacks",
    [
        None,
        OWN,  # one alone, as the parser leaves it
        [OWN],
        [{**CHECKPOINT, "init_args": {"save_top_k": 2, "every_n_train_steps": 5}}, STOPPING, OWN],
        [{"class_path": "remot.callbacks.BestPolicy"}, OWN, CHECKPOINT],
    ],
)
def test_what_saves_and_ends_a_run_may_change(callbacks):
    """A callback of one's own may do anything, and has to stay."""
    held = {"remot_config": json.dumps(with_callbacks([CHECKPOINT, OWN]))}
    left = [one.key for one in changes_since(held, with_callbacks(callbacks))]
    assert left == ([] if callbacks else ["trainer.callbacks.0.class_path"])


def test_a_callback_of_ones_own_is_compared():
    held = {"remot_config": json.dumps(with_callbacks([CHECKPOINT, OWN]))}
    (found,) = changes_since(held, with_callbacks([{**OWN, "init_args": {"scale": 2.0}}, STOPPING]))
    assert str(found) == "trainer.callbacks.0.init_args.scale: 1.0 → 2.0"


def test_numbers_are_compared_by_value():
    """32.0 and 32, 0.0004 and 4e-4 are one setting."""
    assert changes(changed("model.policy.adaptation.init_args.alpha", 32)) == []
    assert changes(changed("model.optimizer.init_args.lr", 0.0004)) == []


def test_another_class_is_one_change():
    """Its settings have no counterpart to be compared with."""
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e-2, "momentum": 0.9}}
    assert changes(changed("model.optimizer", sgd)) == [
        Change("model.optimizer.class_path", "torch.optim.AdamW", "torch.optim.SGD")
    ]
    schedule = {"class_path": "StepLR", "init_args": {"step_size": 1}}
    (found,) = changes(changed("model.scheduler", schedule))
    assert str(found) == "model.scheduler.class_path: null → StepLR"
    require_allowed([found], ["model.scheduler"], None)


def test_a_task_more_or_less_is_a_change():
    assert [one.key for one in changes(changed("data.tasks", CONFIG["data"]["tasks"][:1]))] == [
        "data.tasks.1.class_path"
    ]


def test_checkpoints_of_older_versions_hold_no_configuration():
    assert changes_since({"remot": {}}, CONFIG) is None


def test_a_long_list_is_counted():
    many = [Change(f"key{number}", 0, 1) for number in range(30)]
    with pytest.raises(CheckpointError, match="and 18 others"):
        require_allowed(many, [], None)
