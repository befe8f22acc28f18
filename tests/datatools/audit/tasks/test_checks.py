"""Every reference is worked out a second time; wrong ones that are planted are found."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from remot.data.annotations import NativeReader
from remot.data.clips.bundled import clips_root
from remot.data.tasks import (
    AbsoluteDistance,
    BoxLocalisation,
    Detection,
    EventChoice,
    FrameSampling,
    GroundedEventChoice,
    ImageGroundedChoice,
    MotionDirection,
    ObjectMotion,
    ObjectSize,
    RelativeDirection,
    RelativeDistance,
    TemporalGrounding,
    TimeInView,
    TrackCounting,
    TrackDirection,
    TrackDistance,
    TrackNearest,
)
from remot.data.tasks.geometry.maps import graph_text, map_text
from remot.datatools.audit.tasks.checks import CHECKS
from remot.structures import Clip, Event, ObjectTrack
from tests.data.made import task_prompts
from tests.datatools.audit.tasks.prompts import TASKS, faults, lied, name_of, planned, wrong_label

NUM_PROMPTS = 6


@pytest.fixture(scope="module")
def clips():
    return list(NativeReader().read(clips_root("embedded/tasks")))


def test_every_task_of_the_library_has_a_second_computation():
    import remot.data.tasks as tasks

    own = {getattr(tasks, name) for name in tasks.__all__ if hasattr(getattr(tasks, name), "plan")}
    assert own - {tasks.Task, tasks.MotionContrast} == set(CHECKS) == {type(task) for task in TASKS}


@pytest.mark.parametrize("task", TASKS, ids=name_of)
def test_right_prompts_are_found_right_and_wrong_ones_wrong(task, clips):
    """Nothing but the label differs, and the response says the same as the reference: only the annotations tell."""
    for clip, plan, question in planned(task, clips, NUM_PROMPTS):
        assert faults(task, clip, plan, question) == []
        (fault, *_) = faults(task, clip, *wrong_label(plan, question)) or [""]
        assert fault.startswith(f"{question.prompt_id} ({task.name}, clip {clip.clip_id}): ")


@pytest.mark.parametrize("task", TASKS, ids=name_of)
def test_a_contradicting_response_is_found(task, clips):
    for clip, plan, question in planned(task, clips, 2):
        other = "[[0.9, 0.9, 0.91, 0.91]]" if plan.reference.boxes else "99999"
        wrong = replace(question, target=replace(plan, answer=other, after="").response((1, 1)))
        assert faults(task, clip, plan, wrong)


# -- references of several parts -----------------------------------------------------------------------------------


def test_the_times_beside_a_letter_are_checked(clips):
    for clip, plan, question in planned(GroundedEventChoice(), clips, 8):
        ((start, end),) = plan.reference.intervals
        told = replace(plan, after=f"<glue>[({start:.2f}, {end + 0.1:.2f})]</glue>")
        (fault,) = faults(GroundedEventChoice(), clip, *lied(told, question, intervals=((start, end + 0.1),)))
        assert f"should be {start:.2f} to {end:.2f} s" in fault


def test_the_box_beside_a_letter_is_checked(clips):
    for clip, plan, question in planned(ImageGroundedChoice(), clips, 8):
        ((left, top, right, bottom),) = plan.reference.boxes
        box = (left, top, right, round(bottom - 0.002, 3))
        told = replace(plan, after=f"<glue>{list(box)}</glue>")
        (fault,) = faults(ImageGroundedChoice(), clip, *lied(told, question, boxes=(box,)))
        assert "the boxes of" in fault


def test_a_map_with_a_thing_in_the_wrong_cell_is_found(clips):
    task, num_maps = ObjectSize(), 0
    for clip, plan, question in planned(task, clips, 8):
        if plan.reference.map_centres is None:
            continue
        num_maps += 1
        name, ((x, y), *rest) = next(iter(plan.reference.map_centres.items()))
        cells = {**plan.reference.map_centres, name: ((x, (y + 5) % 10), *rest)}
        told = lied(replace(plan, thought=map_text(cells)), question, map_centres=cells)
        assert any("is not that of the boxes" in one for one in faults(task, clip, *told))
    assert num_maps > 4


@pytest.mark.parametrize("mirror", [lambda x, y: (9 - x, y), lambda x, y: (x, 9 - y), lambda x, y: (y, x)])
def test_a_mirrored_map_is_found(clips, mirror):
    """Left for right, near for far, or rows for columns: the mistakes that code about axes makes."""
    task, found = ObjectSize(), []
    for clip, plan, question in planned(task, clips, 12):
        held = plan.reference.map_centres or {}
        cells = {name: tuple(sorted(mirror(*point) for point in points)) for name, points in held.items()}
        told = lied(replace(plan, thought=map_text(cells)), question, map_centres=cells)
        found.append(bool(faults(task, clip, *told)) or cells == held)
    assert all(found)


def test_a_map_that_is_asked_for_along_other_axes_is_found(clips):
    task = ObjectSize()
    world = task.shared.texts["map_world"][0].split("{")[0]
    for clip, plan, question in planned(task, clips, 8):
        if plan.reference.map_centres:
            hint = next(line for line in plan.text.split("\n") if "<map>" in line)
            kinds = ", ".join(plan.reference.map_centres)
            asked = task.shared.texts["map_world"][0].replace("{kinds}", kinds)
            assert asked.startswith(world)
            wrong = replace(question, text=plan.text.replace(hint, asked))
            assert any("other axes" in one for one in faults(task, clip, plan, wrong))


def test_a_graph_with_a_node_in_the_wrong_place_is_found(clips):
    task, num_graphs = TrackDistance(), 0
    for clip, plan, question in planned(task, clips, 8):
        first, *others = plan.reference.graphs
        name, (x, y) = next(iter(first.items()))
        graphs = ({**first, name: (round(x + 0.02, 2), y)}, *others)
        told = lied(replace(plan, thought="".join(map(graph_text, graphs))), question, graphs=graphs)
        (fault, *_) = faults(task, clip, *told)
        assert "the graph has" in fault
        num_graphs += 1
    assert num_graphs == 8


def test_an_edge_that_is_not_what_its_nodes_say_is_found(clips):
    task = TrackDistance()
    for clip, plan, question in planned(task, clips, 4):
        turned = re.sub(
            r'(\["[^"]+","[^"]+",)([\d.]+),', lambda one: f"{one[1]}{float(one[2]) + 0.02:.2f},", question.target
        )
        assert turned != question.target
        (fault,) = faults(task, clip, plan, replace(question, target=turned))
        assert "an edge" in fault


# -- what is not clear ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loose", "strict", "word"),
    [
        (RelativeDirection("hard", margin_degrees=0), RelativeDirection("hard", margin_degrees=30), "another answer"),
        (
            RelativeDirection("medium", margin_degrees=0),
            RelativeDirection("medium", margin_degrees=30),
            "another answer",
        ),
        (AbsoluteDistance(min_metres=0.3), AbsoluteDistance(min_metres=2), "too close"),
        (RelativeDistance(min_gap_metres=0, min_ratio=1), RelativeDistance(min_gap_metres=1), "about as close"),
        (TrackDirection(margin_degrees=0), TrackDirection(margin_degrees=30), "not clear"),
        (TrackNearest(min_gap_metres=0, min_ratio=1), TrackNearest(min_gap_metres=2), "about as close"),
        (TrackDistance(min_metres=0.1), TrackDistance(min_metres=3), "too little"),
        (MotionDirection(min_metres=0.1), MotionDirection(min_metres=1.5), "not clear"),
        (BoxLocalisation(min_side=0.01), BoxLocalisation(min_side=0.3), "too small"),
        (Detection(min_side=0.01), Detection(min_side=0.3), "too small"),
        (ImageGroundedChoice(margin=0.0), ImageGroundedChoice(margin=0.3), "less far"),
        (
            EventChoice(kinds=("first",), margin_seconds=0.01),
            EventChoice(kinds=("first",), margin_seconds=3),
            "is right",
        ),
    ],
)
def test_what_lies_within_a_margin_is_wrong_though_the_answer_is_right(clips, loose, strict, word):
    """Planned with loose settings and checked by strict ones, some prompts are right and others are not clear."""
    prompts = list(planned(loose, clips, 30))
    found = [faults(strict, *one) for one in prompts]
    assert all(word in fault for one in found for fault in one)
    assert any(found)
    assert [fault for one in prompts for fault in faults(loose, *one)] == []


def test_a_text_about_something_else_is_found(clips):
    """The event of another clip, or two questions in one."""
    task = TemporalGrounding()
    prompts = list(planned(task, clips, 6))
    clip, plan, question = prompts[0]
    (fault,) = faults(
        task, clip, plan, replace(question, text="When does the following happen in the video? a dog barks")
    )
    assert "does not happen in the clip" in fault
    (fault,) = faults(task, clip, plan, replace(question, text="What is this?"))
    assert "the text asks 0 such questions" in fault


def test_a_thing_that_is_not_shown_is_found():
    """Seen by a camera that looks the other way, nothing of the room may be asked about."""
    from tests.data.tasks.rooms import box, pose, room

    things = [box("desk", (4, 2, 0)), box("sofa", (7, 2, 0)), box("lamp", (5, 5, 0))]
    seeing, blind = room(things, [pose((-4, 2, 0), 0)]), room(things, [pose((-4, 2, 0), 180)])
    task = ObjectSize(min_pixels=8)
    plan = task.plan(seeing, np.random.default_rng(0))
    dataset_question = replace_question(task, seeing, plan)
    assert faults(task, seeing, plan, dataset_question) == []
    (fault,) = faults(task, blind, plan, dataset_question)
    assert "not clearly seen" in fault


def replace_question(task, clip, plan):
    return task_prompts(task, [clip], "audit", 1).question(0, clip, plan, (1, 1))


@pytest.mark.parametrize("task", [TemporalGrounding(thinks=False), EventChoice(thinks=False), Detection(thinks=False)])
def test_answers_without_reasoning_are_checked_too(task, clips):
    for clip, plan, question in planned(task, clips, 4):
        assert "<think>" not in question.target
        assert faults(task, clip, plan, question) == []
        assert faults(task, clip, *wrong_label(plan, question))


def test_a_contradicting_motion_tag_is_found(clips):
    for clip, plan, question in planned(ObjectMotion(), clips, 6):
        for word, other in (("stable", "receding"), ('speed="', 'speed="very '), ('dir="', 'dir="N')):
            if word in question.target:
                wrong = replace(question, target=question.target.replace(word, other))
                (fault,) = faults(ObjectMotion(), clip, plan, wrong)
                assert "the motion in the response" in fault


def test_times_that_images_do_not_have_are_found(clips):
    """Shown as images, a prompt tells their times; with other times every answer in seconds would be wrong."""
    task = TemporalGrounding(frames=FrameSampling(as_video=False))
    for clip, plan, question in planned(task, clips, 4):
        assert faults(task, clip, plan, question) == []
        late = re.sub(r"\d+\.\d", lambda found: f"{float(found[0]) + 1:.1f}", question.text.split("\n")[0])
        wrong = replace(question, text="\n".join([late, *question.text.split("\n")[1:]]))
        assert any("times of the images" in fault for fault in faults(task, clip, plan, wrong))


# -- what the embedded clips do not have ---------------------------------------------------------------------------

#: Width and height of images that need not exist.
UPRIGHT = (90, 160)


def followed(num_frames=5, hidden=(), way=(0.0, 0.0, 0.0)):
    """A thing in view in all frames but some, which goes ``way`` metres from frame to frame, 5 m from the camera."""
    boxes = np.tile([10.0, 20, 50, 90], (num_frames, 1))
    boxes[list(hidden)] = np.nan
    return ObjectTrack(boxes, centres_metres=np.arange(num_frames)[:, None] * way + [0.0, 0.0, 5.0])


def seconds_apart(num_frames=5, **annotations):
    """A clip with an image each second."""
    return Clip("c", "s", "d", Path("none.mp4"), np.arange(float(num_frames)), **annotations)


@pytest.mark.parametrize(
    ("task", "told_of", "checked", "word"),
    [
        (
            TrackCounting(frames=FrameSampling(2)),
            seconds_apart(complete_kinds=("car",), objects={f"car_{k}": followed() for k in range(3)}),
            seconds_apart(
                complete_kinds=("car",),
                objects={"car_0": followed(), "car_1": followed(), "car_2": followed(hidden=(0, 4))},
            ),
            "the reference counts 3, there are 2",
        ),
        (
            TimeInView(frames=FrameSampling(5)),
            seconds_apart(objects={"dog": followed(hidden=(0, 4))}),
            seconds_apart(objects={"dog": followed(hidden=(0, 2, 4))}),
            "in view 2 times",
        ),
        (
            EventChoice(kinds=("during",)),
            seconds_apart(events=(Event("he eats", 1.0, 2.0), Event("it rains", 3.0, 4.0))),
            seconds_apart(events=(Event("he eats", 1.0, 2.0), Event("it rains", 2.1, 4.0))),
            "is right",
        ),
    ],
    ids=["never shown", "hidden in between", "just after"],
)
def test_a_truth_of_one_clip_is_a_fault_in_another(task, told_of, checked, word):
    """What was asked about one clip, told of one that differs in what matters alone."""
    found = []
    for seed in range(8):
        plan = task.plan(told_of, np.random.default_rng(seed))
        question = replace_question(task, told_of, plan)
        assert faults(task, told_of, plan, question, known_size=UPRIGHT) == []
        found += faults(task, checked, plan, question, known_size=UPRIGHT)
    assert found
    assert all(word in fault for fault in found)


def test_what_begins_just_before_the_end_may_be_next():
    """He eats until 1.4 s, and at 2 s it rains: in the other clip a dog barks from 1.3 s on, which may be next."""
    eats, rains = Event("he eats", 0.5, 1.4), Event("it rains", 2.0, 2.5)
    clear, unclear = (seconds_apart(events=(eats, rains, Event("a dog barks", *at))) for at in ((0, 0.4), (1.3, 1.8)))
    task, found = EventChoice(kinds=("after",)), []
    for seed in range(8):
        plan = task.plan(clear, np.random.default_rng(seed))
        question = replace_question(task, clear, plan)
        assert faults(task, clear, plan, question) == []
        if "he eats" in plan.text.split("\n")[0]:
            found.append(faults(task, unclear, plan, question))
    assert found
    assert all("none is right" in fault for (fault,) in found)


def test_a_way_near_a_diagonal_is_not_clear():
    """Left and away by 1 and 0.8 m a second, 6.3 degrees from the diagonal."""
    clip = seconds_apart(objects={"dog": followed(way=(-1.0, 0.0, 0.8))}, camera_moves=False)
    plan = MotionDirection(margin_degrees=0).plan(clip, np.random.default_rng(0))
    question = replace_question(MotionDirection(), clip, plan)
    assert faults(MotionDirection(margin_degrees=0), clip, plan, question, known_size=UPRIGHT) == []
    (fault,) = faults(MotionDirection(), clip, plan, question, known_size=UPRIGHT)
    assert "38.7 degrees off, which is not clear" in fault


def test_centimetres_are_rounded_and_not_cut_off():
    """0.857 m is 86 cm: 85 is wrong."""
    from tests.data.tasks.rooms import box, room

    clip = replace(room([box("desk", (0, 0, 0), (0.857, 0.4, 0.3))]), media=Path("none.mp4"))
    plan = ObjectSize().plan(clip, np.random.default_rng(0))
    assert plan.answer == "86"
    lie = lied(plan, replace_question(ObjectSize(), clip, plan), answer="85", number=85.0)
    plan, question = lie[0], replace(lie[1], reference=replace(lie[1].reference, answer="85"))
    (fault,) = faults(ObjectSize(), clip, plan, question)
    assert "the reference says 85, should be 85.700" in fault
