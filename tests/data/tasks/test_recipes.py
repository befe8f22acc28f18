"""The files under ``configs/tasks`` ask about the embedded clips, and reward every task that they name."""

import numpy as np
import pytest
import yaml

from remot.commands.data.sources import read_data
from remot.data.annotations import NativeReader
from remot.data.clips.bundled import clips_root
from tests.helpers import PROJECT

RECIPES = sorted((PROJECT / "configs" / "tasks").glob("*.yaml"))


@pytest.fixture(scope="module")
def clips():
    return list(NativeReader().read(clips_root("embedded/tasks")))


def test_there_are_recipes():
    assert [path.stem for path in RECIPES] == ["referring", "views"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_task_is_rewarded_and_finds_something_to_ask(path, clips):
    content = yaml.safe_load(path.read_text())
    reward = content["model"]["grpo"]["reward"]["init_args"]
    data = read_data(path, None)
    assert {task.name for task in data.tasks} == {*reward["tasks"], *reward["same_as"]}
    generator = np.random.default_rng(0)
    for task in data.tasks:
        served = [clip for clip in clips if task.serves(clip)]
        assert any(task.plan(clip, generator) for clip in served), task.name
