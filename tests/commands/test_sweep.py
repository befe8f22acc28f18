"""Sweeps: what a file means, which runs are left to do, and that failures and signals are handled run by run."""

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from remot.cli import main
from remot.commands.sweep.command import sweep_command
from remot.commands.sweep.file import find_sweep, read_sweep
from remot.commands.sweep.members import FINISHED, INTERRUPTED, NOT_STARTED, RUNNING, Member, Progress, progress_of
from remot.commands.sweep.runner import THREADS, Runner, fit_command, last_line
from remot.commands.training.run_folder import FolderLock
from remot.errors import ConfigError
from remot.tracking import write_run_file
from tests.helpers import PROJECT

SWEEPS = sorted((PROJECT / "configs" / "sweeps").glob("*.yaml"))
BASE = "config: configs/quickstart.yaml\n"


def written(folder, text, name="my sweep.yaml"):
    file = folder / name
    file.write_text(BASE + text)
    return file


def test_a_grid_by_hand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = """
set: {trainer.max_steps: 3}
grid:
  model.optimizer.init_args.lr: [1.0e-3, 0.1]
  answers:
    short: {model.grpo.max_new_tokens: 8, model.strategy: GRPO}
    long: {}
seeds: [4, 7]
"""
    sweep = read_sweep(written(tmp_path, text))
    assert (sweep.name, sweep.seeds) == ("my-sweep", (4, 7))
    assert [cell.name for cell in sweep.cells] == [
        "lr=0.001,answers=short",
        "lr=0.001,answers=long",
        "lr=0.1,answers=short",
        "lr=0.1,answers=long",
    ]
    words = sweep.arguments(sweep.cells[2], 7, ["data.batch_size=2"])
    assert words == [
        "--config",
        str(PROJECT / "configs" / "quickstart.yaml"),
        "--trainer.max_steps=3",
        "--model.optimizer.init_args.lr=0.1",
        "--model.grpo.max_new_tokens=8",
        "--model.strategy=GRPO",
        "--data.batch_size=2",
        "--seed_everything=7",
    ]


def test_a_level_may_be_a_file_on_top(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = read_sweep(written(tmp_path, "grid: {reward: {plain: {}, sage: {config: configs/rewards/sage.yaml}}}"))
    assert sweep.arguments(sweep.cells[1], 0)[2:4] == ["--config", str(PROJECT / "configs/rewards/sage.yaml")]


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("gird: {}", "'gird', did you mean 'grid'"),
        ("grid: {logic: {on: {}, off: {}}}", r"grid\.logic.*quote"),
        ("grid: {lr: [1, 1]}", r"grid\.lr"),
        ("grid: {lr: 1}", r"grid\.lr is 1"),
        ("grid: [1]", "grid holds"),
        ("seeds: 3", "seeds is 3"),
        ("seeds: [1, 1]", "each seed once"),
        ("set: [a]", "set holds"),
        ("grid: {" + ", ".join(f"k{k}: [1, 2]" for k in range(11)) + "}", "more than 1000"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, text, fact):
    with pytest.raises(ConfigError, match=fact) as raised:
        read_sweep(written(tmp_path, text))
    assert "my sweep.yaml" in str(raised.value)


def test_a_sweep_needs_a_base(tmp_path):
    (tmp_path / "a.yaml").write_text("seeds: [0]\n")
    with pytest.raises(ConfigError, match="config names the base"):
        read_sweep(tmp_path / "a.yaml")


def test_a_misspelt_setting_names_the_cell_and_the_nearest_key(tmp_path, capsys):
    file = written(tmp_path, "grid: {model.optimizer.init_args.lr: [0.1], data.batch_sice: [2]}")
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", str(file), "--dry_run"])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert "lr=0.1,batch_sice=2" in err
    assert "data.batch_size" in err


def test_sweeps_are_found_by_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = PROJECT / "configs" / "sweeps" / "strategies.yaml"
    for name in ("strategies", "strategies.yaml", "sweeps/strategies.yaml", "configs/sweeps/strategies.yaml"):
        assert find_sweep(name).resolve() == wanted
    own = written(tmp_path, "", "strategies.yaml")
    assert find_sweep("strategies.yaml").resolve() == own
    with pytest.raises(ConfigError, match="no packaged sweep"):
        find_sweep("strategy")


def test_the_ablations_are_there():
    assert {"strategies", "pairs_or_triplets", "logic_reward", "data_scaling", "dual_tuning", "small"} <= {
        path.stem for path in SWEEPS
    }


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=() if path.stem == "small" else pytest.mark.slow) for path in SWEEPS],
)
def test_committed_sweeps_can_be_run(path, tmp_path, monkeypatch, capsys):
    """Every setting of every cell is one of ``remot fit``; nothing is started."""
    monkeypatch.chdir(tmp_path)
    sweep_command(str(path), dry_run=True, seeds=[5])
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == f"{len(lines)} runs of sweep {path.stem}, {len(lines)} to do"
    assert len(lines) == len(read_sweep(path).cells) > 1
    assert all(line.endswith("seed 5: not started") for line in lines)
    assert list(tmp_path.iterdir()) == []
    assert f"remot sweep {path.stem}" in path.read_text()


# -- how far a run has come ------------------------------------------------------------------------------------------


def member(name, runs, **tags):
    return Member(name, ("--a",), {"remot.sweep": "s", "remot.cell": name, **tags}, runs)


def run_of(one, folder, state, *, checkpoint=False):
    path = one.runs / folder
    path.mkdir(parents=True)
    write_run_file(path, {"state": state, "tags": {**one.tags, "more": "x"}})
    if checkpoint:
        (path / "last.ckpt").touch()
    return path


def test_finished_runs_are_skipped_and_interrupted_ones_continued(tmp_path):
    one = member("a", tmp_path / "runs")
    assert progress_of(one) == Progress(NOT_STARTED)
    run_of(one, "killed before the first step", "interrupted")
    run_of(member("b", one.runs), "of another cell", "finished")
    assert progress_of(one) == Progress(NOT_STARTED)
    stopped = run_of(one, "stopped", "failed", checkpoint=True)
    found = progress_of(one)
    assert (found, found.checkpoint) == (Progress(INTERRUPTED, stopped), stopped / "last.ckpt")
    assert fit_command(one, found)[-2:] == ["--a", f"--ckpt_path={stopped / 'last.ckpt'}"]
    done = run_of(one, "done", "finished", checkpoint=True)
    assert progress_of(one) == Progress(FINISHED, done)


def test_a_run_of_a_living_process_is_left_alone(tmp_path):
    one = member("a", tmp_path / "runs")
    folder = run_of(one, "now", "running", checkpoint=True)
    lock = FolderLock(folder)
    assert progress_of(one) == Progress(RUNNING, folder)
    lock.release()
    assert progress_of(one) == Progress(INTERRUPTED, folder)


# -- processes -------------------------------------------------------------------------------------------------------


def scripts(by_name):
    """Runs a script in place of ``remot fit``."""
    return lambda one, _: [sys.executable, "-c", by_name[one.name]]


def work(tmp_path, *names):
    return [(member(name, tmp_path / "runs"), Progress(NOT_STARTED)) for name in names]


def test_a_failing_run_is_named_and_the_others_go_on(tmp_path):
    lines = []
    failing = "import sys; print('first'); sys.exit('remot: no such folder\\n')"
    runner = Runner(1, tmp_path / "logs", lines.append, scripts({"a": failing, "b": "print('fine')"}))
    runner.run(work(tmp_path, "a", "b"), num_done=3)
    (failure,) = runner.failures
    assert (failure.member.name, failure.reason) == ("a", "remot: no such folder")
    assert (tmp_path / "logs" / "a.log").read_text().startswith("first")
    assert [line.split(" (")[0] for line in lines] == [
        "[3/5] started: a",
        "[4/5, 1 failed] failed: a",
        "[4/5, 1 failed] started: b",
        "[5/5, 1 failed] finished: b",
    ]


def test_jobs_run_side_by_side_with_their_share_of_the_threads(tmp_path, monkeypatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    script = (
        "import os, time, sys; print(os.environ['OMP_NUM_THREADS'], time.time()); time.sleep(0.5); print(time.time())"
    )
    runner = Runner(2, tmp_path, lambda _: None, scripts(dict.fromkeys("abc", script)))
    runner.run(work(tmp_path, "a", "b", "c"), num_done=0)
    spans = []
    for name in "abc":
        threads, start, end = (tmp_path / f"{name}.log").read_text().split()
        assert int(threads) == max(1, len(os.sched_getaffinity(0)) // 2)
        spans.append((float(start), float(end)))
    first, second, third = spans
    assert max(first[0], second[0]) < min(first[1], second[1])
    assert third[0] > min(first[1], second[1])


def test_threads_that_the_user_chose_stay(tmp_path, monkeypatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    runner = Runner(2, tmp_path, lambda _: None)
    held = runner._environment()
    assert {name: held[name] for name in THREADS if name in held} == {"OMP_NUM_THREADS": "7"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_runs_and_starts_no_other(tmp_path, number):
    """The child saves when it is asked to end, as a run does; the other one is never started."""
    script = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(143)))
print("ready", flush=True)
time.sleep(60)
"""
    before = signal.getsignal(number)
    lines, log = [], tmp_path / "a.log"

    def stop():
        while not (log.exists() and "ready" in log.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(SystemExit) as stopped:
        Runner(1, tmp_path, lines.append, scripts(dict.fromkeys("ab", script))).run(work(tmp_path, "a", "b"), 0)
    thread.join()
    assert stopped.value.code == 128 + number
    assert log.read_text().split() == ["ready", "saved"]
    assert not (tmp_path / "b.log").exists()
    assert lines[-1].startswith("Stopping 1 runs; the same command continues them")
    assert signal.getsignal(number) is before


def test_a_run_ends_when_its_sweep_was_killed(tmp_path):
    script = """
import os, signal, sys, time
from remot import stopping
stopping.POLL_SECONDS = 0.05
signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(143)))
with stopping.follow_launcher():
    print(os.getpid(), stopping.SWEEP in os.environ, flush=True)
    time.sleep(60)
"""
    if (sweep := os.fork()) == 0:
        Runner(1, tmp_path, lambda _: None, scripts({"a": script})).run(work(tmp_path, "a"), 0)
    log = tmp_path / "a.log"
    while not (log.exists() and log.read_text().endswith("\n")):
        time.sleep(0.01)
    pid, is_inherited = log.read_text().split()
    os.kill(sweep, signal.SIGKILL)
    os.waitpid(sweep, 0)
    end = time.monotonic() + 10
    while "saved" not in log.read_text() and time.monotonic() < end:
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.kill(int(pid), signal.SIGKILL)
    assert log.read_text().split()[2:] == ["saved"]
    assert is_inherited == "False"  # what the run starts is none of the sweep


def test_a_run_that_does_not_stop_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("remot.commands.sweep.runner.STOP_SECONDS", 0.3)
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    runner = Runner(1, tmp_path, lambda _: None, scripts({"a": script}))
    runner._start(*work(tmp_path, "a")[0])
    while "ready" not in (tmp_path / "a.log").read_text():
        time.sleep(0.01)
    runner._end_all()
    assert runner._running[0].process.returncode == -signal.SIGKILL


def test_the_last_line_is_printable(tmp_path):
    (tmp_path / "log").write_bytes(b"x" * 10_000 + b"\n\x1b[31mred\xff\n\n")
    assert last_line(tmp_path / "log") == "�[31mred�"


def test_other_arguments_are_refused():
    with pytest.raises(ConfigError, match=r"--jobs 0"):
        sweep_command("small", jobs=0)
    with pytest.raises(ConfigError, match=r"--set max_steps: write KEY=VALUE"):
        sweep_command("small", set=["max_steps"])


# -- the whole -------------------------------------------------------------------------------------------------------

TINY = {
    "trainer.max_steps": 3,
    "data.num_test_prompts": 24,
    "data.batch_size": 4,
    "model.grpo.num_completions": 2,
    "trainer.logger.init_args.tracking_uri": "sqlite:///mlflow.db",
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sweep_is_stopped_continued_and_compared(tmp_path):
    """SIGTERM in the second run: the first is skipped and the second continued; one cell fails, the others do not."""
    import subprocess

    text = f"""
set: {json.dumps(TINY)}
grid:
  model.optimizer.init_args.lr: [1.0e-4, 1.0e-3]
  root:
    embedded: {{}}
    missing: {{root: nowhere}}
seeds: [0]
"""
    written(tmp_path, text, "tiny.yaml")
    command = [sys.executable, "-m", "remot", "sweep", "tiny.yaml", "--html", "tiny.html", "--csv", "tiny.csv"]

    def start(**more):
        return subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
        )

    process = start()
    seen = []
    for line in process.stderr:
        seen.append(line)
        if "started: lr=0.001,root=embedded" in line:
            break
    log = tmp_path / "runs" / "sweeps" / "tiny" / "lr=0.001_root=embedded_seed_0.log"
    while "GRPO 1/3" not in log.read_text():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    assert "saved" in log.read_text()
    process = start()
    out, err = process.communicate()
    assert process.returncode == 2
    assert "continued from" in err
    assert "started: lr=0.0001,root=embedded" not in err
    assert "2 of 4 runs failed" in err
    assert "nowhere" in err
    states = [json.loads(file.read_text()) for file in tmp_path.glob("runs/tiny/*/run.json")]
    assert [one["state"] for one in states].count("finished") == 2
    assert {one["tags"]["remot.sweep"] for one in states} == {"tiny"}
    assert "experiment tiny" in out
    assert (tmp_path / "tiny.html").stat().st_size > 5000
    assert (tmp_path / "tiny_tests.csv").is_file()
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    assert {run.data.tags["remot.cell"] for run in runs} == {"lr=0.0001,root=embedded", "lr=0.001,root=embedded"}
    assert Path(tmp_path / "runs" / "tiny").is_dir()
