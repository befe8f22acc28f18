"""Two processes with half the prompts each hold the conversations that one holds with all, and take its step."""

import warnings

import pytest

from remot.environments import TurnSettings
from remot.strategies import GRPO
from remot.strategies.grpo.dynamic_sampling import DynamicSampling
from tests.devices.launch import in_two_processes
from tests.devices.runs import Case, run
from tests.devices.test_two_processes import assert_reached, plain
from tests.rollout.test_turns import Shows
from tests.strategies.test_module import is_result
from tests.tiny import model_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


def case(folder):
    """Groups without a difference are left out; images are shown in turns of some completions."""
    turns = TurnSettings(Shows(), max_turns=3, max_images=3)
    return Case(folder, strategy=GRPO(), grpo={"turns": turns, "dynamic_sampling": DynamicSampling()})


def work(rank, arguments):  # noqa: ARG001 - the processes find out who they are
    warnings.simplefilter("ignore")
    model, folder = arguments
    return plain(run(case(model), folder, strategy="ddp", devices=2))[0]


def test_two_processes_take_the_step_of_one(tmp_path):
    folder = str(model_folder())
    wanted = run(case(folder), tmp_path)
    for found in in_two_processes(work, (folder, tmp_path)):
        assert_reached(found["weights"], wanted["weights"], case(folder))
        for step, wanted_step in zip(found["logged"], wanted["logged"], strict=True):
            assert step.keys() == wanted_step.keys()
            turns = {key: value for key, value in wanted_step.items() if "turns/" in key or "reward" in key}
            assert {key: step[key] for key in turns if is_result(key)} == pytest.approx(turns, rel=1e-5, nan_ok=True)
        assert wanted["logged"][0]["train/turns/num_turns"] > 1
