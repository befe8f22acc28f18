"""The benchmark of the engine by itself runs, and all its ways to decode give the same tokens."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers import PROJECT

ROOT = PROJECT


@pytest.mark.slow  # what it compares is held by tests of each part
def test_all_ways_to_decode_agree():
    sizes = ["--size", "minimal", "--prompts", "2", "--completions", "3", "--tokens", "6", "--side", "32"]
    command = [sys.executable, str(ROOT / "benchmarks" / "engine.py"), *sizes, "--repeats", "1", "--end-bias", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["decode"]) >= 3
    assert all(numbers["same_tokens"] == 1 for numbers in found["decode"].values())
    assert all(numbers["seconds"] > 0 for numbers in found["decode"].values())
    assert 0 < found["score"]["logprob_gap_mean"] < 1e-5
    assert 1 <= found["mean_tokens"] <= 6
