"""The audit's own measures by hand, against solvers and against rays; and random scenes, which it finds right."""

import math
from dataclasses import replace

import numpy as np
import pytest

from remot.data.tasks import (
    AbsoluteDistance,
    AppearanceOrder,
    Displacement,
    FrameSampling,
    MotionDirection,
    ObjectCounting,
    ObjectSize,
    RelativeDirection,
    RelativeDistance,
    TrackDirection,
    TrackDistance,
    TrackNearest,
)
from remot.datatools.audit.tasks.geometry import first_hits, reach, seen_bounds, solid_distance, turn_degrees
from remot.datatools.audit.tasks.images import motion_words
from remot.datatools.audit.tasks.ordered import listed
from remot.datatools.audit.tasks.prompt import UnreadableError, kind, one_of, readings, spoken, thing
from remot.datatools.audit.tasks.quality import blurriness, darkness, noisiness
from remot.structures import CameraTrack
from tests.data.made import task_prompts
from tests.data.tasks import test_rooms, test_tracks
from tests.data.tasks.rooms import INTRINSICS, box, pose, random_box, room, solved_distance
from tests.datatools.audit.tasks.prompts import faults
from tests.helpers import assert_close

# -- distances and directions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "metres"),
    [
        (box("a", (0, 0, 0)), box("b", (3, 0, 0)), 2.0),  # face to face
        (box("a", (0, 0, 0)), box("b", (4, 5, 0)), 5.0),  # edge to edge: 3 and 4
        (box("a", (0, 0, 0)), box("b", (2, 3, 3)), 3.0),  # corner to corner: 1, 2 and 2
        (box("a", (0, 0, 0)), box("b", (2, 0, 0), yaw_degrees=45), 1.5 - math.sqrt(0.5)),  # face to edge
        (box("a", (0, 0, 0)), box("b", (1, 0, 0)), 0.0),  # touching
        (box("a", (0, 0, 0), (4, 4, 4)), box("b", (0.5, 0, 0)), 0.0),  # one in the other
    ],
)
def test_distances_by_hand(first, second, metres):
    assert_close(solid_distance(first, second), metres, atol=2e-4)
    assert_close(solid_distance(second, first), metres, atol=2e-4)


def test_distances_are_those_of_a_solver():
    rng = np.random.default_rng(0)
    for level in (False, True):
        for _ in range(100):
            first, second = random_box(rng, level=level), random_box(rng, level=level)
            assert_close(solid_distance(first, second), solved_distance(first, second), atol=2e-4)


def test_reach_by_hand():
    """Half of 2 along its own axis, and half of the diagonal of 2 and 1 at most."""
    thing = box("a", (0, 0, 0), (2, 1, 1), yaw_degrees=90)
    assert_close(reach(thing, np.array([0.0, 1, 0])), 1)
    assert_close(reach(thing, np.array([1.0, 0, 0])), 0.5)
    assert_close(reach(thing, np.array([1.0, 2, 0]) / math.sqrt(5)), math.sqrt(5) / 2)


def test_turns_by_hand():
    """At the origin, facing north: west is 90 degrees to the left, south-east 135 to the right."""
    here, north = box("a", (0, 0, 0)), box("b", (0, 2, 5))
    assert_close(turn_degrees(here, north, box("c", (-3, 0, 0))), 90)
    assert_close(turn_degrees(here, north, box("c", (1, -1, 0))), -135)
    assert math.isnan(turn_degrees(here, here, north))


# -- what is seen --------------------------------------------------------------------------------------------------


def test_a_cube_straight_ahead_shows_the_nine_points_of_a_face():
    """9 of 26 points lie on the face towards the camera; behind another cube none of them is seen."""
    camera = CameraTrack(np.stack([pose((-5, 0, 0), 0), pose((-5, 0, 0), 180)]), INTRINSICS)
    near, far = box("near", (0, 0, 0)), box("far", (3, 0, 0))
    bounds = seen_bounds((near, far), camera, (0, 1))
    assert_close(bounds.least, [[9 / 26, 0], [0, 0]])
    assert_close(bounds.most, [[9 / 26, 0], [0, 0]])
    assert first_hits((near, far), camera, (0, 1)) == (0, 2)
    assert first_hits((far,), camera, (1, 0)) == (1,)


def test_a_cube_seen_at_its_edge_shows_two_faces():
    camera = CameraTrack(pose((-5, 0, 0), 0)[None], INTRINSICS)
    bounds = seen_bounds((box("a", (0, 0, 0), yaw_degrees=45),), camera, (0,))
    assert_close(bounds.least, [[15 / 26]])


def test_bounds_hold_what_the_tasks_see():
    """The tasks' share of seen points lies between the two bounds, which mostly are the same."""
    from remot.data.tasks.geometry.views import visibilities

    rng, num_same, num_seen = np.random.default_rng(0), 0, 0
    for _ in range(60):
        things = tuple(random_box(rng, f"thing {k}", spread=3, level=bool(rng.integers(2))) for k in range(6))
        poses = np.stack([pose(rng.uniform(-1, 1, 3), yaw) for yaw in rng.uniform(0, 360, 3)])
        camera = CameraTrack(poses, INTRINSICS)
        bounds = seen_bounds(things, camera, (0, 1, 2), 16.0)
        seen = np.stack([one.seen for one in visibilities(things, camera, (0, 1, 2), min_pixels=16.0)])
        assert (bounds.least <= seen + 1e-9).all()
        assert (seen <= bounds.most + 1e-9).all()
        num_same += int((bounds.least == bounds.most).sum())
        num_seen += int((seen > 0).sum())
    assert num_same > 0.85 * 60 * 18
    assert num_seen > 200


def test_a_box_of_a_few_pixels_is_not_seen():
    """A face of a metre 4.5 m away is 22.2 pixels wide and high with a focal length of 100."""
    camera = CameraTrack(pose((-5, 0, 0), 0)[None], INTRINSICS)
    thing = (box("a", (0, 0, 0)),)
    assert_close(seen_bounds(thing, camera, (0,), 22.0).least, [[9 / 26]])
    assert_close(seen_bounds(thing, camera, (0,), 22.5).most, [[0]])


@pytest.mark.slow
def test_first_hits_lie_between_the_first_sliver_and_the_first_clear_view():
    """Not before a ray of a fine grid of pixels ends on a thing, nor after a fifth of its points is seen."""
    rng, num_clear, num_exact = np.random.default_rng(1), 0, 0
    for _ in range(4):
        things = [random_box(rng, f"thing {letter}", spread=3, level=True) for letter in "abcde"]
        start, yaws = rng.uniform(-1, 1, 3), rng.uniform(0, 360) + np.linspace(0, 200, 12)
        if any((np.abs(one.axes @ (start - one.centre_metres)) < one.size_metres / 2).all() for one in things):
            continue  # who stands in a thing sees no face of it
        clip = room(things, [pose(start, yaw) for yaw in yaws])
        with np.errstate(divide="ignore"):  # a ray may run along a face
            slivers = test_rooms.first_hits(clip, step=1)
        clear = seen_bounds(clip.layout, clip.camera, tuple(range(12))).least >= 0.2
        for number, found in enumerate(first_hits(clip.layout, clip.camera, tuple(range(12)))):
            first = slivers.get(things[number].name, 12)
            assert found >= first
            assert found <= (int(np.argmax(clear[number])) if clear[number].any() else 12)
            num_clear += bool(clear[number].any())
            num_exact += found == first
    assert num_clear > 4
    assert num_exact > 10


# -- random scenes -------------------------------------------------------------------------------------------------


def random_faults(task, clip, seed):
    plan = task.plan(clip, np.random.default_rng(seed))
    if plan is None:
        return None
    return faults(
        task, clip, plan, task_prompts(task, [clip], "audit", 1).question(0, clip, plan, (1, 1)), known_size=(200, 150)
    )


def test_nothing_is_wrong_with_random_rooms():
    """Without a camera, and as a camera that turns in the middle of them sees them."""
    tasks = [ObjectCounting(), ObjectSize(), AbsoluteDistance(), RelativeDistance(), AppearanceOrder(num_kinds=3)]
    tasks += [RelativeDirection(one) for one in ("easy", "medium", "hard")]
    rng, num_asked = np.random.default_rng(0), dict.fromkeys((task.name for task in tasks), 0)
    for seed in range(8):
        whole = test_rooms.random_room(rng, 8)
        yaws = rng.uniform(0, 360) + np.linspace(0, 270, 10)
        turning = room(
            whole.layout, [pose(rng.uniform(-0.5, 0.5, 3), yaw) for yaw in yaws], room_area_square_metres=9.0
        )
        for clip in (whole, turning):
            for task in tasks:
                if task.serves(clip) and (found := random_faults(task, clip, seed)) is not None:
                    assert found == []
                    num_asked[task.name] += 1
    assert min(num_asked.values()) > 1, num_asked


def test_nothing_is_wrong_with_random_tracks(monkeypatch):
    from remot.data.tasks.tracks import base

    monkeypatch.setattr(base, "image_size", lambda _: (200, 150))
    frames = FrameSampling(max_frames=6)
    tasks = [kind(frames=frames) for kind in (TrackDirection, TrackDistance, TrackNearest, MotionDirection)]
    rng, num_asked = np.random.default_rng(0), dict.fromkeys((task.name for task in tasks), 0)
    for seed in range(40):
        clip, _ = test_tracks.random_clip(rng)
        for task in tasks:
            if (found := random_faults(task, clip, seed)) is not None:
                assert found == []
                num_asked[task.name] += 1
    assert min(num_asked.values()) > 20, num_asked


def test_poses_that_are_taken_the_wrong_way_round_are_found():
    """World-to-camera for camera-to-world turns ways by twice the camera's turn: prompts made so are mostly wrong."""
    task = TrackDistance(frames=FrameSampling(max_frames=6))
    moving = Displacement(frames=FrameSampling(max_frames=6), num_graphs=0)
    rng, num_wrong = np.random.default_rng(0), 0
    for seed in range(20):
        clip, _ = test_tracks.random_clip(rng)
        inverted = replace(clip, camera=CameraTrack(np.linalg.inv(clip.camera.camera_to_world)))
        plan = moving.plan(inverted, np.random.default_rng(seed))
        question = task_prompts(moving, [clip], "audit", 1).question(0, clip, plan, (1, 1))
        num_wrong += bool(faults(moving, clip, plan, question))
        assert random_faults(task, inverted, seed) == []  # distances at one moment are the same either way
    assert num_wrong > 15


# -- texts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotated", "said", "of_kind"),
    [
        ("red_crate", "red crate", "red crate"),
        ("car_12", "car 12", "car"),
        ("a  <|video_pad|>\nb", "a (video pad) b", "a (video pad) b"),
        ("7", "7", "7"),
        ("x" * 400, "x" * 300, "x" * 300),
    ],
)
def test_names_are_those_of_the_prompts(annotated, said, of_kind):
    from remot.data.questions.text import called
    from remot.data.tasks.tracks.scene import kind_of

    assert (thing(annotated), kind(annotated)) == (said, of_kind)
    assert (called(annotated), kind_of(annotated)) == (said, of_kind)


def test_texts_are_cleaned_as_in_the_prompts():
    from remot.data.questions.text import plain

    rng = np.random.default_rng(0)
    for _ in range(2000):
        text = "".join(rng.choice(list("<|> \n\tab"), 12))
        assert spoken(text) == plain(text)


def test_a_text_is_read_back():
    wordings = ("How far is {first} from {second}?", "From {first} to {first}?")
    names = one_of(["the cup", "the cup from the pot", "the pot"])
    patterns = {"first": names, "second": names}
    assert readings("so\nHow far is the cup from the pot?\n", wordings, patterns) == [
        {"first": "the cup", "second": "the pot"}
    ]
    assert readings("From the pot to the pot?", wordings, patterns) == [{"first": "the pot"}]
    assert readings("From the pot to the cup?", wordings, patterns) == []
    assert readings("How far is the (cup from the pot?", wordings, patterns) == []


def test_lists_are_read_though_names_hold_commas():
    names = ["cup", "cup, red", "pot"]
    assert listed("pot, cup, red, cup", names) == ["pot", "cup, red", "cup"]
    with pytest.raises(UnreadableError, match="is no list of things"):
        listed("pot, pan", names)
    with pytest.raises(UnreadableError, match="is no list of things"):
        listed("pot, pot", names)


# -- images ------------------------------------------------------------------------------------------------------


def test_what_was_done_to_images_is_measured():
    """Noise, light and blur of known size, made with numpy and scipy, on an image with detail at many scales."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    layers = sum(gaussian_filter(rng.normal(size=(120, 160)), scale) * scale * 25 for scale in (1, 3, 8))
    source = np.clip(np.stack([layers + shift for shift in (110, 128, 140)]), 0, 255).round()
    assert [darkness(source, source * share) for share in (1, 0.9, 0.55, 0.2)] == [0, 0, 1, 2]
    noisy = [np.clip(source + rng.normal(size=source.shape) * size, 0, 255) for size in (2, 18, 55)]
    assert [noisiness(source, one) for one in noisy] == [0, 1, 2]
    blurred = [gaussian_filter(source, (0, share * 120, share * 120)) for share in (0.002, 0.012, 0.035)]
    assert [blurriness(source, one) for one in blurred] == [0, 1, 2]
    assert [noisiness(source, one) for one in blurred] == [0, 0, 0]
    assert blurriness(source, source) == 0


# -- motion over the screen ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "seconds", "words"),
    [
        ((40, 0, 70, 40), 1, ("E", "fast", "stable")),  # 40 pixels of a diagonal of 50
        ((0, -4, 30, 36), 1, ("N", "slow", "stable")),  # 4 pixels upwards are 0.08 diagonals
        ((-8, 8, 22, 48), 1, ("SW", "moderate", "stable")),  # 11.3 pixels
        ((1, 0, 31, 40), 4, ("STAT", "stationary", "stable")),
        ((-15, -20, 45, 60), 1, ("STAT", "stationary", "approaching")),  # twice as large about its middle
        ((7.5, 10, 22.5, 30), 1, ("STAT", "stationary", "receding")),
    ],
)
def test_motion_over_the_screen_by_hand(last, seconds, words):
    """From a box of 30 x 40 pixels at the origin; y points downwards."""
    assert motion_words((0.0, 0.0, 30.0, 40.0), last, seconds)[0] == words


def test_motion_over_the_screen_is_that_of_the_task():
    from remot.data.tasks.images.object_motion import screen_motion

    rng = np.random.default_rng(0)
    for _ in range(500):
        first = np.concatenate([corner := rng.uniform(0, 90, 2), corner + rng.uniform(5, 40, 2)])
        last = np.concatenate([corner := first[:2] + rng.normal(size=2) * 20, corner + rng.uniform(5, 40, 2)])
        told = screen_motion(tuple(first), tuple(last), 2.0)
        words, near = motion_words(tuple(first), tuple(last), 2.0)
        assert words == (told.direction, told.speed, told.scale)
        assert_close(near, told.margin, atol=1e-9)


def test_boxes_of_images_that_are_not_square(monkeypatch):
    """20, 30, 60, 90 of 200 x 150 pixels are 0.1, 0.2, 0.3, 0.6; width and height exchanged is wrong."""
    from remot.data.tasks import BoxLocalisation, Detection

    monkeypatch.setattr("remot.data.tasks.shared.places.image_size", lambda _: (200, 150))
    clip = test_tracks.clip_of(cup=test_tracks.track())
    for task in (BoxLocalisation(), Detection()):
        plan = task.plan(clip, np.random.default_rng(0))
        assert plan.reference.boxes == ((0.1, 0.2, 0.3, 0.6),)
        question = task_prompts(task, [clip], "audit", 1).question(0, clip, plan, (1, 1))
        assert faults(task, clip, plan, question, known_size=(200, 150)) == []
        (fault,) = faults(task, clip, plan, question, known_size=(150, 200))
        assert "should be [[0.133, 0.15, 0.4, 0.45]]" in fault
