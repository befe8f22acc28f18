"""Which known sequence a folder holds, and of which the camera is known to stand still."""

import pytest

from remot.data.annotations.notices import Notices, listed
from remot.data.annotations.objects.still_cameras import StillCameras, known_sequence

KNOWN = {"Crossing", "Walking", "Walking2", "TUD-Campus", "KITTI-17", "MOT16-02"}


@pytest.mark.parametrize(
    ("folder", "known"),
    [
        ("Crossing", "Crossing"),
        ("otb_crossing", "Crossing"),
        ("Crossing_1", "Crossing"),
        ("old crossing-copy", "Crossing"),
        ("Crossings", None),
        ("MyCrossing", None),
        ("Cross_ing", "Crossing"),  # what joins the words does not matter
        ("Walking_2", "Walking2"),
        ("walking", "Walking"),
        ("Walking3", None),
        ("tud_campus", "TUD-Campus"),
        ("campus", None),
        ("KITTI-1", None),
        ("KITTI-17", "KITTI-17"),
        ("MOT16-020", None),
        ("", None),
        ("___", None),
    ],
)
def test_folders_are_recognised_by_whole_words(folder, known):
    assert known_sequence(folder, KNOWN) == known


def test_an_exact_name_comes_first():
    assert known_sequence("Walking2", {"Walking2", "Walking_2"}) == "Walking2"


def test_vouched_names_replace_the_known_ones():
    mine = StillCameras(["Crossing", "garden"], KNOWN, assume_static=False)
    assert [mine.hold(name) for name in ("otb_crossing", "garden", "Walking", "my garden")] == [
        True,
        True,
        False,
        False,
    ]
    assert not StillCameras([], KNOWN, assume_static=False).hold("Crossing")
    assert StillCameras([], (), assume_static=True).hold("anything")


def test_others_are_counted_and_the_first_are_named():
    cameras = StillCameras(None, KNOWN, assume_static=False)
    assert cameras.about_others(["Crossing", "tud_campus"]) == ""
    told = cameras.about_others(["Crossing", *(f"moving{k}" for k in range(7)), "moving1"])
    assert told.startswith("7 of 8 sequences have a camera that is not known to stand still")
    assert told.endswith("static_camera: moving0, moving1, moving2, moving3, moving4 and 2 more")


def test_short_lists_are_complete():
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c, d, e"


def test_a_notice_is_logged_once(caplog):
    notices = Notices()
    for message in ("one", "one", "", "two"):
        notices.warn_once(message)
    assert [record.getMessage() for record in caplog.records] == ["one", "two"]
