"""Every prompt is worked out a second time, from its words and from the annotation files alone."""

import json
import re

import numpy as np
import pytest

from remot.data.annotations.native.reader import NativeReader
from remot.data.clips.bundled import clips_root
from remot.data.tasks import (
    Detection,
    EventCaption,
    EventChoice,
    GroundedEventChoice,
    ImageGroundedChoice,
    ObjectTracking,
    TemporalGrounding,
    TemporalGroundingSpans,
)
from tests.data.made import task_prompts

ROOT = clips_root("embedded/tasks")
NUM_PROMPTS = 150
SIDE = 128


@pytest.fixture(scope="module")
def clips():
    return list(NativeReader().read(ROOT))


def prompts(task, clips):
    """Prompts with what the file of their clip says."""
    dataset = task_prompts(task, clips, "truth", NUM_PROMPTS)
    for address in range(NUM_PROMPTS):
        clip, plan = dataset.plan(address)
        yield plan, json.loads((ROOT / f"{clip.clip_id}.json").read_text())


def times(file):
    """Stretches of each text, in seconds."""
    found = {}
    for event in file["events"]:
        found.setdefault(event["text"], []).append((event["start_seconds"], event["end_seconds"]))
    return found


def options_of(plan):
    return dict(re.findall(r"^([A-H])\. (.*)$", plan.text, flags=re.MULTILINE))


def close(one, other, tolerance=0.0051):
    return np.allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize("task", [TemporalGrounding(), TemporalGroundingSpans()], ids=lambda task: task.name)
def test_stretches_of_time(task, clips):
    for plan, file in prompts(task, clips):
        (asked,) = [text for text in times(file) if text in plan.text.split("\n")[0]]
        assert close(plan.reference.intervals, sorted(times(file)[asked]))
        written = [float(number) for number in re.findall(r"\d+\.\d\d", plan.answer)]
        assert close(written, np.ravel(sorted(times(file)[asked])))


@pytest.mark.parametrize("task", [EventChoice(), GroundedEventChoice()], ids=lambda task: task.name)
def test_choices_between_events(task, clips):
    """Of the options, which all happen, exactly one is true of the question, and it is the one that is said to be."""
    seen = set()
    for plan, file in prompts(task, clips):
        stretches, options = times(file), options_of(plan)
        question = plan.text.split("\n")[0]
        assert len(set(options.values())) == len(options) >= 2
        starts = {letter: stretches[text][0][0] for letter, text in options.items()}
        if "between" in question or "from second" in question:
            start, end = map(float, re.findall(r"\d+\.\d\d", question))
            right = [
                k for k, text in options.items() if any(a < end - 0.01 and start + 0.01 < b for a, b in stretches[text])
            ]
            kind = "during"
        elif "first" in question or "before the others" in question:
            right, kind = [min(starts, key=starts.get)], "first"
        elif "last" in question or "after the others" in question:
            right, kind = [max(starts, key=starts.get)], "last"
        else:
            (given,) = [text for text in stretches if text in question]
            later = {k: start for k, start in starts.items() if start >= stretches[given][0][1]}
            right, kind = [min(later, key=later.get)], "after"
        assert right == [plan.reference.answer]
        if plan.reference.intervals is not None:
            assert close(plan.reference.intervals, stretches[options[right[0]]])
        seen.add(kind)
    assert seen == set(task.kinds)


def test_captions(clips):
    for plan, file in prompts(EventCaption(), clips):
        ordered = [text for text, _ in sorted(times(file).items(), key=lambda held: min(held[1]))]
        assert list(plan.reference.events) == ordered


def test_boxes_of_tracks(clips):
    for plan, file in prompts(ObjectTracking(), clips):
        (name,) = [name for name in file["objects"] if f"the {name} " in plan.text or f"the {name}," in plan.text]
        boxes = [file["objects"][name]["boxes_xyxy"][frame] for frame in (*plan.frame_indices, plan.frame_indices[-1])]
        assert close(plan.reference.boxes, np.clip(np.array(boxes) / SIDE, 0, 1), 0.00051)


def test_boxes_of_images(clips):
    for plan, file in prompts(Detection(), clips):
        (name,) = [name for name in file["objects"] if f"the {name} " in plan.text]
        (frame,) = plan.frame_indices
        assert close(plan.reference.boxes, [np.array(file["objects"][name]["boxes_xyxy"][frame]) / SIDE], 0.00051)


def test_what_is_farthest(clips):
    directions = {"left": (0, -1), "right": (0, 1), "highest": (1, -1), "lowest": (1, 1)}
    for plan, file in prompts(ImageGroundedChoice(), clips):
        (frame,) = plan.frame_indices
        (axis, sign) = next(held for word, held in directions.items() if word in plan.text.split("\n")[0])
        boxes = {text: np.array(file["objects"][text]["boxes_xyxy"][frame]) for text in options_of(plan).values()}
        farthest = max(boxes, key=lambda text: sign * (boxes[text][axis] + boxes[text][axis + 2]))
        assert options_of(plan)[plan.reference.answer] == farthest
        assert close(plan.reference.boxes, [boxes[farthest] / SIDE], 0.00051)
