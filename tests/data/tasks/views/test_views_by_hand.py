"""Questions about one image or two views, by hand on plans drawn from above."""

import re

import numpy as np
import pytest
import torch

from remot.data.media import write_video
from remot.data.tasks import CameraMovement, DepthOrder, PointCorrespondence
from remot.data.tasks.base import PromptSeed
from remot.data.tasks.shared.marks import COLOURS, BoxMark, Marks, OutlineMark, PointMark
from remot.data.tasks.views.base import ViewCandidate
from remot.errors import ConfigError
from remot.structures import CameraTrack, Clip, ObjectTrack
from tests.data.tasks.rooms import box, pose

SIZE = (200, 150)
INTRINSICS = np.array([[100.0, 0, 100], [0, 100, 75], [0, 0, 1]])


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Two grey images."""
    file = tmp_path_factory.mktemp("views") / "clip.mp4"
    write_video(file, np.full((2, *SIZE[::-1], 3), 90, dtype=np.uint8), 5)
    return file


def clip_of(media, objects=None, poses=None, layout=()):
    camera = None if poses is None else CameraTrack(np.stack(poses), INTRINSICS)
    return Clip("c", "c", "d", media, np.array([0.0, 0.2]), camera=camera, objects=objects or {}, layout=layout)


def thing(boxes, depths=None, **others):
    metres = None if depths is None else np.array(depths, dtype=float)
    return ObjectTrack(np.array(boxes, dtype=float), depths_metres=metres, **others)


def candidates(task, clip):
    found = task.candidates(task.scene(clip), np.random.default_rng(0))
    return [one for one in found if isinstance(one, ViewCandidate)]


def reasons(task, clip):
    return task.refusals([clip], np.random.default_rng(0))


BOXES = [[20, 30, 60, 90]] * 2


def test_depths_order_things_nearest_or_farthest_first(media):
    """2, 3 and 5 m in the first image; in the second two are 3.0 and 3.1 m away, which is not clear."""
    depths = {"cup": (3, 3.0), "pot": (5, 5), "box": (2, 3.1)}
    clip = clip_of(media, {name: thing(BOXES, one) for name, one in depths.items()})
    (one,) = candidates(DepthOrder(), clip)
    assert one.shown == (0,)
    near = one.places["order"] == "the nearest first"
    assert one.right == ("box, cup, pot" if near else "pot, cup, box")
    assert reasons(DepthOrder(), clip) == {"asked": 1, "two are about as far": 1}


def test_both_orders_are_asked_for_equally_often(media):
    clip = clip_of(media, {name: thing(BOXES, (far, far)) for name, far in (("cup", 1), ("pot", 2), ("box", 4))})
    task = DepthOrder()
    plans = [task.plan(clip, np.random.default_rng(seed)) for seed in range(60)]
    assert 18 < sum("nearest first" in plan.text for plan in plans) < 42
    for plan in plans:
        (right,) = [line for line in plan.text.splitlines() if line.startswith(f"{plan.answer}. ")]
        assert right[3:] == ("cup, pot, box" if "nearest first" in plan.text else "box, pot, cup")


def test_depths_of_centres_and_of_what_is_hidden_or_small(media):
    centres = {name: np.array([[0, 0, far]] * 2, dtype=float) for name, far in (("cup", 1), ("pot", 2), ("box", 4))}
    objects = {name: ObjectTrack(np.array(BOXES, dtype=float), centres_metres=one) for name, one in centres.items()}
    assert len(candidates(DepthOrder(), clip_of(media, objects))) == 2
    hidden = ObjectTrack(objects["box"].boxes_xyxy, centres_metres=centres["box"], hidden=np.array([True, False]))
    small = ObjectTrack(np.array([[20.0, 30, 60, 90], [20, 30, 30, 90]]), centres_metres=centres["box"])
    for other, frame in ((hidden, 1), (small, 0)):
        (one,) = candidates(DepthOrder(), clip_of(media, {**objects, "box": other}))
        assert one.shown == (frame,)


#: A camera looks north from the origin; the second one looks the same way unless turned.
HERE = pose((0, 0, 1), 90)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ((0, 0.5, 1), "forward"),
        ((0, -0.5, 1), "backward"),
        ((0.5, 0.1, 1), "right"),
        ((-0.5, 0.1, 1), "left"),
        ((0.0, 0.15, 1), None),  # too short
        ((0.4, 0.5, 1), None),  # 39 degrees from ahead, within 15 of the diagonal
        ((0.0, 0.5, 1.4), None),  # rises by 39 degrees
    ],
)
def test_ways_of_the_camera(media, place, said):
    clip = clip_of(media, poses=[HERE, pose(place, 90)])
    found = candidates(CameraMovement(), clip)
    assert [one.right for one in found] == ([said] if said else [])
    if said:
        assert set(found[0].wrong) == {"forward", "backward", "left", "right"} - {said}


def test_ways_are_those_along_the_first_view(media):
    """The first camera looks east: going north is going left, and turning by 50 degrees does not change that."""
    clip = clip_of(media, poses=[pose((0, 0, 1), 0), pose((0, 0.5, 1), 50)])
    assert [one.right for one in candidates(CameraMovement(), clip)] == ["left"]
    assert reasons(CameraMovement(max_turn_degrees=40), clip) == {"turns too far": 1}


def test_only_ways_that_the_split_has_are_offered(media):
    ahead, aside = (clip_of(media, poses=[HERE, pose(place, 90)]) for place in ((0, 0.5, 1), (0.5, 0, 1)))
    task = CameraMovement()
    assert task.survey(ahead) == (("forward",),)
    for clips, wanted in (([ahead, aside], {"forward", "right"}), ([aside, aside], set())):
        index = task.index(clips, [task.survey(clip) for clip in clips], "train")
        if not wanted:
            with pytest.raises(ConfigError, match="camera_movement"):
                index.plan(PromptSeed(0, "train", 0))
            continue
        texts = [index.plan(PromptSeed(0, "train", address))[1].text for address in range(8)]
        assert {option for text in texts for option in re.findall(r"^[A-D]. (.*)$", text, re.MULTILINE)} == wanted


def test_unknown_units_and_resting_cameras_are_not_asked_about(media):
    clip = clip_of(media, poses=[HERE, HERE])
    assert not CameraMovement().serves(clip)
    unscaled = Clip("c", "c", "d", media, np.array([0.0, 0.2]), camera=CameraTrack(np.stack([HERE, HERE]), None, False))
    assert not CameraMovement().serves(unscaled)


def test_points_are_on_the_same_thing(media):
    """The cup goes to the right, the pot to the left; the box is behind the cup in the second image."""
    objects = {
        "cup": thing([[20, 40, 60, 80], [120, 40, 160, 80]], (1, 1)),
        "pot": thing([[130, 30, 170, 70], [30, 90, 70, 130]], (2, 2)),
        "box": thing([[60, 100, 120, 140], [110, 30, 170, 90]], (3, 3)),
    }
    found = candidates(PointCorrespondence(), clip_of(media, objects))
    asked = {one.marks[0][0].place: one for one in found}
    assert set(asked) == {(40, 60), (150, 50)}  # not the box, of whose middle the cup hides the second view
    unknown = {**objects, "lid": thing([[30, 50, 50, 70], [190, 0, 199, 9]])}  # over the cup, at an unknown depth
    places = {one.marks[0][0].place for one in candidates(PointCorrespondence(), clip_of(media, unknown))}
    assert places == {(150, 50)}
    one = asked[40, 60]
    options = {mark.colour: mark.place for mark in one.marks[1]}
    assert options == {one.right: (140, 60), one.wrong[0]: (50, 110)}
    assert one.places["colour"] == one.marks[0][0].colour not in options


def test_points_too_close_to_each_other_are_no_options(media):
    objects = {"cup": thing([[20, 40, 60, 80]] * 2), "pot": thing([[62, 40, 82, 80]] * 2)}
    assert len(candidates(PointCorrespondence(), clip_of(media, objects))) == 2  # 32 of 250 pixels apart
    found = reasons(PointCorrespondence(min_distance=0.2), clip_of(media, objects))
    assert found == {"no other point in the second view": 2}


def test_points_on_surfaces_are_where_both_cameras_see_them(media):
    """A cube of 1 m in the north, seen from the south and from the south-east: only its southern side is in both."""
    cube = box("cube", (0, 4, 1))
    poses = [HERE, pose((1.5, 0.5, 1), 90)]
    task = PointCorrespondence(points="surfaces", min_distance=0.01)
    found = candidates(task, clip_of(media, poses=poses, layout=(cube,)))
    assert found
    for one in found:
        (x, y), right = one.marks[0][0].place, {mark.colour: mark.place for mark in one.marks[1]}[one.right]
        east, up = (x - 100) * 3.5 / 100, 1 - (y - 75) * 3.5 / 100  # on the side at 3.5 m from the first camera
        assert right == pytest.approx((100 + 100 * (east - 1.5) / 3.0, 75 + 100 * (1 - up) / 3.0))


def test_points_on_faces_that_are_seen_flatly_are_not_asked_about(media):
    """The cube's top is 0.1 m below the cameras, 3.5 m and more away; its southern side has points up to 0.65 m."""
    low = box("cube", (0, 4, 0.4))
    task = PointCorrespondence(points="surfaces", min_distance=0.01, min_border=0)
    clip = clip_of(media, poses=[HERE, pose((0.3, 0, 1), 90)], layout=(low,))
    heights = [
        1 - (mark.place[1] - 75) * 3.5 / 100 for one in candidates(task, clip) for marks in one.marks for mark in marks
    ]
    assert max(heights) == pytest.approx(0.65)


def test_points_and_boxes_are_drawn_where_they_are():
    image = torch.full((3, 100, 120), 50, dtype=torch.uint8)
    shown = Marks((BoxMark("red", (10.0, 20.0, 50.0, 60.0)), PointMark("blue", (100.0, 50.0))))(image)
    red, blue = ((shown == torch.tensor(COLOURS[one])[:, None, None]).all(dim=0) for one in ("red", "blue"))
    rows, columns = red.nonzero(as_tuple=True)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 49, 20, 59)
    assert int(red.sum()) == 40 * 40 - 36 * 36  # 2 pixels thick
    rows, columns = blue.nonzero(as_tuple=True)
    assert (columns.double().mean() + 0.5, rows.double().mean() + 0.5) == (100, 50)
    black, kept = (shown == 0).all(dim=0), (shown == image).all(dim=0)
    assert int(black[:, :80].sum()) == 42 * 42 - 40 * 40 + 36 * 36 - 34 * 34  # a rim on both sides of the line
    assert bool((red | blue | black | kept).all())


def test_a_box_beyond_the_image_is_cut_at_its_border():
    shown = Marks((BoxMark("red", (-30.0, -5.5, 20.5, 500.0)),))(torch.zeros((3, 100, 120), dtype=torch.uint8))
    rows, columns = (shown[0] == 255).nonzero(as_tuple=True)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (0, 20, 0, 99)


def test_an_outline_lies_around_the_mask(tmp_path):
    from PIL import Image

    mask = np.zeros((100, 120), dtype=np.uint8)
    mask[30:50, 40:80] = 7
    Image.fromarray(mask).save(tmp_path / "0.png")
    track = thing([[40, 30, 80, 50]] * 2, masks=(tmp_path / "0.png",) * 2, mask_value=7)
    shown = Marks((OutlineMark("cyan", track, 0),))(torch.zeros((3, 100, 120), dtype=torch.uint8))
    drawn = shown[1] == 255
    assert not drawn[30:50, 40:80].any()
    rows, columns = drawn.nonzero(as_tuple=True)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (38, 81, 28, 51)


@pytest.mark.parametrize(
    ("make", "fact"),
    [
        (lambda: DepthOrder(num_things=2), "2 things"),
        (lambda: DepthOrder(min_ratio=0.9), "0.9"),
        (lambda: CameraMovement(margin_degrees=45), "45"),
        (lambda: PointCorrespondence(points="corners"), "corners"),
        (lambda: PointCorrespondence(num_options=8), "7 options"),
        (lambda: DepthOrder(refer="colours"), "colours"),
    ],
)
def test_settings_that_cannot_be_met(make, fact):
    with pytest.raises(ConfigError, match=fact):
        make()
