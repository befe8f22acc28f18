"""Timelines: when objects are seen, how far a gripper is open, how far the camera has turned."""

import re

import numpy as np
import pytest

from remot.structures import CameraTrack, Clip, EffectorTrack, Event, ObjectTrack
from remot.viewer.timeline import MAX_ROWS, clip_timeline, spans_row, timeline_html

TIMES = np.arange(5.0)
BOX = [1.0, 1.0, 2.0, 2.0]


def clip(**tracks):
    return Clip("c", "s", "d", None, TIMES, **tracks)


def seen(*frames):
    boxes = np.full((5, 4), np.nan)
    boxes[list(frames)] = BOX
    return ObjectTrack(boxes)


def rows_of(one):
    return {row.name: row for row in clip_timeline(one, [0, 3]).rows}


def test_an_object_has_a_bar_wherever_it_has_a_box():
    """A bar ends where the first frame without the box is; there is none after the last frame."""
    rows = rows_of(clip(objects={"ball": seen(1, 2, 4), "cup": seen(0, 1, 2, 3, 4), "gone": seen()}))
    assert rows["ball"].spans == ((1.0, 3.0), (4.0, 4.0))
    assert rows["cup"].spans == ((0.0, 4.0),)
    assert rows["gone"].spans == ()


def test_events_grippers_and_frames():
    one = clip(
        events=(Event("it opens", 1.5, 6.0),),
        effectors={"left": EffectorTrack(np.zeros((5, 3)), np.array([0, 0.5, 1.1, np.nan, 0.25]))},
    )
    line = clip_timeline(one, [0, 3])
    assert (line.start_seconds, line.end_seconds, line.frame_seconds) == (0.0, 6.0, (0.0, 3.0))
    rows = {row.name: row for row in line.rows}
    assert rows["it opens"].spans == ((1.5, 6.0),)
    assert rows["left: opening"].curve == ((0.0, 0.0), (1.0, 0.5), (2.0, 1.0), (4.0, 0.25))


def test_the_camera_s_turn_is_a_share_of_the_largest_angle():
    """0, 10, 40, 20 and 0 degrees about the vertical axis."""
    poses = np.tile(np.eye(4), (5, 1, 1))
    for pose, degrees in zip(poses, (0, 10, 40, 20, 0), strict=True):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        pose[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    row, moved = clip_timeline(clip(camera=CameraTrack(poses)), [0]).rows
    assert row.name == "camera: turned up to 40 °"
    assert moved.name == "camera: moved up to 0 m"
    assert [value for _, value in row.curve] == pytest.approx([0, 0.25, 1, 0.5, 0], abs=1e-6)


def test_a_path_is_the_distance_from_where_it_began():
    """3 and 4 m apart are 5 m; a direction that is not known is left out, and so is a frame without a place."""
    nan = np.nan
    places = np.array([[nan, nan, nan], [0, nan, 0], [3, nan, 4], [nan, nan, nan], [0, nan, 2.5]])
    row = rows_of(clip(effectors={"arm": EffectorTrack(places)}))["arm: moved up to 5 m"]
    assert row.curve == ((1.0, 0.0), (2.0, 1.0), (4.0, 0.5))
    still = rows_of(clip(effectors={"arm": EffectorTrack(np.array([[0.1, 0, 0]] * 5) + np.arange(5)[:, None] * 1e-17)}))
    assert {value for _, value in still["arm: moved up to 0 m"].curve} == {0.0}
    unknown = rows_of(clip(effectors={"arm": EffectorTrack(np.full((5, 3), nan))}))
    assert unknown["arm: moved up to 0 m"].curve == ()


def test_many_objects_are_counted():
    rows = [*rows_of(clip(objects={f"person {k}": seen(0) for k in range(MAX_ROWS + 30)}))]
    assert len(rows) == MAX_ROWS + 1
    assert rows[-1] == "and 30 more objects"


def test_bars_lie_where_their_times_are():
    """Of 0 to 4 s over 1000 units: 1 to 3 s is 250 to 750, and the second frame shown stands at 750."""
    page = timeline_html(clip_timeline(clip(objects={"ball": seen(1, 2)}), [0, 3]))
    (bar,) = re.findall(r'<rect class="c0" x="(\d+)" width="(\d+)"', page)
    assert bar == ("250", "500")
    assert set(re.findall(r'<line class="at" x1="(\d+)"', page)) == {"0", "750"}


def test_a_single_frame_has_no_timeline_and_odd_stretches_are_left_out():
    still = Clip("c", "s", "d", None, np.zeros(1))
    assert timeline_html(clip_timeline(still, [0])) == ""
    assert spans_row("x", [(2, 1), (0, float("inf")), (float("nan"), 1), (1, 2)]).spans == ((1.0, 2.0),)
