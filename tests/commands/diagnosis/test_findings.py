"""What the lines of ``remot doctor`` say of data, training, disk and store, at and around their limits."""

import os

import pytest
from jsonargparse import Namespace

from remot.commands.diagnosis import storage
from remot.commands.diagnosis.data import data_findings, length_finding, measured_prompts
from remot.commands.diagnosis.findings import Finding, duration, size, summary
from remot.commands.diagnosis.probe import ProbedPhase, peak_memory
from remot.commands.diagnosis.storage import disk_finding, store_finding
from remot.commands.diagnosis.training import memory_findings, rollout_findings, time_findings
from remot.errors import ConfigError
from tests.data.handmade import mixed_clips, write_folder
from tests.data.made import data_module

GOOD = {
    "reward/frac_zero_std": 0.5,
    "reward/total": 1.0,
    "completion/frac_finished": 1.0,
    "completion/num_tokens": 30.0,
    "rollout/logprob_gap_mean": 1e-7,
    "rollout/logprob_gap_max": 1e-6,
    "kl": 0.0,
}


def levels(is_float32=True, reference="base", **changes):
    phase = ProbedPhase([GOOD | {name.replace("__", "/"): value for name, value in changes.items()}], [1.0])
    return {one.name: one.level for one in rollout_findings(phase, 8, is_float32=is_float32, reference=reference)}


@pytest.mark.parametrize(
    ("changes", "name", "level"),
    [
        ({}, "groups with a signal", "fine"),
        ({"reward__frac_zero_std": 0.9}, "groups with a signal", "warn"),
        ({"reward__frac_zero_std": 1.0}, "groups with a signal", "fail"),
        ({}, "completions cut off", "fine"),
        ({"completion__frac_finished": 0.9}, "completions cut off", "warn"),
        ({"completion__frac_finished": 0.4}, "completions cut off", "fail"),
        ({"rollout__logprob_gap_mean": 1e-3}, "sampler and scorer", "warn"),
        ({"rollout__logprob_gap_mean": 0.1}, "sampler and scorer", "fail"),
        ({"rollout__logprob_gap_mean": float("nan")}, "sampler and scorer", "fail"),
        ({"rollout__logprob_gap_mean": 0.03, "is_float32": False}, "sampler and scorer", "fine"),
        ({"kl": 1e-3}, "KL at the start", "warn"),
        ({"reference": ""}, "KL at the start", "open"),
    ],
)
def test_levels_of_a_rollout(changes, name, level):
    found = levels(**changes)
    assert found[name] == level
    assert [one for other, one in found.items() if other != name] == ["fine"] * 3


def test_shares_are_means_over_the_steps():
    phase = ProbedPhase([GOOD, GOOD | {"reward/frac_zero_std": 0.0, "completion/frac_finished": 0.9}], [5.0, 1.0])
    found = {one.name: one for one in rollout_findings(phase, 4, is_float32=True, reference="base")}
    assert found["groups with a signal"].facts["share"] == pytest.approx(0.75)
    assert found["completions cut off"].facts["share"] == pytest.approx(0.05)
    assert "8 groups" in found["groups with a signal"].text


def test_time_of_the_run_by_hand(monkeypatch):
    """20 steps of SFT of 1 s and 40 of GRPO of 3 s, without their first ones; 10 batches of 2 s: 160 s."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    phases = {"SFT": ProbedPhase([{}] * 3, [9.0, 1.0, 1.0]), "GRPO": ProbedPhase([{}] * 3, [9.0, 2.0, 4.0])}
    *steps, run = time_findings(phases, {"SFT": 20, "GRPO": 40}, 2.0, 10)
    assert [one.facts["seconds"] for one in steps] == [1.0, 3.0]
    assert [one.facts["least"] for one in steps] == [1.0, 2.0]
    assert (run.facts["training"], run.facts["evaluation"], run.facts["seconds"]) == (140.0, 20.0, 160.0)
    assert [one.level for one in steps] == ["fine", "fine"]
    assert [*time_findings(phases, {}, None, 0)][-1].level == "open"


def test_times_of_a_busy_machine_are_doubted(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    first, *_ = time_findings({"GRPO": ProbedPhase([{}], [1.0])}, {"GRPO": 1}, None, 0)
    assert first.level == "warn"


def test_the_error_of_the_estimate_is_stated():
    (found,) = memory_findings({"GRPO": ProbedPhase([], [], 200, 150)}, "cpu")
    assert "-25%" in found.text
    assert found.facts == {"measured": 200, "estimated": 150}
    (more,) = memory_findings({"GRPO": ProbedPhase([], [], 200, 150, process_bytes=2_000_000)}, "cpu")
    assert "2 MB before" in more.text


def test_tensors_that_are_there_for_a_moment_are_counted():
    """Together they are 12 MB at most: the third is made when the first has gone."""
    import torch

    found = ProbedPhase()
    before = torch.ones(1_000_000)
    with peak_memory(torch.device("cpu"), found):
        first, second = torch.ones(2_000_000), torch.ones(1_000_000)
        del first, before
        third = torch.ones(500_000)
        del second, third
    assert found.peak_bytes == pytest.approx(12e6, rel=0.01)


@pytest.mark.parametrize(("longest", "limit", "level"), [(100, 148, "fine"), (101, 148, "fail"), (100, None, "open")])
def test_prompts_and_completions_have_to_fit_the_model(longest, limit, level):
    found = length_finding([10, 20, longest], 48, limit, "counted")
    assert found.level == level
    assert (found.facts["min"], found.facts["median"], found.facts["max"]) == (10, 20, longest)


# -- disk and store ------------------------------------------------------------------------------------------------


def disk(folder, checkpoint_bytes=1000, **sections):
    return disk_finding(folder, checkpoint_bytes, 10, sections, 60, "measured")


def test_disk_is_checkpoints_policy_pages_and_numbers(tmp_path):
    """3 checkpoints and 2 more; 60 / 20 + 1 pages of 4 prompts of 128 kB; 60 steps of 45 numbers of 250 bytes."""
    sections = {
        "checkpoint": {"save_top_k": 2},
        "samples": {"every_n_steps": 20, "num_prompts": 4},
        "held_out": {"enabled": False},
    }
    found = disk(tmp_path / "not" / "yet", **sections)
    assert found.facts["needed"] == 5 * 1000 + 10 + 16 * 128_000 + 60 * 45 * 250
    assert found.level == "fine"
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(("free", "level"), [(10**9, "fine"), (4000, "fail")])
def test_a_full_disk_fails(tmp_path, monkeypatch, free, level):
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free})())
    assert disk(tmp_path, held_out={"enabled": False}).level == level


def test_a_root_that_is_a_file_fails_and_endless_checkpoints_are_noticed(tmp_path):
    (tmp_path / "runs").write_text("")
    assert disk(tmp_path / "runs").level == "fail"
    assert disk(tmp_path, checkpoint={"save_top_k": -1}).level == "warn"


def logger(uri, experiment="e"):
    init = Namespace(tracking_uri=uri, experiment_name=experiment, save_dir=None, run_id=None)
    return Namespace(class_path="lightning.pytorch.loggers.MLFlowLogger", init_args=init)


def test_a_store_that_is_to_be_made_is_fine_and_is_not_made(tmp_path):
    found = store_finding(logger(f"sqlite:///{tmp_path}/mlflow.db"), offline=False)
    assert (found.level, list(tmp_path.iterdir())) == ("fine", [])


def test_stores_that_cannot_be_used(tmp_path):
    (tmp_path / "mlflow.db").write_text("no database")
    assert store_finding(logger(f"sqlite:///{tmp_path}/mlflow.db"), offline=False).level == "fail"
    assert store_finding(logger(f"sqlite:///{tmp_path}/new.db", " "), offline=False).level == "fail"


def test_a_server_is_asked_unless_the_run_begins_offline(monkeypatch):
    def refused(uri, *_):
        msg = f"{uri} does not answer"
        raise ConfigError(msg)

    monkeypatch.setattr(storage, "require_writable", refused)
    server = logger("http://127.0.0.1:9")
    found = store_finding(server, offline=False)
    assert (found.level, "127.0.0.1:9 does not answer" in found.text) == ("fail", True)
    assert store_finding(server, offline=True).level == "fine"


@pytest.mark.parametrize("other", [False, None, Namespace(class_path="lightning.pytorch.loggers.CSVLogger")])
def test_other_loggers_are_not_checked(other):
    assert store_finding(other, offline=False).level == "open"


# -- data ----------------------------------------------------------------------------------------------------------


def test_few_scenes_are_noticed_and_bad_clips_fail(tmp_path):
    root = write_folder(tmp_path / "clips", mixed_clips(4))
    data = data_module(str(root), num_train_prompts_per_epoch=8)
    found = {one.name: one for one in data_findings(data)}
    assert found["test scenes"].level == "warn"
    assert found["test scenes"].facts["test_scenes"] == data.num_scenes["test"] < 6
    assert (found["data"].level, found["clips"].facts["bad"]) == ("fine", 0)
    broken = sorted(root.glob("*.json"))[0]
    broken.write_text("{")
    (only,) = data_findings(data_module(str(root)))
    assert (only.level, only.name) == ("fail", "data")
    assert broken.name in only.text


def test_prompts_are_measured_in_small_batches_as_long_as_there_is_time(tmp_path, monkeypatch):
    from remot.commands.diagnosis import data as looked_at

    data = data_module(str(write_folder(tmp_path / "clips", mixed_clips(4))), num_train_prompts_per_epoch=8)
    data.setup()
    batches = [[question.prompt_id for question in batch.questions] for batch in measured_prompts(data, 6)]
    assert batches == [[f"train/0/{k}" for k in range(4)], ["train/0/4", "train/0/5"]]
    monkeypatch.setattr(looked_at, "PROMPT_SECONDS", -1.0)
    assert len([*measured_prompts(data, 6)]) == 1


def test_bad_clips_that_are_left_out_are_counted(tmp_path):
    root = write_folder(tmp_path / "clips", mixed_clips(4))
    sorted(root.glob("*.json"))[0].write_text("{")
    data = data_module(str(root), on_bad_clip="skip", require_splits=False)
    with pytest.warns(UserWarning, match="1 bad clips are left out"):
        found = {one.name: one for one in data_findings(data)}
    assert (found["clips"].level, found["clips"].facts["bad"]) == ("warn", 1)


# -- lines ---------------------------------------------------------------------------------------------------------


def test_a_line_is_wrapped_and_holds_no_controls():
    lines = Finding("warn", "name", "word " * 60 + "\x1b[2J", "do this").as_text().split("\n")
    assert lines[0].startswith("warn  name ")
    assert all(len(line) <= 118 for line in lines)
    assert "\x1b" not in "".join(lines)
    assert lines[-1].strip() == "→ do this"


def test_units():
    assert [duration(s) for s in (2.5, 95, 600, 20_000)] == ["2.5 s", "95 s", "10 min", "5.6 h"]
    assert [size(b) for b in (12_300, 340e6, 9.2e9)] == ["0.0123 MB", "340 MB", "9.2 GB"]
    found = [Finding("fine", "a", ""), Finding("fail", "b", ""), Finding("open", "c", ""), Finding("fine", "d", "")]
    assert summary(found) == "2 fine, 0 to look at, 1 would fail, 1 not measured"
