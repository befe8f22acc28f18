"""Questions about rooms: by hand on plans drawn from above, and against other ways to the same answers."""

import cmath
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from remot.data.annotations import NativeReader
from remot.data.clips.bundled import clips_root
from remot.data.tasks.rooms.amounts import ObjectCounting, ObjectSize, RoomSize
from remot.data.tasks.rooms.order import AppearanceOrder, first_views
from remot.data.tasks.rooms.relations import AbsoluteDistance, RelativeDirection, RelativeDistance
from remot.data.tasks.rooms.scene import Scene
from remot.data.tasks.shared.candidates import Candidate
from remot.data.tasks.shared.frames import FrameSampling
from remot.errors import ConfigError
from remot.rewards.parsing.graphs import read_map
from tests.data.made import task_prompts
from tests.data.tasks.rooms import INTRINSICS, box, pose, random_box, room, solved_distance

# Seen from above, north up, a metre a cell; every thing is a cube of half a metre but the table, which is 2 m long.
#
#   6            W            window (4, 6)
#   5
#   4   L                     lamp (1, 4)
#   3
#   2            D        S   desk (4, 2), sofa (7, 2)
#   1
#   0   C        T            chair (1, 0), table (4, -0.5)
CUBE = (0.5, 0.5, 0.5)
PLAN = (
    box("window", (4, 6, 0), CUBE),
    box("lamp", (1, 4, 0), CUBE),
    box("desk", (4, 2, 0), CUBE),
    box("sofa", (7, 2, 0), CUBE),
    box("chair", (1, 0, 0), CUBE),
    box("table", (4, -0.5, 0), (2.0, 0.5, 0.7)),
)
RNG_SEED = 3


def candidates(task, clip):
    scene = Scene(clip, task.frames.frames_of(clip), task.min_seen, task.min_pixels)
    return [one for one in task.candidates(scene, np.random.default_rng(RNG_SEED)) if isinstance(one, Candidate)]


def reasons(task, clip):
    return task.refusals([clip], np.random.default_rng(RNG_SEED))


def answers(task, clip, *places):
    """Right answers by what fills the wording at ``places``."""
    return {tuple(one.places[place] for place in places): one.right for one in candidates(task, clip)}


@pytest.mark.parametrize(
    ("difficulty", "three", "said"),
    [
        # at the desk, facing the window in the north
        ("easy", ("desk", "window", "lamp"), "left"),
        ("easy", ("desk", "window", "sofa"), "right"),
        ("easy", ("desk", "window", "table"), None),  # straight behind
        ("medium", ("desk", "window", "table"), "back"),
        ("medium", ("desk", "window", "sofa"), "right"),
        ("medium", ("desk", "window", "chair"), None),  # 124 degrees to the left, within 15 of the border
        ("hard", ("desk", "window", "lamp"), "front-left"),
        ("hard", ("desk", "window", "chair"), "back-left"),
        ("hard", ("desk", "window", "sofa"), None),  # due right
        # at the desk, facing the table in the south, everything is the other way round
        ("easy", ("desk", "table", "lamp"), "right"),
        ("hard", ("desk", "table", "lamp"), "back-right"),
        ("hard", ("desk", "table", "chair"), "front-right"),
        # at the sofa, facing the desk in the west
        ("hard", ("sofa", "desk", "window"), "front-right"),
        ("hard", ("sofa", "desk", "chair"), "front-left"),
    ],
)
def test_directions_by_hand(difficulty, three, said):
    found = answers(RelativeDirection(difficulty), room(PLAN), "standing", "facing", "target")
    assert found.get(three) == said


def test_sizes_and_distances_by_hand():
    """The table's west end is at x = 3, the chair's east face at 1.25; desk and sofa are 2.5 apart."""
    clip = room(PLAN, room_area_square_metres=42.04)
    assert answers(ObjectSize(), clip, "thing") == {
        ("chair",): "50",
        ("desk",): "50",
        ("lamp",): "50",
        ("sofa",): "50",
        ("table",): "200",
        ("window",): "50",
    }
    found = {frozenset(pair): metres for pair, metres in answers(AbsoluteDistance(), clip, "first", "second").items()}
    assert len(found) == 15
    assert found[frozenset({"chair", "table"})] == "1.8"  # 1.75
    assert found[frozenset({"desk", "sofa"})] == "2.5"
    assert found[frozenset({"chair", "sofa"})] == "5.7"  # 5.5 and 1.5
    assert answers(RoomSize(), clip) == {(): "42.0"}


def test_the_closest_by_hand():
    """The chair is 1.75 from the table and 3.5 from the lamp; the lamp is hypot(2.5, 1.5) from both window and desk."""
    task = RelativeDistance(num_options=5)
    found = answers(task, room(PLAN), "thing")
    assert found[("chair",)] == "table"
    assert ("lamp",) not in found
    assert ("sofa",) not in found  # 2.47 from the table, 2.5 from the desk
    assert found[("desk",)] == "table"  # 2.0 against 2.5 of the sofa


def test_the_closest_object_of_a_kind_counts():
    """The far lamp does not matter, and a kind with several things is no place to measure from."""
    clip = room([*PLAN, box("lamp", (1, 1.2, 0), CUBE)])
    found = answers(RelativeDistance(num_options=4, max_sets=9), clip, "thing")
    assert ("lamp",) not in found
    assert set(answers(RelativeDistance(num_options=4, max_sets=40), clip, "thing").values()) >= {"lamp"}


def test_counts_by_hand():
    clip = room([*PLAN, box("lamp", (6, 6, 0), CUBE), box("lamp", (7, 6, 0), CUBE), box("chair", (6, 0, 0), CUBE)])
    assert answers(ObjectCounting(), clip, "kind") == {("lamp",): "3", ("chair",): "2"}
    assert answers(ObjectCounting(min_count=1), clip, "kind")[("desk",)] == "1"


def test_what_is_not_annotated_completely_is_neither_counted_nor_pointed_at():
    """Of the lamps one may have no box: then "the lamp" and their number mean nothing."""
    clip = room([*PLAN, box("chair", (6, 0, 0), CUBE)], complete_kinds=("chair", "desk", "sofa"))
    assert answers(ObjectCounting(), clip, "kind") == {("chair",): "2"}
    assert reasons(ObjectCounting(), clip)["not every one has a box"] == 3  # window, lamp, table
    assert set(answers(ObjectSize(), clip, "thing")) == {("desk",), ("sofa",)}


#: Walks north on the west side and looks east: passes chair and table, then desk and sofa, then window.
WALK = [pose((-6, y, 0.3), 0) for y in np.arange(-14, 7, 0.5)]
ALL_FRAMES = FrameSampling(max_frames=len(WALK))
NARROW = np.array([[400.0, 0, 100], [0, 400.0, 75], [0, 0, 1]])


def test_order_by_hand():
    """Of this view, 14 degrees to either side, a thing at distance d comes in at d / 4 before the camera passes it.

    chair: 7 m away, y = 0, from y = -1.75 on; table (-0.5, 10 m) from -3; desk (2, 10 m) from -0.5;
    lamp (4, 7 m) from 2.25; window (6, 10 m) from 3.5; sofa (2, 13 m) from -1.25.
    """
    task = AppearanceOrder(num_kinds=3, frames=ALL_FRAMES)
    clip = room(PLAN, WALK, intrinsics=NARROW)
    scene = Scene(clip, ALL_FRAMES.frames_of(clip), task.min_seen, task.min_pixels)
    clear = {name: scene.clip.camera.camera_to_world[one[1], 1, 3] for name, one in first_views(scene).items()}
    by_hand = {"table": -3, "chair": -1.75, "sofa": -1.25, "desk": -0.5, "lamp": 2.25, "window": 3.5}
    assert all(abs(clear[name] - by_hand[name]) <= 0.75 for name in by_hand), clear
    found = candidates(task, clip)
    assert found
    for one in found:
        assert one.right.split(", ") == sorted(one.right.split(", "), key=by_hand.__getitem__)
        assert one.right not in one.wrong
        assert len({one.right, *one.wrong}) == 4


def test_things_that_come_into_view_together_are_not_ordered():
    """Side by side at one distance, all three enter in the same frame."""
    trio = [box(name, (6, 0.02 * k, z), CUBE) for k, (name, z) in enumerate([("a", -1), ("b", 0), ("c", 1)])]
    clip = room(trio, WALK, intrinsics=NARROW)
    task = AppearanceOrder(num_kinds=3, frames=ALL_FRAMES)
    assert candidates(task, clip) == []
    assert reasons(task, clip)["two may come into view together"] > 0


def test_only_what_the_frames_show_is_asked_about():
    """The camera looks west, away from everything but a plant; without a camera everything counts as shown."""
    things = [*PLAN, box("plant", (-9, 0, 0))]
    clip = room(things, [pose((-6, 0, 0), 180)])
    assert set(answers(ObjectSize(), clip, "thing")) == {("plant",)}
    assert len(answers(ObjectSize(), room(things), "thing")) == 7
    assert not AppearanceOrder().serves(room(things))


def test_things_of_a_few_pixels_are_neither_asked_about_nor_drawn():
    """With a focal length of 100 the near cube is 125 / 2.75 - 75 / 3.25 = 22.4 pixels wide and 18.2 high, a square of
    20.2; the far one 125 / 3.75 - 75 / 4.25 = 15.7 wide and 13.3 high, a square of 14.5."""
    things = [box("near", (3, -1, 0), CUBE), box("far", (4, 1, 0), CUBE)]
    clip = room(things, [pose((0, 0, 0), 0)])

    def shown(task):
        return set(task.plan(clip, np.random.default_rng(0)).reference.map_centres)

    assert shown(ObjectSize()) == {"near"}
    assert ObjectSize(min_pixels=20.3).plan(clip, np.random.default_rng(0)) is None
    assert shown(ObjectSize(min_pixels=14.4)) == {"near", "far"}


def direct_answer(one, boxes):
    """The answer to a candidate in other ways: complex numbers, a solver."""
    names = {b.name: [c for c in boxes if c.name == b.name] for b in boxes}
    if "standing" in one.places:
        standing, facing, target = (
            complex(*names[one.places[place]][0].centre_metres[:2]) for place in ("standing", "facing", "target")
        )
        return cmath.phase((target - standing) / (facing - standing))
    if "first" in one.places:
        return solved_distance(names[one.places["first"]][0], names[one.places["second"]][0])
    if one.wrong:
        start = names[one.places["thing"]][0]
        return {name: min(solved_distance(start, c) for c in names[name]) for name in (one.right, *one.wrong)}
    if "kind" in one.places:
        return len(names[one.places["kind"]])
    return (
        100
        * np.linalg.norm(names[one.places["thing"]][0].axes * 1.0, axis=1).max()
        * max(names[one.places["thing"]][0].size_metres)
    )


def agrees(task, one, direct):
    if task.name.startswith("relative_direction"):
        left, degrees = direct > 0, abs(math.degrees(direct))
        if task.difficulty == "medium":
            expected = "back" if degrees > 135 else "left" if left else "right"
        else:
            expected = ("left" if left else "right") if task.difficulty == "easy" else None
        return one.right == (expected or f"{'front' if degrees < 90 else 'back'}-{'left' if left else 'right'}")
    if task.name == "relative_distance":
        return min(direct, key=direct.__getitem__) == one.right
    return abs(float(one.right) - direct) <= {"absolute_distance": 0.051, "object_size": 0.51}.get(task.name, 0)


ROOM_TASKS = [
    ObjectCounting(),
    ObjectSize(),
    AbsoluteDistance(),
    RelativeDistance(),
    *(RelativeDirection(difficulty) for difficulty in ("easy", "medium", "hard")),
]


def random_room(rng, num_things=7):
    names = [f"thing {letter}" for letter in "abcdef"]
    things = [random_box(rng, str(rng.choice(names)), spread=5, level=bool(rng.integers(2))) for _ in range(num_things)]
    return room(things, room_area_square_metres=float(rng.uniform(5, 80)))


def check_rooms(num_rooms, seed):
    """Compare every candidate of random rooms with another way to its answer; how many were right and wrong."""
    rng, counts = np.random.default_rng(seed), Counter()
    for _ in range(num_rooms):
        clip = random_room(rng)
        for task in ROOM_TASKS:
            for one in candidates(task, clip):
                counts[task.name, agrees(task, one, direct_answer(one, clip.layout))] += 1
    return counts


def test_answers_agree_with_other_ways_to_them():
    counts = check_rooms(num_rooms=40, seed=0)
    assert not [key for key in counts if not key[1]]
    assert len(counts) == len(ROOM_TASKS)
    assert min(counts.values()) > 20


@pytest.mark.slow
def test_answers_about_the_embedded_rooms_agree():
    clips = [clip for clip in NativeReader().read(clips_root("embedded/tasks")) if clip.layout]
    counts = Counter(
        (task.name, bool(agrees(task, one, direct_answer(one, clip.layout))))
        for clip in clips
        for task in ROOM_TASKS
        for one in candidates(task, clip)
    )
    assert not [key for key in counts if not key[1]]
    assert len(counts) == len(ROOM_TASKS)


@pytest.mark.slow
def test_answers_of_thousands_of_rooms_agree():
    counts = check_rooms(num_rooms=2000, seed=1)
    assert not [key for key in counts if not key[1]]


def test_orders_agree_with_every_pixel_column():
    """The first frame in which one of a dense grid of rays ends on a thing, other boxes being in the way."""
    rng = np.random.default_rng(0)
    num_asked = 0
    task = AppearanceOrder(num_kinds=3, frames=FrameSampling(max_frames=12))
    for _ in range(12):
        things = [random_box(rng, f"thing {letter}", spread=3, level=True) for letter in "abcde"]
        start, yaws = rng.uniform(-1, 1, 3), rng.uniform(0, 360) + np.linspace(0, 200, 12)
        clip = room(things, [pose(start, yaw) for yaw in yaws])
        first = first_hits(clip)
        for one in candidates(task, clip):
            num_asked += 1
            frames = [first.get(name, 99) for name in one.right.split(", ")]
            assert frames == sorted(frames)
            assert len(set(frames)) == len(frames)
    assert num_asked > 20


def first_hits(clip, step=4):
    """First frame in which some ray of a grid of pixels meets a thing first."""
    columns, rows = np.meshgrid(np.arange(step / 2, 200, step), np.arange(step / 2, 150, step))
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1).reshape(-1, 3) @ np.linalg.inv(INTRINSICS).T
    found = {}
    for frame, camera in enumerate(clip.camera.camera_to_world):
        depths = []
        for thing in clip.layout:
            start = thing.axes @ (camera[:3, 3] - thing.centre_metres)
            ways = rays @ camera[:3, :3].T @ thing.axes.T
            near, far = (
                np.sort([(s * thing.size_metres / 2 - start) / ways for s in (-1, 1)], axis=0)[k] for k in (0, 1)
            )
            enters, leaves = near.max(axis=1), far.min(axis=1)
            depths.append(np.where((enters < leaves) & (leaves > 0), np.maximum(enters, 0), np.inf))
        nearest = np.argmin(depths, axis=0)
        hit = np.isfinite(np.min(depths, axis=0))
        for k in set(nearest[hit]):
            found.setdefault(clip.layout[k].name, frame)
    return found


def test_the_prompt_holds_what_the_reward_needs():
    """Options with letters, the right one the answer; the map in the reasoning; drawn by the seed alone."""
    clip, task = room(PLAN), RelativeDirection("hard")
    plan = task.plan(clip, np.random.default_rng(5))
    again = task.plan(clip, np.random.default_rng(5))
    assert (plan.text, plan.response((1, 1))) == (again.text, again.response((1, 1)))
    options = dict(line.split(". ", 1) for line in plan.text.splitlines() if line[1:3] == ". ")
    assert len(options) == 4
    assert options[plan.answer] == plan.verdict
    assert plan.reference.answer == plan.answer
    assert plan.reference.number is None
    assert read_map(plan.thought) == {name: list(points) for name, points in plan.reference.map_centres.items()}
    number = AbsoluteDistance().plan(clip, np.random.default_rng(5))
    assert float(number.answer) == number.reference.number


def test_the_map_follows_the_first_view_and_may_be_left_out():
    """Looking east from the west, the chair is near on the right, the window far left."""
    clip = room(PLAN, [pose((-3, 2, 0.3), 0)])
    cells = ObjectSize(min_pixels=0).plan(clip, np.random.default_rng(0)).reference.map_centres
    assert cells["chair"][0][0] > cells["window"][0][0]
    assert cells["chair"][0][1] < cells["window"][0][1]
    world = ObjectSize(map_axes="world", min_pixels=0).plan(clip, np.random.default_rng(0)).reference.map_centres
    assert world["chair"][0][1] < world["window"][0][1]
    none = ObjectSize(map_axes="none", min_pixels=0).plan(clip, np.random.default_rng(0))
    assert none.reference.map_centres is None
    assert "<map>" not in none.text + none.thought


def test_sides_and_letters_are_balanced():
    """Over the prompts of a data set each side and each letter is within four standard deviations of its share."""
    rng = np.random.default_rng(0)
    clips = [random_room(rng, 9) for _ in range(30)]
    for difficulty, share in (("easy", 1 / 2), ("medium", 1 / 3), ("hard", 1 / 4)):
        task = RelativeDirection(difficulty, map_axes="none")
        prompts = task_prompts(task, clips, "train", 200)
        plans = [prompts.plan(address)[1] for address in range(200)]
        for counted in (Counter(plan.verdict for plan in plans), Counter(plan.answer for plan in plans)):
            allowed = 4 * math.sqrt(share * (1 - share) * len(plans))
            assert len(counted) == len(task.answers)
            assert all(abs(number - share * len(plans)) < allowed for number in counted.values()), counted


def test_similar_names_are_one_kind():
    clip = room([box("trash_bin", (0, 0, 0)), box("trash bin", (3, 0, 0)), box("lamp", (6, 0, 0))])
    assert answers(ObjectCounting(), clip, "kind") == {("trash bin",): "2"}
    assert set(answers(ObjectSize(), clip, "thing")) == {("lamp",)}


def test_names_that_differ_in_capitals_alone_are_not_asked_about():
    clip = room([box("chair", (0, 0, 0)), box("Chair", (3, 0, 0)), box("lamp", (6, 0, 0)), box(" ", (9, 0, 0))])
    assert answers(ObjectCounting(min_count=1), clip, "kind") == {("lamp",): "1"}
    assert set(answers(ObjectSize(), clip, "thing")) == {("lamp",)}


def test_nothing_to_ask():
    task = RelativeDirection("easy")
    assert task.plan(room(PLAN[:2]), np.random.default_rng(0)) is None
    assert not task.serves(room(PLAN[:2]))
    assert task.serves(room(PLAN[:3]))
    assert not task.serves(replace(room(PLAN), layout=()))
    assert not RoomSize().serves(room(PLAN))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RelativeDirection("hardest"),
        lambda: RelativeDirection(margin_degrees=45),
        lambda: RelativeDistance(num_options=1),
        lambda: RelativeDistance(min_ratio=0.5),
        lambda: AppearanceOrder(num_kinds=2),
        lambda: ObjectSize(map_axes="east"),
        lambda: ObjectSize(min_seen=0),
        lambda: ObjectSize(min_pixels=-1),
    ],
)
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(ConfigError):
        wrong()


def test_what_touches_has_no_distance():
    clip = room([box("a", (0, 0, 0)), box("b", (1.2, 0, 0)), box("c", (1.4, 5, 0))])
    assert {frozenset(pair) for pair in answers(AbsoluteDistance(), clip, "first", "second")} == {
        frozenset("ac"),
        frozenset("bc"),
    }
    assert reasons(AbsoluteDistance(), clip)["too close"] == 1


def test_maps_stay_readable():
    """What a reward does not read back is not drawn: long names, and rooms of more than a hundred things."""
    long = room([*PLAN, box("x" * 65, (9, 9, 0))])
    assert set(ObjectSize().plan(long, np.random.default_rng(0)).reference.map_centres) == {one.name for one in PLAN}
    crowded = room([*PLAN, *(box("cup", (k, 9, 0)) for k in range(100))])
    assert ObjectCounting().plan(crowded, np.random.default_rng(0)).reference.map_centres is None
