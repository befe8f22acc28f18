"""Questions about followed things: by hand on a plan drawn from above, and against other ways to the same answers."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from remot.data.annotations import NativeReader
from remot.data.clips.bundled import clips_root
from remot.data.tasks import (
    BoxLocalisation,
    Displacement,
    FrameSampling,
    MotionDirection,
    ObjectMotion,
    ObjectTracking,
    TimeInView,
    TrackCounting,
    TrackDirection,
    TrackDistance,
    TrackNearest,
    TrackOrder,
    TrackSize,
)
from remot.data.tasks.tracks import base
from remot.data.tasks.tracks.base import TrackCandidate
from remot.data.tasks.tracks.moving import way_in_words
from remot.data.tasks.tracks.relations import relation
from remot.data.tasks.tracks.scene import TrackScene
from remot.errors import ConfigError
from remot.rewards.parsing.graphs import read_graphs
from remot.structures import CameraTrack, Clip, ObjectTrack
from tests.data.tasks.rooms import pose
from tests.helpers import assert_close

NAN = float("nan")
NUM_FRAMES = 6
ALL = FrameSampling(max_frames=NUM_FRAMES)
SEED = 1
#: Image of the hand-made clips, in pixels.
SIZE = (200, 150)


@pytest.fixture(autouse=True)
def _images_of_a_known_size(monkeypatch):
    """The hand-made clips have no images."""
    from remot.data.tasks.shared.places import image_size

    def size(clip):
        return SIZE if clip.media is None else image_size(clip)

    monkeypatch.setattr(base, "image_size", size)
    monkeypatch.setattr("remot.data.tasks.shared.places.image_size", size)


def track(places=None, seen=range(NUM_FRAMES), box=(20, 30, 60, 90), **kwargs):
    """A thing in view in the frames ``seen``, at world places [6, 3] for a camera that rests at the origin."""
    boxes = np.full((NUM_FRAMES, 4), NAN)
    boxes[list(seen)] = box
    centres = None if places is None else np.where(np.isfinite(boxes[:, :1]), np.asarray(places, dtype=float), NAN)
    return ObjectTrack(boxes, centres_metres=centres, **kwargs)


def still(x, z):
    return np.tile([x, 0.0, z], (NUM_FRAMES, 1))


def clip_of(complete_kinds=None, **objects):
    """Half a second between frames; names have spaces for underscores."""
    named = {name.replace("_", " "): one for name, one in objects.items()}
    return Clip("c", "c", "d", None, np.arange(NUM_FRAMES) / 2, objects=named, complete_kinds=complete_kinds)


def asked(task, clip):
    scene = TrackScene(clip, task.frames.frames_of(clip), task.min_pixels)
    return [one for one in task.candidates(scene, np.random.default_rng(SEED)) if isinstance(one, TrackCandidate)]


def reasons(task, clip):
    return task.refusals([clip], np.random.default_rng(SEED))


# Seen from above, the camera at the bottom looking up; a metre a cell.
#
#   6            P          post (1, 6)
#   5
#   4   M ------> M'        man walks from (-2, 4) to (1, 4), half a metre beyond the dog's column
#   3
#   2         D             dog (0.5, 2)
#   0         camera
WALK = np.column_stack([np.linspace(-2, 1, NUM_FRAMES), np.zeros(NUM_FRAMES), np.full(NUM_FRAMES, 4.0)])
PLAN = {"man": track(WALK), "dog": track(still(0.5, 2)), "post": track(still(1, 6), is_landmark=True)}


def test_relations_by_hand():
    """At the first moment the man is far to the left of the dog; the post is right of the man and farther."""
    found = {
        (one.places["time"], one.places["first"], one.places["second"]): one.right
        for seed in range(6)
        for one in TrackDirection(frames=ALL).candidates(
            TrackScene(clip_of(**PLAN), tuple(range(NUM_FRAMES)), 8), np.random.default_rng(seed)
        )
        if isinstance(one, TrackCandidate)
    }
    assert found["0.00", "dog", "man"] == "left and farther"
    assert found["0.00", "man", "dog"] == "right and nearer"
    assert found["0.00", "man", "post"] == "right and farther"
    assert ("0.00", "dog", "post") not in found  # half a metre to the right but 4 away, and left of it in the image


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ((0, 5), (2, 7), "right and farther"),
        ((0, 5), (-2, 3), "left and nearer"),
        ((0, 5), (2, 5.2), None),  # as good as beside it
        ((0, 5), (0.2, 9), None),  # as good as behind it
        ((0, 5), (0.2, 5.2), None),  # too close
        ((1, 2), (2, 5), None),  # 1 m to the right, but left of it in the image: 2/5 against 1/2
        ((1, 0), (2, 5), None),  # beside the camera
        ((2, 5), (1, 0), None),
        ((1, -2), (4, 2), None),  # behind it
    ],
)
def test_relation_of_two_places(start, end, said):
    assert relation(start, end, 15, 0.5) == said


def test_distances_by_hand():
    """Dog and post are hypot(0.5, 4) = 4.03 m apart; the man comes from hypot(2.5, 2) = 3.20 m to hypot(0.5, 2)."""
    found = {}
    for one in asked(TrackDistance(frames=ALL), clip_of(**PLAN)):
        found[one.places["time"], one.places["first"], one.places["second"]] = one.right
    times = {time for time, *_ in found}
    assert {found[time, "dog", "post"] for time in times} == {"4.0"}
    by_hand = {"0.00": "3.2", "0.50": "2.8", "1.00": "2.4", "1.50": "2.1", "2.00": "2.0", "2.50": "2.1"}
    assert {time: found[time, "dog", "man"] for time in times} == {time: by_hand[time] for time in times}


def test_the_nearest_by_hand():
    """The man ends hypot(0.5, 2) from the dog and 2 from the post: too alike, as a look at the plan says."""
    task = TrackNearest(frames=ALL)
    found = {(one.places["time"], one.places["thing"]): one.right for one in asked(task, clip_of(**PLAN))}
    assert all(right == "man" for (_, thing), right in found.items() if thing == "dog")
    assert ("2.50", "man") not in found
    assert len(found) > 3


@pytest.mark.parametrize(
    ("near", "far", "is_asked"),
    [(1.0, 1.3, True), (2.0, 2.3, False), (0.3, 0.45, False), (1.0, 1.19, False)],
)
def test_the_nearest_needs_both_margins(near, far, is_asked):
    """0.2 m and a fifth more: 2.3 is 0.3 m but only 1.15 times 2; 0.45 is 1.5 times 0.3 but only 0.15 m more."""
    clip = clip_of(post=track(still(0, 4)), man=track(still(near, 4)), dog=track(still(-far, 4)))
    found = [one for one in asked(TrackNearest(frames=ALL), clip) if one.places["thing"] == "post"]
    assert {one.right for one in found} == ({"man"} if is_asked else set())


def test_motion_by_hand():
    """The man goes to the right, 0.6 m between two frames; the post is a landmark, the dog rests."""
    clip = clip_of(**PLAN)
    found = asked(MotionDirection(frames=ALL), clip)
    assert {(one.places["thing"], one.right) for one in found} == {("man", "to the right")}
    assert reasons(MotionDirection(frames=ALL), clip)["hardly moves"] > 0
    for one in asked(Displacement(frames=ALL), clip):
        steps = round((float(one.places["end"]) - float(one.places["start"])) / 0.5)
        assert (one.places["thing"], one.right) == ("man", f"{0.6 * steps:.1f}")


@pytest.mark.parametrize(
    ("across", "along", "said"),
    [
        (1, 0, "to the right"),
        (-3, 1, "to the left"),
        (0.2, 2, "away from the camera"),
        (0, -1, "towards the camera"),
        (1, 1, None),
        (1, -0.7, None),  # 35 degrees off
        (0, 0, None),
    ],
)
def test_ways_in_words(across, along, said):
    assert way_in_words(across, along, 15) == said


def test_a_camera_that_rides_along_does_not_hide_the_motion():
    """Camera and car go forward by 1 m a frame: the car stays at one place of the image and moves all the same."""
    poses = np.stack([pose((0, k, 1), 90) for k in range(NUM_FRAMES)])
    clip = replace(clip_of(car=track(still(0, 5)), post=track(still(0, 9))), camera=CameraTrack(poses))
    found = asked(MotionDirection(frames=ALL), clip)
    assert {(one.places["thing"], one.right) for one in found} >= {("car", "away from the camera")}
    backing = replace(clip, camera=CameraTrack(poses[::-1].copy()))
    assert {one.right for one in asked(MotionDirection(frames=ALL), backing)} == {"towards the camera"}
    assert not MotionDirection().serves(replace(clip, camera=None, camera_moves=True))


def test_orders_by_hand():
    """Views begin in the first frame (a), third (b), fifth (c, d); e is a sliver from the third to the fifth."""
    sliver = np.full((NUM_FRAMES, 4), NAN)
    sliver[2:5], sliver[5] = (0, 30, 3, 90), (0, 30, 60, 90)
    clip = clip_of(a=track(), b=track(seen=range(2, 6)), c=track(seen=(4, 5)))
    task = TrackOrder(num_tracks=3, frames=ALL)
    assert {one.right for one in asked(task, clip)} == {"a, b, c"}
    together = replace(clip, objects={**clip.objects, "d": track(seen=(4, 5))})
    assert {one.right for one in asked(task, together)} == {"a, b, c", "a, b, d"}
    creeping = replace(clip, objects={**clip.objects, "e": ObjectTrack(sliver)})
    assert {one.right for one in asked(task, creeping)} == {"a, b, c"}
    assert reasons(task, creeping)["two may come into view together"] > 0
    assert not task.serves(clip_of(a=track(), b=track(), c=track()))


def test_time_in_view_by_hand():
    """b is in frames 1 to 3, so from 0.5 s to 2.0 s; c and e come twice; a is there all the time, d too briefly."""
    seen = {"a": range(6), "b": (1, 2, 3), "c": (0, 1, 4), "d": (3,), "e": (1, 3, 4)}
    clip = clip_of(**{name: track(seen=frames) for name, frames in seen.items()})
    task = TimeInView(min_seconds=0.6, frames=ALL)
    assert [(one.places["thing"], one.right, one.interval) for one in asked(task, clip)] == [
        ("b", "0.50 to 2.00", (0.5, 2.0))
    ]
    assert reasons(task, clip) == {
        "asked": 1,
        "too short or too long in view": 2,
        "comes and goes more than once": 2,
    }


def test_counts_by_hand():
    """Two cars in the shown frames, a third only between them, and a van."""
    cars = {
        "car_1": track(),
        "car_2": track(seen=(0,)),
        "car_3": track(seen=(1, 2)),
        "van_1": track(),
        "van_2": track(),
    }
    clip = clip_of(complete_kinds=("car",), **cars)
    task = TrackCounting(frames=FrameSampling(max_frames=2))
    assert [(one.places["kind"], one.right) for one in asked(task, clip)] == [("car", "2")]
    assert reasons(task, clip) == {"asked": 1, "not every one is annotated": 1}
    assert not task.serves(replace(clip, complete_kinds=None))
    hardly = replace(clip, objects={**clip.objects, "car 4": track(box=(0, 30, 3, 90))})
    assert reasons(task, hardly)["one is hardly seen"] == 1


def test_boxes_and_sizes_by_hand():
    """20, 30, 60, 90 of 200 x 150 pixels; the longest side of 1.2 x 0.4 x 0.8 m."""
    clip = clip_of(cup=track(size_metres=np.array([1.2, 0.4, 0.8])), dot=track(box=(10, 10, 11, 11)))
    (box,) = asked(BoxLocalisation(frames=ALL), clip)
    assert (box.right, box.box) == ("[[0.1, 0.2, 0.3, 0.6]]", (0.1, 0.2, 0.3, 0.6))
    (size,) = asked(TrackSize(frames=ALL), clip)
    assert (size.places["thing"], size.right) == ("cup", "120")


def test_numbered_things_are_pointed_out_at_another_time_than_asked_about():
    clip = clip_of(car_1=track(box=(20, 30, 60, 90)), car_2=track(seen=(2,)))
    for seed in range(20):
        plan = BoxLocalisation(frames=ALL).plan(clip, np.random.default_rng(seed))
        pointing, question = plan.text.splitlines()[:2]
        (called,) = (name for name in ("car 1", "car 2") if f"{name} [0.1, 0.2, 0.3, 0.6]" in pointing)
        assert called in question  # the other one is in view only once, so there is no other time to point it out
        (at,) = [time for time in ("0.00", "0.50", "1.00", "1.50", "2.00", "2.50") if time in question]
        assert at not in pointing


@pytest.mark.parametrize(("shift", "is_asked"), [(5, False), (7, False), (8, True)])
def test_a_box_that_another_of_its_kind_shares_points_at_nothing(shift, is_asked):
    """Boxes 40 wide, shifted by 7: 33 of 47 columns are shared, 0.702; by 8: 32 of 48, 0.667. A dog may share it."""
    clip = clip_of(car_1=track(), car_2=track(box=(20 + shift, 30, 60 + shift, 90)), dog_1=track())
    task = BoxLocalisation(frames=ALL)
    assert task.refusals([clip], np.random.default_rng(0))["asked"] == (3 if is_asked else 1)
    tracked = ObjectTracking(num_boxes=3, repeat_last=False)._objects(clip)[0]
    assert tracked == (["car 1", "car 2", "dog 1"] if is_asked else ["dog 1"])


@pytest.mark.parametrize("side", [15, 16])
def test_things_smaller_than_a_patch_are_not_asked_about(side):
    """A square, and a bar of its area."""
    for box in ((20, 30, 20 + side, 30 + side), (20, 30, 20 + side / 2, 30 + 2 * side)):
        clip = clip_of(cup=track(box=box))
        assert ObjectTracking(num_boxes=3, repeat_last=False).serves(clip) == (side == 16)
        assert ObjectTracking(num_boxes=3, repeat_last=False, min_pixels=9).serves(clip)
        assert ObjectMotion(frames=ALL).serves(clip) == (side == 16)
        assert ObjectMotion(frames=ALL, min_pixels=9).serves(clip)


def test_track_numbers_do_not_give_the_order_away():
    """Annotators count as things come; in prompts each of the six orders of three numbers is as frequent."""
    clip = clip_of(
        car_1=track(),
        car_2=track(seen=range(2, 6), box=(80, 30, 120, 90)),
        car_3=track(seen=(4, 5), box=(140, 30, 180, 90)),
    )
    task, rng, orders = TrackOrder(num_tracks=3, frames=ALL), np.random.default_rng(0), Counter()
    for _ in range(150):
        plan = task.plan(clip, rng)
        orders[dict(line.split(". ", 1) for line in plan.text.splitlines() if line[1:3] == ". ")[plan.answer]] += 1
        assert plan.text.index("car 1 [") < plan.text.index("car 2 [") < plan.text.index("car 3 [")
    assert len(orders) == 6
    assert max(orders.values()) < 150 / 6 + 4 * math.sqrt(150 * 5 / 36)


def test_graphs_in_the_reasoning_are_those_of_the_reference():
    """Two graphs, at the first and the last moment; the man has moved 3 m to the right in the second."""
    plan = TrackDistance(frames=ALL, num_graphs=2).plan(clip_of(**PLAN), np.random.default_rng(0))
    first, last = plan.reference.graphs
    assert first == {"dog": (0.5, 2), "man": (-2, 4), "post": (1, 6)}
    assert last == {**first, "man": (1, 4)}
    written = read_graphs(plan.thought, 2)
    assert [one.nodes for one in written] == [first, last]
    assert_close(written[0].edges["dog", "man"], (math.hypot(2.5, 2), 141.34), atol=0.006)
    assert "0.00, 2.50 s" in plan.text
    assert (
        TrackDistance(frames=ALL, num_graphs=0).plan(clip_of(**PLAN), np.random.default_rng(0)).reference.graphs is None
    )


def test_no_graph_without_positions_or_where_times_would_give_the_answer():
    clip = clip_of(cup=track(size_metres=np.ones(3)), pot=track(seen=(0, 1, 2)))
    assert TrackSize(frames=ALL).plan(clip, np.random.default_rng(0)).reference.graphs is None
    placed = clip_of(cup=track(still(0, 3)), pot=track(still(1, 3), seen=(0, 1, 2)))
    plan = TimeInView(frames=ALL, num_graphs=2).plan(placed, np.random.default_rng(0))
    assert (plan.answer, plan.reference.graphs) == ("0.00 to 1.50", None)


def random_clip(rng, num_tracks=5):
    """Things that wander before a camera that turns and moves; and where they really are, [name][N, 3]."""
    poses = np.tile(np.eye(4), (NUM_FRAMES, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(np.cumsum(rng.normal(size=(NUM_FRAMES, 3)) * 0.05, axis=0)).as_matrix()
    poses[:, :3, 3] = np.cumsum(rng.normal(size=(NUM_FRAMES, 3)) * 0.1, axis=0)
    world = {
        f"thing {letter}": np.cumsum(rng.normal(size=(NUM_FRAMES, 3)) * 0.5, axis=0)
        + rng.normal(size=3) * 2
        + [0, 0, 12]
        for letter in "abcdefgh"[:num_tracks]
    }
    objects = {}
    for name, places in world.items():
        local = np.stack(
            [np.linalg.solve(one, np.append(place, 1))[:3] for one, place in zip(poses, places, strict=True)]
        )
        objects[name] = replace(track(seen=range(int(rng.integers(0, 4)), 6)), centres_metres=local)
    return replace(clip_of(**objects), camera=CameraTrack(poses)), world


def frame_at(seconds):
    return round(float(seconds) / 0.5)


def direct_answer(task, one, clip, world):
    """The answer from world places, by other means than the library's."""
    eye = clip.camera.camera_to_world
    if task.name == "track_distance":
        frame = frame_at(one.places["time"])
        return f"{math.dist(world[one.places['first']][frame], world[one.places['second']][frame]):.1f}"
    if task.name == "displacement":
        return f"{math.dist(*(world[one.places['thing']][frame_at(one.places[at])] for at in ('start', 'end'))):.1f}"
    if task.name == "track_nearest":
        frame = frame_at(one.places["time"])
        here = world[one.places["thing"]][frame]
        return min((one.right, *one.wrong), key=lambda name: math.dist(world[name][frame], here))
    if task.name == "track_direction":
        frame = frame_at(one.places["time"])
        right, _, away = eye[frame][:3, :3].T
        gap = world[one.places["second"]][frame] - world[one.places["first"]][frame]
        return f"{'right' if gap @ right > 0 else 'left'} and {'farther' if gap @ away > 0 else 'nearer'}"
    start, end = (frame_at(one.places[at]) for at in ("start", "end"))
    way = world[one.places["thing"]][end] - world[one.places["thing"]][start]
    right, _, away = eye[start][:3, :3].T
    scores = {"to the right": way @ right, "to the left": -way @ right, "away from the camera": way @ away}
    scores["towards the camera"] = -way @ away
    return max(scores, key=scores.__getitem__)


PLACED = [TrackDistance(frames=ALL), TrackDirection(frames=ALL), TrackNearest(frames=ALL), MotionDirection(frames=ALL)]
PLACED += [Displacement(frames=ALL)]


def check_clips(num_clips, seed):
    """Compare every candidate of random clips with another way to its answer; how many were right and wrong."""
    rng, counts = np.random.default_rng(seed), Counter()
    for _ in range(num_clips):
        clip, world = random_clip(rng)
        for task in PLACED:
            for one in asked(task, clip):
                counts[task.name, direct_answer(task, one, clip, world) == one.right] += 1
    return counts


def test_answers_agree_with_other_ways_to_them():
    counts = check_clips(num_clips=60, seed=0)
    assert not [key for key in counts if not key[1]]
    assert min(counts.values()) > 50
    assert len(counts) == len(PLACED)


@pytest.mark.slow
def test_answers_of_thousands_of_clips_agree():
    counts = check_clips(num_clips=3000, seed=1)
    assert not [key for key in counts if not key[1]]


def test_ways_agree_with_the_events_that_were_rendered():
    """The renderer wrote what happens before anything was asked: "the red stool moves to the left"."""
    clips = [clip for clip in NativeReader().read(clips_root("embedded/tasks")) if clip.domain == "floors"]
    num_checked = 0
    for clip in clips:
        for one in asked(MotionDirection(), clip):
            start, end = float(one.places["start"]), float(one.places["end"])
            said = [event.text for event in clip.events if one.places["thing"] in event.text]
            assert len(said) == 1
            assert said[0].endswith(one.right), (said, one)
            num_checked += start < end
    assert num_checked > 100


def test_letters_and_directions_are_balanced():
    rng, task = np.random.default_rng(0), TrackDirection(frames=ALL, num_graphs=0)
    plans = [task.plan(random_clip(rng)[0], rng) for _ in range(500)]
    for counted in (Counter(plan.answer for plan in plans), Counter(plan.verdict for plan in plans)):
        assert len(counted) == 4
        assert all(abs(number - 125) < 4 * math.sqrt(500 * 3 / 16) for number in counted.values()), counted


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: TrackDirection(margin_degrees=45),
        lambda: TrackNearest(num_options=1),
        lambda: MotionDirection(min_metres=0),
        lambda: TrackOrder(num_tracks=2),
        lambda: TrackSize(num_graphs=99),
        lambda: TrackSize(max_nodes=1),
    ],
)
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(ConfigError):
        wrong()


def test_names_that_differ_only_in_case_are_one_name():
    """Of car, Car and a dog only the dog has a name of its own; Vans 1 and 2 are one kind in two ways of writing."""
    scene = TrackScene(clip_of(car=track(), Car=track(), dog=track()), (0, 1), 8)
    assert dict(scene.names) == {"dog": "dog"}
    vans = clip_of(complete_kinds=("van", "Van"), van_1=track(), van_2=track(), Van_3=track())
    assert reasons(TrackCounting(), vans) == {"written in two ways": 2}


@pytest.mark.parametrize(("side", "is_clear"), [(15.9, False), (16.0, True)])
def test_things_smaller_than_an_image_patch_are_not_asked_about(side, is_clear):
    """The shorter side decides: 16 pixels, as for questions about pairs of frames."""
    clip = clip_of(crate=track(box=(20, 30, 20 + side, 90)))
    task = BoxLocalisation(frames=ALL)
    assert TrackScene(clip, tuple(range(NUM_FRAMES)), task.min_pixels).clear("crate").all() == is_clear
    assert (task.plan(clip, np.random.default_rng(SEED)) is not None) == is_clear
