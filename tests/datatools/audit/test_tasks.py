"""The audit of a run with tasks: through the command, with broken tasks, tasks of one's own and splits that leak."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from remot.cli import main
from remot.commands.data.audit import EXIT_UNFIT
from remot.commands.data.sources import data_from
from remot.data.annotations import NativeReader
from remot.data.annotations.native.reader import write_clip
from remot.data.clips.bundled import clips_root
from remot.data.media import read_frames
from remot.data.tasks import (
    AbsoluteDistance,
    EventChoice,
    FrameSampling,
    MotionContrast,
    RelativeDirection,
    Task,
    TaskPlan,
    TemporalGrounding,
)
from remot.datatools.audit import audit_data
from remot.errors import ConfigError
from remot.structures import Reference
from tests.data.made import data_module


class CountEvents(Task):
    """A third-party task with wrong answers, for which the audit has no checker."""

    name, needs = "count_events", "events"

    def serves(self, clip):
        return bool(clip.events)

    def plan(self, clip, generator):
        if generator.random() < 0.25:
            return None
        return TaskPlan(FrameSampling().frames_of(clip), "How many?", Reference(number=99.0), answer="99")


def data_with(*tasks, **settings):

    return data_module("embedded/tasks", tasks=list(tasks), **settings)


@pytest.fixture
def config(tmp_path):
    def written(*classes):
        tasks = [{"class_path": name if "." in name else f"remot.data.tasks.{name}"} for name in classes]
        file = tmp_path / "run.yaml"
        file.write_text(yaml.safe_dump({"root": "embedded/tasks", "data": {"tasks": tasks}}))
        return str(file)

    return written


def run(capsys, *words):
    status = 0
    try:
        main(["data", "audit", *words])
    except SystemExit as stop:
        status = stop.code
    return status, capsys.readouterr()


def test_the_command_prints_a_record(config, capsys):
    status, printed = run(
        capsys,
        "--config",
        config("TemporalGrounding", "ObjectSize", "MotionContrast"),
        "--num_triplets",
        "60",
        "--format",
        "json",
    )
    record = json.loads(printed.out)
    assert status == 0
    assert (record["checked_prompts"], record["wrong_prompts"], record["not_checked_prompts"]) == (60, 0, 0)
    grounding, size, triplets = record["tasks"]
    assert [task["task"] for task in record["tasks"]] == ["temporal_grounding", "object_size", "motion_contrast"]
    assert [task["num_prompts"] for task in record["tasks"]] == [20, 20, 20]
    assert (grounding["clips"], grounding["clips_with_what_it_needs"], grounding["needs"]) == (
        63,  # 90 scenes less 10 and 17
        42,
        "events with times",
    )
    assert grounding["refusals"] == {"asked": 42}
    assert size["refusals"]["several, or not clearly seen"] > 0
    assert size["quantiles"] == sorted(size["quantiles"])
    assert grounding["guesses"][0]["measure"] == "overlap"
    assert triplets["guesses"][0]["blind_models"].keys() >= {"majority_letter", "known_law"}
    assert triplets["guesses"][0]["chance"] == pytest.approx(1 / 3)
    assert 0 < triplets["guesses"][0]["blind_score"] < 1
    assert record["num_scenes"].keys() == {"train", "val", "test"}
    assert record["scenes_in_two_splits"] == []


@pytest.mark.slow
def test_the_command_prints_a_table(config, capsys):
    status, printed = run(capsys, "--config", config("EventChoice", "ImageQuality"), "--num_triplets", "24")
    assert status == 0
    for words in (
        "multiple_choice",
        "12 prompts, 12 checked, 0 wrong",
        "right by chance",
        "without images, likely_option",
    ):
        assert words in printed.out
    assert "nothing clear in what was drawn" in printed.out


def test_a_broken_task_is_found_and_sets_the_exit_status(config, capsys, monkeypatch):
    """Every event is half a second late, in reference and response alike."""
    plan = TemporalGrounding.plan

    def late(self, clip, generator):
        right = plan(self, clip, generator)
        ((start, end),) = right.reference.intervals
        moved = Reference(intervals=((start + 0.5, end + 0.5),))
        return replace(right, reference=moved, answer=f"{start + 0.5:.2f} to {end + 0.5:.2f}")

    monkeypatch.setattr(TemporalGrounding, "plan", late)
    words = "--config", config("TemporalGrounding", "EventChoice"), "--num_triplets", "20", "--format", "json"
    status, printed = run(capsys, *words)
    record = json.loads(printed.out)
    assert status == EXIT_UNFIT
    assert [task["wrong_prompts"] for task in record["tasks"]] == [10, 0]
    assert record["tasks"][0]["wrong_examples"][0].startswith("train/0/")
    assert "10 prompts of temporal_grounding are wrong, such as train/0/" in printed.err


def test_a_task_of_ones_own_is_not_checked_and_never_right():
    audit = audit_data(data_with(CountEvents(), TemporalGrounding()), 20)
    own, grounding = audit.tasks
    assert (own.num_prompts, own.num_checked, own.num_wrong) == (10, 0, 0)
    assert (grounding.num_prompts, grounding.num_checked) == (10, 10)
    assert audit.record()["not_checked_prompts"] == 10
    assert own.answers == {"99": 10}
    refusals = own.clips.refusals
    assert refusals["nothing clear in what was drawn"] + refusals["asked"] == own.clips.num_serving
    assert refusals["nothing clear in what was drawn"] > 0


@pytest.mark.slow
def test_what_is_derived_from_a_task_of_the_library_is_not_checked():
    class Shifted(TemporalGrounding):
        pass

    (figures,) = audit_data(data_with(Shifted()), 4).tasks
    assert (figures.num_checked, figures.num_wrong) == (0, 0)


@pytest.mark.slow
def test_a_task_named_twice_has_two_rows_and_its_own_settings():
    strict = RelativeDirection("easy", margin_degrees=30)
    audit = audit_data(data_with(RelativeDirection("easy"), strict), 12)
    assert [task.name for task in audit.tasks] == ["relative_direction_easy", "relative_direction_easy 2"]
    first, second = (task.clips.refusals["between two directions"] for task in audit.tasks)
    assert first < second


def test_prompts_are_those_of_the_run():
    data = data_with(EventChoice(), TemporalGrounding())
    data.setup()
    mixed = data.mixed["train"]
    placed = [mixed.part(address) for address in range(8)]
    assert sorted((part.task_index, turn) for part, turn in placed) == [
        (k, turn) for k in range(2) for turn in range(4)
    ]
    for address, (part, within) in enumerate(placed):
        clip, plan = part.plan(within)
        sample = mixed[address]
        expected = part.task.name, plan.text, clip.clip_id
        assert (sample.question.task, sample.question.text, sample.clip_id) == expected
        assert sample.question.prompt_id == mixed.prompt_id(address)


def test_leaks_between_splits_are_found(tmp_path):
    """Each clip comes twice, with scenes of their own: the same images are in two splits."""
    clips = [clip for clip in NativeReader().read(clips_root("embedded/tasks")) if clip.domain == "happenings"][:8]
    for clip in clips:
        frames = np.stack([frame.permute(1, 2, 0).numpy() for frame in read_frames(clip, range(clip.num_frames))])
        for number in range(2):
            name = f"{clip.clip_id}-{number}"
            copy = replace(clip, clip_id=name, scene_id=name)
            write_clip(copy, frames, tmp_path, fps=8, source="copied", licence="none")
    data = data_from({"root": str(tmp_path), "tasks": [{"class_path": "remot.data.tasks.TemporalGrounding"}]})
    audit = audit_data(data, 4)
    assert len(audit.overlap.duplicates) > 3
    assert any("the same in two splits" in fault for fault in audit.faults)


@pytest.mark.slow
def test_another_split_and_mistakes():
    data = data_with(AbsoluteDistance())
    audit = audit_data(data, 6, "test")
    assert (audit.split, audit.num_prompts, audit.faults) == ("test", 6, [])
    for number, split in ((0, "train"), (5, "tset")):
        with pytest.raises(ConfigError, match="train, val, test"):
            audit_data(data, number, split)


def test_triplets_among_tasks_are_checked(monkeypatch):
    """The experts' words left and right are exchanged; the labels of the triplets are wrong then."""
    from remot.data.experts import ObjectHorizontal

    data = data_with(MotionContrast([ObjectHorizontal()]), TemporalGrounding())
    assert audit_data(data, 12).faults == []
    judge = ObjectHorizontal.judge

    def mirrored(self, clip, frames):
        return {
            name: replace(one, codes=np.where(np.abs(one.codes) == 1, -one.codes, one.codes))
            for name, one in judge(self, clip, frames).items()
        }

    monkeypatch.setattr(ObjectHorizontal, "judge", mirrored)
    (triplets, grounding) = audit_data(data_with(MotionContrast([ObjectHorizontal()]), TemporalGrounding()), 12).tasks
    assert triplets.wrong
    assert not grounding.wrong
