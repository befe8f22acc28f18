"""Questions that name nothing: things are referred to by boxes or outlines at a time (Strefer)."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from remot.data.media import read_frames, write_video
from remot.data.media.transforms import show
from remot.data.tasks import (
    BoxLocalisation,
    FrameSampling,
    MotionDirection,
    TimeInView,
    TrackCounting,
    TrackNearest,
    TrackOrder,
)
from remot.data.tasks.shared.marks import COLOURS, BoxMark, Marks
from remot.data.tasks.tracks.base import _marks_are_seen
from remot.structures import Clip, ObjectTrack
from tests.datatools.audit.tasks.prompts import faults, planned, wrong_label

NUM_FRAMES, NAN = 6, float("nan")
SIZE = (200, 150)
ALL = FrameSampling(NUM_FRAMES)
MODES = ("boxes", "drawn_boxes", "outlines")
#: Left edges of things of 40 x 60 pixels, in each frame.
LEFTS = {"man": (0, 20, 40, 60, 80, 100), "dog": (120,) * 6, "post": (60,) * 6}
#: Places to the right of the camera and along its view.
PLACES = {"man": ([-2, -1.5, -1, -0.5, 0, 0.5], 4.0), "dog": ([1.5] * 6, 4.5), "post": ([4.0] * 6, 8.0)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six grey images and a mask of each thing in each."""
    folder = tmp_path_factory.mktemp("refer")
    write_video(folder / "clip.mp4", np.full((NUM_FRAMES, *SIZE[::-1], 3), 90, dtype=np.uint8), 2)
    for number, (name, lefts) in enumerate(LEFTS.items()):
        for k, left in enumerate(lefts):
            mask = np.zeros(SIZE[::-1], dtype=np.uint8)
            mask[top(number) : top(number) + 60, left : left + 40] = 1
            Image.fromarray(mask).save(folder / f"{name}-{k}.png")
    return folder


def top(number):
    return (10, 80, 10)[number]


@pytest.fixture
def clip(folder):
    objects = {}
    for number, (name, lefts) in enumerate(LEFTS.items()):
        boxes = np.array([[left, top(number), left + 40, top(number) + 60] for left in lefts], dtype=float)
        across, along = PLACES[name]
        centres = np.column_stack([across, np.zeros(NUM_FRAMES), np.full(NUM_FRAMES, along)])
        masks = tuple(folder / f"{name}-{k}.png" for k in range(NUM_FRAMES))
        objects[name] = ObjectTrack(boxes, centres_metres=centres, masks=masks, mask_value=1)
    return Clip("c", "c", "d", folder / "clip.mp4", np.arange(NUM_FRAMES) / 2, objects=objects, camera_moves=False)


def plans(task, clip, num_plans=12):
    found = (task.plan(clip, np.random.default_rng(seed)) for seed in range(num_plans))
    return [plan for plan in found if plan is not None]


def drawn(clip, plan):
    """Colour of each thing that is drawn, by where the marks are, and the frame; from the images alone."""
    colours, frames = {}, []
    for frame, transform in zip(plan.frame_indices, plan.frame_transforms, strict=True):
        (image,) = read_frames(clip, [frame])
        shown = show(image, transform, clip, frame).numpy()
        for colour, levels in COLOURS.items():
            rows, columns = np.nonzero((shown == np.array(levels)[:, None, None]).all(axis=0))
            if len(rows):
                middle = (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
                tracks = clip.objects.items()
                away = {name: np.hypot(*(_middle(track, frame) - middle)) for name, track in tracks}
                colours[min(away, key=away.get)] = colour
                frames.append(frame)
    return colours, frames


def _middle(track, frame):
    box = track.boxes_xyxy[frame]
    return (box[:2] + box[2:]) / 2


@pytest.mark.parametrize("refer", MODES)
def test_nothing_is_named(clip, refer):
    for task in (MotionDirection, TrackNearest, TimeInView, BoxLocalisation, TrackOrder):
        for plan in plans(task(refer=refer, frames=ALL), clip, 4):
            whole = f"{plan.text} {plan.thought}"
            assert not re.search(r"\b(man|dog|post)\b", whole), whole


@pytest.mark.parametrize(
    ("refer", "pattern"), [("drawn_boxes", r"thing in the (\w+) box"), ("outlines", r"thing outlined in (\w+)")]
)
def test_the_colour_in_the_question_is_that_around_the_thing(clip, refer, pattern):
    """Only the man moves by himself, to the right: the question must be about him."""
    found = plans(MotionDirection(refer=refer, frames=ALL), clip)
    assert found
    for plan in found:
        colours, frames = drawn(clip, plan)
        assert colours == {"man": re.search(pattern, plan.text)[1]}
        time = re.search(r"picture of (\d\.\d\d) s", plan.text)[1]
        assert float(time) == clip.pts_seconds[frames[0]]


@pytest.mark.parametrize("refer", ["drawn_boxes", "outlines"])
def test_options_are_things_that_are_drawn(clip, refer):
    """At every time the dog is the nearest to the man, and the man to the dog; of the post it is the dog."""
    nearest = {"man": "dog", "dog": "man", "post": "dog"}
    for plan in plans(TrackNearest(refer=refer, frames=ALL, min_gap_metres=0, min_ratio=1, num_options=2), clip):
        colours, frames = drawn(clip, plan)
        assert len(set(frames)) == 1
        names = {colour: name for name, colour in colours.items()}
        question = next(line for line in plan.text.splitlines() if line.endswith("?"))
        right = next(line for line in plan.text.splitlines() if line.startswith(f"{plan.answer}. "))
        (asked,), (said,) = ([word for word in re.findall(r"\w+", line) if word in names] for line in (question, right))
        assert names[said] == nearest[names[asked]]


def test_boxes_in_numbers_are_of_a_time_that_is_not_asked_about(clip):
    found = plans(BoxLocalisation(refer="boxes", frames=ALL), clip) + plans(
        MotionDirection(refer="boxes", frames=ALL), clip
    )
    assert len(found) > 12
    for plan in found:
        pointing, question, *_ = plan.text.splitlines()
        (time,) = re.findall(r"\d\.\d\d(?= s)", pointing)
        assert time not in re.findall(r"\d\.\d\d(?= s)", question)
        mark, *edges = re.search(r"thing marked (\d) \[([\d.]+), ([\d.]+), ([\d.]+), ([\d.]+)\]", pointing).groups()
        assert f"thing marked {mark}" in question
        frame = int(2 * float(time))
        boxes = [track.boxes_xyxy[frame] / [200, 150, 200, 150] for track in clip.objects.values()]
        assert any(np.allclose(box, [float(edge) for edge in edges], atol=6e-4) for box in boxes)


def test_marks_change_from_prompt_to_prompt(clip):
    for refer, pattern in (("boxes", r"thing marked \d"), ("drawn_boxes", r"the \w+ box")):
        found = plans(MotionDirection(refer=refer, frames=ALL), clip)
        assert len({re.search(pattern, plan.text)[0] for plan in found}) > 2


def test_what_overlaps_anything_is_not_pointed_out(clip):
    """A post in the dog's place would do by name, not by its box."""
    objects = {**clip.objects, "post": replace(clip.objects["post"], boxes_xyxy=clip.objects["dog"].boxes_xyxy + 1.0)}
    covered = replace(clip, objects=objects)
    generator = np.random.default_rng(0)
    assert BoxLocalisation(frames=ALL).refusals([covered], generator) == {"asked": 3}
    for refer in MODES:
        reasons = BoxLocalisation(refer=refer, frames=ALL).refusals([covered], generator)
        assert reasons == {"asked": 1, "never clearly seen together, or not distinguished by a box": 2}


def test_only_masks_are_outlined_and_at_most_eight_things_are_drawn(clip):
    plain = {name: replace(track, masks=None) for name, track in clip.objects.items()}
    task = BoxLocalisation(refer="outlines", frames=ALL)
    assert not plans(task, replace(clip, objects=plain))
    assert len(task.scene(replace(clip, objects={**clip.objects, "dog": plain["dog"]})).names) == 2
    many = {f"thing {k}": clip.objects["man"] for k in range(20)}
    scene = BoxLocalisation(refer="drawn_boxes").scene(replace(clip, objects=many), np.random.default_rng(0))
    assert len(scene.names) == len(COLOURS) == len(set(scene.names.values()))


def drawn_frames(task, clip):
    return {k for plan in plans(task, clip, 40) for k, marks in enumerate(plan.frame_transforms) if marks is not None}


@pytest.mark.parametrize("refer", ["drawn_boxes", "outlines"])
def test_marks_lie_in_the_image_as_a_whole(clip, refer):
    """The man leaves the image in the first two frames."""
    boxes = clip.objects["man"].boxes_xyxy.copy()
    boxes[:2] -= [30, 0, 30, 0]
    alone, task = {"man": clip.objects["man"]}, MotionDirection(frames=ALL, refer=refer)
    assert drawn_frames(task, replace(clip, objects=alone)) == {0, 1, 2, 3, 4, 5}
    leaving = {"man": replace(clip.objects["man"], boxes_xyxy=boxes)}
    assert drawn_frames(task, replace(clip, objects=leaving)) == {2, 3, 4, 5}


def test_marks_cover_no_part_of_each_other(clip):
    """The man at x 40 to 80 in the third frame, with lines of 2 pixels and a rim of 1 around both."""
    still = {"man": clip.objects["man"].boxes_xyxy[2]}
    for left, is_seen in ((84, False), (86, True), (50, False)):
        still["dog"] = np.array([left, 10, left + 40, 70.0])
        objects = {name: ObjectTrack(np.tile(box, (NUM_FRAMES, 1))) for name, box in still.items()}
        task = TrackOrder(frames=ALL, refer="drawn_boxes")
        scene = task.scene(replace(clip, objects=objects))
        assert _marks_are_seen(scene, ["man", "dog"], 2) is is_seen
    still["dog"] = np.array([50, 20, 70, 60.0])
    objects["dog"] = ObjectTrack(np.tile(still["dog"], (NUM_FRAMES, 1)))
    assert _marks_are_seen(task.scene(replace(clip, objects=objects)), ["man", "dog"], 2), "one within the other"


def test_kinds_are_named_all_the_same(clip):
    two = {"car 1": clip.objects["man"], "car 2": clip.objects["dog"]}
    counted = replace(clip, objects=two, complete_kinds=("car",))
    (plan, *_) = plans(TrackCounting(refer="drawn_boxes", frames=ALL), counted)
    assert "car" in plan.text
    assert plan.reference.number == 2
    assert not any(plan.frame_transforms)


def test_names_stay_the_default(clip):
    for plan in plans(MotionDirection(frames=ALL), clip, 3):
        assert " man " in plan.text
        assert not any(isinstance(one, BoxMark) for one in plan.frame_transforms)
        assert plan.transforms == ()


@pytest.mark.parametrize("refer", MODES)
def test_the_audit_reads_what_is_referred_to(clip, refer):
    for task in (MotionDirection(refer=refer), TrackNearest(refer=refer), BoxLocalisation(refer=refer)):
        for of_clip, plan, question in planned(task, [clip], 4):
            assert faults(task, of_clip, plan, question) == []
            assert faults(task, of_clip, *wrong_label(plan, question))


@pytest.mark.parametrize("refer", ["drawn_boxes", "outlines"])
def test_the_audit_notices_that_something_else_is_marked(clip, refer):
    """The dog, which rests, is marked in the colour of the question in place of the man."""
    task = MotionDirection(refer=refer, num_graphs=0)
    for of_clip, plan, question in planned(task, [clip], 4):
        marks = [one for one in plan.transforms if one is not None]
        (mark,) = marks[0].marks
        left, above, right, below = clip.objects["dog"].boxes_xyxy[0].tolist()
        changes = {"track": clip.objects["dog"]} if refer == "outlines" else {"box_xyxy": (left, above, right, below)}
        other = Marks((replace(mark, **changes),))
        moved = replace(plan, transforms=tuple(one and other for one in plan.transforms))
        (fault,) = faults(task, of_clip, moved, question)
        assert "'dog'" in fault
