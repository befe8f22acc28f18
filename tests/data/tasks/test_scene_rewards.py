"""What a task calls right earns its system's full reward, and what it calls wrong does not."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import yaml

from remot.answers import render_response
from remot.commands.score import reward_from
from remot.data.annotations import NativeReader
from remot.data.clips.bundled import clips_root
from remot.data.tasks import (
    AbsoluteDistance,
    AppearanceOrder,
    BoxLocalisation,
    Displacement,
    FrameSampling,
    MotionDirection,
    ObjectCounting,
    ObjectSize,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    TimeInView,
    TrackCounting,
    TrackDirection,
    TrackDistance,
    TrackNearest,
    TrackOrder,
    TrackSize,
)
from remot.structures import Question
from tests.data.made import task_prompts
from tests.helpers import PROJECT, assert_close

SYSTEMS = PROJECT / "configs" / "systems"
WORDINGS = Path(str(files("remot"))) / "assets" / "wordings"
#: Each task and its kind of answer.
ROOMS = [
    (ObjectCounting(), "numerical"),
    (ObjectSize(), "numerical"),
    (RoomSize(), "numerical"),
    (AbsoluteDistance(), "numerical"),
    (RelativeDistance(num_options=2), "multiple_choice"),
    (RelativeDirection("easy"), "multiple_choice"),
    (RelativeDirection("medium"), "multiple_choice"),
    (RelativeDirection("hard"), "multiple_choice"),
    (AppearanceOrder(), "multiple_choice"),
]
TRACKS = [
    (TrackCounting(), "numerical"),
    (TrackDirection(), "multiple_choice"),
    (TrackDistance(), "numerical"),
    (TrackNearest(), "multiple_choice"),
    (MotionDirection(), "multiple_choice"),
    (Displacement(), "numerical"),
    (TrackOrder(num_tracks=3), "multiple_choice"),
    (TimeInView(), "temporal_localisation"),
    (BoxLocalisation(), "tracking"),
    (TrackSize(), "numerical"),
]


@cache
def clips():
    return list(NativeReader().read(clips_root("embedded/tasks")))


@cache
def reward_of(system):
    return reward_from(SYSTEMS / f"{system}.yaml")


def prompts(task, num_prompts=6):
    drawn = task_prompts(task, clips(), "train", num_prompts)
    return [drawn.plan(address) for address in range(num_prompts)]


def scored(system, kind, plan, completion):
    """Total and parts under the reward of a kind of answer."""
    question = Question("q", plan.text, (), "test", "s", task=kind, reference=plan.reference)
    output = reward_of(system).score([completion], [question], None)
    return output.total.item(), {name: part.item() for name, part in output.parts.items()}, output.success.item()


def wrong_answer(plan):
    """Another option, or a number, stretch or box that is far from right."""
    if plan.reference.boxes:
        left, top, right, bottom = plan.reference.boxes[0]
        return (
            str([[1 - right, 1 - bottom, 1 - left, 1 - top]]) if abs(left + right - 1) > 0.3 else "[[0, 0, 0.1, 0.1]]"
        )
    if plan.reference.intervals:
        return f"{plan.reference.intervals[0][1] + 1:.2f} to {plan.reference.intervals[0][1] + 2:.2f}"
    if plan.reference.number is not None:
        return f"{3 * plan.reference.number:.1f}"
    return "B" if plan.answer == "A" else "A"


@pytest.mark.parametrize(("task", "kind"), ROOMS, ids=lambda one: getattr(one, "name", one))
def test_right_answers_about_rooms(task, kind):
    """1 for the format, 1 for the answer, 1 for the map; without a map 2, a wrong answer earns the format."""
    for _, plan in prompts(task):
        total, parts, success = scored("spacer", kind, plan, plan.response((1, 1)))
        assert success
        assert_close([total, parts["format"], parts["map"]], [3, 1, 1])
        bare = render_response("I see.", plan.answer)
        assert_close(scored("spacer", kind, plan, bare)[0], 2)
        total, _, success = scored("spacer", kind, plan, render_response(plan.thought, wrong_answer(plan)))
        assert not success
        assert total == 1


@pytest.mark.parametrize(("task", "kind"), TRACKS, ids=lambda one: getattr(one, "name", one))
def test_right_answers_about_tracks(task, kind):
    """1 for the format, 1 for the answer and, where there are graphs, nearly 1 for them: edges have two decimals."""
    num_graphs = 0
    for _, plan in prompts(task):
        total, parts, success = scored("video_str", kind, plan, plan.response((1, 1)))
        assert success
        graphs = parts["graph"] if plan.reference.graphs else 0.0
        num_graphs += bool(plan.reference.graphs)
        assert graphs > 0.99 or not plan.reference.graphs
        assert_close(total, 2 + graphs)
        total, parts, success = scored("video_str", kind, plan, render_response(plan.thought, wrong_answer(plan)))
        assert not success
        assert total < 1.5 + graphs
    assert num_graphs > 0 or task.name not in {"track_direction", "track_distance", "displacement", "motion_direction"}


@pytest.mark.parametrize("family", ["spacer", "video_str"])
def test_every_wording_has_the_same_places(family):
    """All ways to ask name the same things, at least three of them; the reasoning names no others but the answer."""
    sections = yaml.safe_load((WORDINGS / f"tasks_{family}.yaml").read_text())
    tasks = {task.name for task, _ in (ROOMS if family == "spacer" else TRACKS)}
    assert set(sections) == {"shared", *tasks}
    for name in tasks:
        places = [set(re.findall(r"\{([a-z_]+)\}", text)) for text in sections[name]["ask"]]
        assert len(places) >= 3
        assert all(one == places[0] for one in places), name
        assert set(re.findall(r"\{([a-z_]+)\}", sections[name]["thought"][0])) <= {*places[0], "right"}
    assert all(text.isascii() for section in sections.values() for texts in section.values() for text in texts)


def test_images_come_with_their_times():
    few = FrameSampling(4, as_video=False)
    for task in (ObjectSize(frames=few), TrackSize(frames=few)):
        clip, plan = prompts(task, 1)[0]
        assert not plan.as_video
        assert len(plan.frame_indices) == 4
        assert all(f"{clip.pts_seconds[frame]:.1f}" in plan.text.splitlines()[0] for frame in plan.frame_indices)


def test_a_scrambled_graph_earns_less():
    """The same words with the places of the things exchanged."""
    for _, plan in prompts(TrackDistance(), 4):
        nodes = plan.reference.graphs[0]
        first, second = sorted(nodes, key=lambda name: nodes[name][0])[:: len(nodes) - 1]
        swapped = plan.response((1, 1)).replace(first, "@").replace(second, first).replace("@", second)
        assert scored("video_str", "numerical", plan, swapped)[1]["graph"] < 0.95


def test_the_orders_are_those_of_the_pixels():
    """Boxes of the rendered things, from the pixels they cover, come into view in the order that the layout told."""
    num_asked = 0
    for clip, plan in prompts(AppearanceOrder(), 40):
        options = dict(line.split(". ", 1) for line in plan.text.splitlines() if line[1:3] == ". ")
        firsts = []
        for kind in options[plan.answer].split(", "):
            seen = [
                np.isfinite(track.boxes_xyxy[list(plan.frame_indices), 0])
                for name, track in clip.objects.items()
                if name.rstrip(" 0123456789") == kind
            ]
            firsts.append(int(np.argmax(np.any(seen, axis=0))))
        assert firsts == sorted(set(firsts))
        num_asked += 1
    assert num_asked == 40
