"""Whole runs of the command line with injected faults: kills, signals, dead workers, second owners, sweeps, SLURM.

Each test prints a row "injected → survived"; ``pytest tests/faults -m slow -s`` prints the table.
"""

import os
import random
import re
import signal
import sqlite3
import time
from pathlib import Path

import pytest
import torch

from remot.strategies.checkpoint_io import read_checkpoint
from tests.data.handmade import mixed_clips, write_folder
from tests.faults.runs import Run, finish, kill_and_go_on, words
from tests.faults.table import row

pytestmark = pytest.mark.slow

STRATEGIES = ("SFT", "GRPO", "SFTThenGRPO", "AlternatingSFTGRPO")


@pytest.fixture
def workplace(tmp_path):
    import mlflow  # noqa: F401 (imported once for all processes)

    write_folder(tmp_path / "clips", mixed_clips(4))
    return tmp_path


def adapter(folder):
    from safetensors.torch import load_file

    (file,) = folder.glob("runs/*/*/adapter/adapter_model.safetensors")
    return load_file(file)


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def last_step(folder):
    (file,) = folder.glob("runs/*/*/last.ckpt")
    return read_checkpoint(file)["global_step"]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_kills_cost_nothing_that_was_saved(workplace, strategy, workers):
    """Seven kills each of eight kinds of runs, 56 in all; weights as if there had been none, bit for bit."""
    schedule = {"model.strategy.sft_steps": 8} if strategy == "SFTThenGRPO" else {}
    settings = {"model.strategy": strategy, "data.num_workers": workers, "trainer.max_steps": 24} | schedule
    plain = workplace / "plain"
    plain.mkdir()
    (plain / "clips").symlink_to(workplace / "clips")
    code, text = finish(plain, **settings)
    assert code == 0, text
    injected = kill_and_go_on(workplace, random.Random(7), 7, **settings)
    assert_same(adapter(workplace), adapter(plain))
    row(f"SIGKILL, {strategy}, {workers} workers", injected, injected)
    assert injected >= 4


def with_reward(text):
    """Puts a module ``userrew`` with a reward ``R`` where the run finds it."""

    def prepare():
        import sys

        Path("userrew.py").write_text(
            "import os, signal, time, torch\nfrom remot.rewards import Reward\n"
            "from remot.structures import RewardOutput\nclass R(Reward):\n    name = 'r'\n    calls = 0\n"
            "    def __call__(self, completions, questions):\n        R.calls += 1\n"
            f"        if R.calls == 3:\n            {text}\n"
            "        total = torch.tensor([float(len(c) % 5) for c in completions])\n"
            "        return RewardOutput(total, {'r': total}, total > 2)\n"
        )
        sys.path.insert(0, ".")

    return prepare


SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
WITH_MLFLOW = {
    "trainer.logger": None,
    "trainer.logger.init_args.experiment_name": "faults",
}


def statuses(folder):
    """Status of each run of the store, read without MLflow."""
    with sqlite3.connect(folder / "mlflow.db") as store:
        return [status for (status,) in store.execute("select status from runs")]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_signals_save_and_close(workplace, number):
    """In a rollout (any moment of a step), in a reward that hangs, and in the evaluation of the base model."""
    survived = 0
    moments = {
        "step": ({"trainer.max_steps": 500, "model.strategy": "GRPO"}, "GRPO 2/", lambda: None),
        "hang": (
            {"model.strategy": "GRPO", "model.grpo.reward": "userrew.R"},
            "GRPO 2/",
            with_reward("time.sleep(600)"),
        ),
        "evaluation": ({"held_out.enabled": "true", "data.num_test_prompts": 4000}, "weights:", lambda: None),
    }
    for name, (settings, marker, prepare) in moments.items():
        folder = workplace / name
        folder.mkdir()
        (folder / "clips").symlink_to(workplace / "clips")
        run = Run(folder, words("fit", **WITH_MLFLOW, **settings), prepare=prepare).wait_for(marker)
        time.sleep(1.0 if name == "hang" else 0.5)
        started = time.monotonic()
        code = run.send(number).end()
        assert code == 128 + number, (name, code, run.text())
        assert time.monotonic() - started < 30, (name, run.text())
        assert statuses(folder) == ["KILLED"], name
        if name != "evaluation":
            assert last_step(folder) >= 2
            assert "Stopped after step" in run.text()
            assert finish(folder, "--ckpt_path", "last", **WITH_MLFLOW, **settings | {"trainer.max_steps": 3})[0] in (
                0,
                2,
            )
        survived += 1
    row(number.name, len(moments), survived)


@pytest.mark.timeout(600)
def test_errors_save_the_step_before(workplace):
    """A reward that raises, one that takes all memory, a killed data worker: one sentence, and the run goes on."""
    faults = {
        "reward raises": (
            {"model.grpo.reward": "userrew.R"},
            with_reward("raise KeyError('no such word')"),
            "no such word",
        ),
        "out of memory": ({"model.grpo.reward": "userrew.R"}, with_reward("raise MemoryError()"), "memory ran out"),
    }
    survived = 0
    for name, (settings, prepare, sentence) in faults.items():
        folder = workplace / name.replace(" ", "-")
        folder.mkdir()
        (folder / "clips").symlink_to(workplace / "clips")
        run = Run(folder, words("fit", **{"model.strategy": "GRPO"} | settings), prepare=prepare)
        code = run.end()
        assert code not in (0, 70), name
        assert sentence in run.text()
        assert "Stopped after step 2 and saved" in run.text()
        assert last_step(folder) == 2
        survived += 1
    row("errors in a step", len(faults), survived)


@pytest.mark.timeout(600)
def test_a_killed_worker_ends_the_run_in_one_sentence(workplace):
    run = Run(workplace, words("fit", **{"data.num_workers": 2, "trainer.max_steps": 500, "model.strategy": "SFT"}))
    run.wait_for("SFT 3/")
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    workers = [int(one) for one in children]
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    code = run.end()
    assert code == 2, run.text()
    assert "remot: a data worker has ended" in run.text()
    assert re.search(r"Stopped after step \d+ and saved", run.text())
    assert last_step(workplace) >= 3
    row("killed worker", 1, 1)


@pytest.mark.timeout(600)
def test_a_second_owner_is_refused_and_four_at_once_are_four_runs(workplace):
    settings = {"model.strategy": "SFT", "trainer.max_steps": 500}
    first = Run(workplace, words("fit", **settings)).wait_for("SFT 2/")
    code, text = finish(workplace, "--ckpt_path", "last", **settings)
    assert code == 2
    assert f"process {first.pid} on" in text
    first.send(signal.SIGTERM)
    assert first.end() == 143
    sweep = workplace / "sweep"
    sweep.mkdir()
    (sweep / "clips").symlink_to(workplace / "clips")
    settings = {"model.strategy": "SFT", "trainer.max_steps": 2} | WITH_MLFLOW
    runs = [Run(sweep, words("fit", **settings)) for _ in range(4)]
    assert [run.end() for run in runs] == [0, 0, 0, 0], [run.text() for run in runs]
    assert len(list(sweep.glob("runs/*/*/last.ckpt"))) == 4
    assert statuses(sweep) == ["FINISHED"] * 4
    row("second owner, sweep of four", 5, 5)


@pytest.mark.timeout(600)
def test_a_job_that_slurm_queues_again_goes_on_in_the_same_run(workplace):
    """With SLURM's variables and a stand-in for scontrol: one folder, one MLflow run, the weights of one run."""
    tools = workplace / "bin"
    tools.mkdir()
    (tools / "scontrol").write_text('#!/bin/sh\necho "$@" >> requeued.txt\n')
    (tools / "scontrol").chmod(0o755)
    slurm = {
        "PATH": f"{tools}:{os.environ['PATH']}", "SLURM_JOB_ID": "9", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train",
        "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "localhost",
    }  # fmt: skip
    settings = {"model.strategy": "SFT", "trainer.max_steps": 60} | WITH_MLFLOW
    run = Run(workplace, words("fit", **settings), slurm).wait_for("SFT 3/").send(signal.SIGUSR1)
    while not (workplace / "requeued.txt").exists():
        assert time.monotonic() - run.started < 60, run.text()
        time.sleep(0.05)
    assert (workplace / "requeued.txt").read_text() == "requeue 9\n"
    run.send(signal.SIGKILL).end()
    assert not list(workplace.glob("hpc_ckpt*"))
    step = last_step(workplace)
    code, text = finish(workplace, environment=slurm | {"SLURM_RESTART_COUNT": "1"}, **settings)
    assert code == 0, text
    assert f"(step {step})" in text
    assert len(list(workplace.glob("runs/*/*"))) == 1
    assert statuses(workplace) == ["FINISHED"]
    row("SLURM requeue", 1, 1)


@pytest.mark.timeout(600)
def test_a_run_without_its_store_is_delivered_later(workplace):
    """Refused by default; begun and continued offline; then one run in another store, each point once."""
    dead = WITH_MLFLOW | {"model.strategy": "SFT", "trainer.logger.init_args.tracking_uri": "http://127.0.0.1:9"}
    code, text = finish(workplace, **dead)
    assert code == 2
    assert "--offline" in text
    code, text = finish(workplace, "--offline", **dead)
    assert code == 0, text
    assert "remot sync runs/faults/SFT-seed0-" in text
    code, text = finish(workplace, "--offline", "--ckpt_path", "last", **dead | {"trainer.max_steps": 6})
    assert code == 0, text
    delivery = Run(workplace, ["sync", "runs", "--tracking_uri", "sqlite:///mlflow.db"])
    assert delivery.end() == 0, delivery.text()
    assert statuses(workplace) == ["FINISHED"]
    with sqlite3.connect(workplace / "mlflow.db") as store:
        steps = store.execute("select step from metrics where key = 'train/loss' order by step").fetchall()
    assert steps == [(step,) for step in range(6)]
    row("begun without the store", 2, 2)
