"""The benchmark against TRL, as far as it goes without TRL: this library's side counts what it is said to count."""

import os
import re
import subprocess
import sys

from tests.helpers import PROJECT

ROOT = PROJECT
SCRIPT = ROOT / "benchmarks" / "grpo_step.py"


def run_benchmark(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)


def test_one_vision_pass_and_one_preprocessing_run():
    done = run_benchmark("--points", "lora:2:64:3", "--repeats", "1", "--sides", "remot")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "1 vision passes, 1 preprocessing runs a picture" in done.stdout
    phases = dict(re.findall(r"(policy|reference|rollout) ([0-9.]+)", done.stdout))
    assert set(phases) == {"policy", "reference", "rollout"}


def test_a_point_that_is_none_is_refused():
    done = run_benchmark("--points", "lora:8:448", "--sides", "remot")
    assert done.returncode != 0
    assert "setting:G:side:tokens" in done.stderr
