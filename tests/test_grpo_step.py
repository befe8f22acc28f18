"""The benchmark against TRL, as far as it goes without TRL: this library's side counts what it is said to count."""

import importlib
import json
import os
import re
import subprocess
import sys

import pytest
import torch

from tests.helpers import PROJECT

ROOT = PROJECT
SCRIPT = ROOT / "benchmarks" / "grpo_step.py"
SMALL = ("--points", "lora:2:64:3", "--repeats", "1", "--sides", "remot")


def run_benchmark(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)


def assert_counted(told):
    assert re.search(r"\b1 vision passes, 1 preprocessing runs", told)
    assert set(re.findall(r"(policy|reference|rollout) [0-9.]+", told)) == {"policy", "reference", "rollout"}


@pytest.fixture
def benchmark(monkeypatch):
    """The script as a module whose sides run in this process."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    script = importlib.import_module(SCRIPT.stem)
    num_threads = torch.get_num_threads()

    def run(side, point, folder):
        script._run_side(side, point, folder)
        file = folder / f"{side}.json"
        return json.loads(file.read_text()) | {"sampled_peak_mib": 0.0} if file.exists() else {}

    monkeypatch.setattr(script, "_in_fresh_process", run)
    yield script
    torch.set_num_threads(num_threads)
    for name in [name for name in sys.modules if name.split(".")[0] in {SCRIPT.stem, "grpo"}]:
        del sys.modules[name]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Lightning's, about loaders
@pytest.mark.slow
def test_one_vision_pass_and_one_preprocessing_run(benchmark, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    benchmark.main(SMALL)
    assert_counted(capsys.readouterr().out)


@pytest.mark.slow  # the same, with three processes
def test_a_side_runs_in_a_process_of_its_own():
    done = run_benchmark(*SMALL)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_counted(done.stdout)


def test_a_point_that_is_none_is_refused(benchmark):
    with pytest.raises(SystemExit, match="setting:G:side:tokens"):
        benchmark.main(("--points", "lora:8:448", "--sides", "remot"))
