"""The examples of docs/tasks.md are what the library gives."""

import re

import numpy as np
import yaml

from remot.commands.data.sources import data_from
from remot.data.annotations.native.reader import NativeReader
from remot.data.clips.bundled import clips_root
from remot.data.tasks import Task, TemporalGrounding
from remot.evaluation.perception import IterativePerception
from tests.data.made import task_prompts
from tests.helpers import PROJECT

PAGE = (PROJECT / "docs" / "tasks.md").read_text()


def blocks(language=""):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [text for name, text in fenced if name == language]


def test_the_example_is_a_prompt():
    clips = list(NativeReader().read(clips_root("embedded/tasks")))
    task = TemporalGrounding()
    dataset = task_prompts(task, clips, "train", 64)
    question = dataset.question(0, *dataset.plan(0), (1, 1))
    assert f"{question.text}\n" in blocks()
    assert f"{question.response}\n" in blocks()


def test_the_configuration_builds():
    content = yaml.safe_load(blocks("yaml")[0])
    data = data_from(content["data"] | {"root": content["root"], "num_train_prompts_per_epoch": 9, "batch_size": 3})
    data.setup()
    assert data.prompts["train"].counts() == {"temporal_grounding": 3, "multiple_choice": 3, "motion_contrast": 3}


def test_the_perception_of_the_page_is_the_default():
    (content,) = [held for held in map(yaml.safe_load, blocks("yaml")) if "model" in held]
    assert IterativePerception(**content["model"]["evaluation"]["perception"]) == IterativePerception()


def test_the_task_of_ones_own_asks():
    held = {}
    exec(compile(blocks("python")[0], "docs/tasks.md", "exec"), held)
    task = held["CountEvents"](4)
    assert isinstance(task, Task)
    clip = next(clip for clip in NativeReader().read(clips_root("embedded/tasks")) if task.serves(clip))
    plan = task.plan(clip, np.random.default_rng(0))
    assert plan.reference.number == len(clip.events)
    assert plan.response((1, 1)) == f"<think></think><answer>{len(clip.events)}</answer>"


def test_every_class_is_documented():
    import remot.data.tasks as tasks

    own = [name for name in tasks.__all__ if isinstance(getattr(tasks, name), type)]
    listed = [name for name in own if getattr(tasks, name).__module__.count(".") == 3 and name not in FRAMEWORK]
    assert [name for name in listed if f"`{name}`" not in PAGE and f".{name}" not in PAGE] == []


FRAMEWORK = {"ImageEdit", "Task", "TaskPlan", "TaskDataset", "FrameSampling", "MixedDataset"}
