"""The embedded clips for tasks say what their images show: events against tracks, tracks against boxes of the layout
projected a second time, and both against the colours of the pixels."""

import json
import re
from collections import Counter

import numpy as np
import pytest

from remot.data.annotations.native.reader import NativeReader
from remot.data.clips.bundled import clips_root, embedded_clips_root
from remot.data.media import check_media, read_frames
from remot.errors import ConfigError
from remot.synthetic.rendering import clips as clips_module
from remot.synthetic.rendering import render_command
from remot.synthetic.rendering.canvas import COLOURS
from remot.synthetic.rendering.clips import render_task_clip, render_task_clips
from remot.synthetic.rendering.tracing import Room, Solid, looking, trace_frame
from tests.helpers import assert_close

ROOT = clips_root("embedded/tasks")
EVENT = re.compile(r"the (.+) moves (to the left|to the right|up|down|towards the camera|away from the camera)")


@pytest.fixture(scope="module")
def clips():
    return list(NativeReader().read(ROOT))


def of(clips, domain):
    return [clip for clip in clips if clip.domain == domain]


def test_there_are_clips_of_each_kind(clips):
    assert Counter(clip.domain for clip in clips) == {"happenings": 30, "rooms": 30, "floors": 30}
    assert sum(file.stat().st_size for file in ROOT.iterdir()) < 2_000_000
    assert len({clip.scene_id for clip in clips}) == 90
    for clip in clips:
        check_media(clip, decode=False)


def test_names_of_embedded_folders(tmp_path):
    assert clips_root(None) == clips_root("embedded/clips") == embedded_clips_root()
    assert clips_root(str(tmp_path)) == tmp_path
    assert ROOT.is_dir()
    assert embedded_clips_root() != ROOT


@pytest.mark.slow
def test_the_files_are_those_of_the_command(tmp_path):
    """``remot data render --collection tasks --num_clips 90 --seed 0``; videos depend on the codec's version."""
    render_task_clips(tmp_path, 3, 0)
    for file in tmp_path.glob("*.json"):
        assert json.loads(file.read_text()) == json.loads((ROOT / file.name).read_text())


def test_rendering_ends_with_the_number_of_clips_and_their_folder(tmp_path, monkeypatch, capsys):
    """Of a stand-in for the work; the bar goes to the standard error."""
    made = []
    monkeypatch.setattr(clips_module, "render_task_clips", lambda *settings: made.append(settings[:3]))
    render_command(tmp_path, num_clips=3, seed=5, collection="tasks")
    assert made == [(tmp_path, 3, 5)]
    assert capsys.readouterr().out.startswith(f"3 clips written to {tmp_path};")


def test_kinds_choose_among_the_clips(tmp_path):
    render_command(tmp_path, num_clips=2, collection="tasks", kinds=["happenings"])
    assert sorted(file.stem for file in tmp_path.glob("*.json")) == ["happenings-0-0", "happenings-0-1"]
    with pytest.raises(ConfigError, match="bench"):
        render_command(tmp_path, num_clips=2, collection="bench", kinds=["rooms"])


def test_returns_end_where_they_begin_and_their_middle_tells_the_way():
    for index in range(8):
        clip, frames, _ = render_task_clip(1, index, ["returns"])
        (boxes,) = (np.asarray(track.boxes_xyxy) for track in clip.objects.values())
        assert_close(boxes[0], boxes[-1])
        assert np.array_equal(frames[0], frames[-1])
        right, down = (boxes[20] - boxes[0])[:2]
        (out, back) = (event.text.split(" moves ")[1] for event in clip.events)
        ways = {"to the right": right > 25, "to the left": right < -25, "down": down > 25, "up": down < -25}
        assert [way for way, is_so in ways.items() if is_so] == [out]
        assert {out, back} in ({"to the right", "to the left"}, {"up", "down"})
        room = np.abs(np.where(np.abs(boxes[20] - boxes[0]) > 25, boxes[20] - boxes[0], 0))
        assert (boxes[0] - room > 0).all()  # it could have gone the other way
        assert (boxes[0] + room < 128).all()


def test_a_clip_depends_on_seed_and_number_only():
    one, again, other = render_task_clip(1, 3), render_task_clip(1, 3), render_task_clip(1, 6)
    assert np.array_equal(one[1], again[1])
    assert one[0].events == again[0].events
    assert not np.array_equal(one[1], other[1])


# -- events --------------------------------------------------------------------------------------------------------


def frame_at(clip, seconds):
    """The annotated frame at a time, which all events begin and end at."""
    (frame,) = np.flatnonzero(np.isclose(clip.pts_seconds, seconds))
    return int(frame)


def test_events_are_what_the_tracks_do(clips):
    """In its stretch the thing moves in the stated direction, by at least an eighth of the image; else it rests."""
    told = Counter()
    for clip in of(clips, "happenings"):
        moving = {name: np.zeros(clip.num_frames - 1, dtype=bool) for name in clip.objects}
        for event in clip.events:
            name, way = EVENT.fullmatch(event.text).groups()
            start, end = frame_at(clip, event.start_seconds), frame_at(clip, event.end_seconds)
            (before, after) = clip.objects[name].boxes_xyxy[[start, end], :2]
            assert {
                "to the left": before[0] - after[0],
                "to the right": after[0] - before[0],
                "up": before[1] - after[1],
                "down": after[1] - before[1],
            }[way] > 16
            moving[name][start:end] = True
            told[way] += 1
        for name, track in clip.objects.items():
            steps = np.abs(np.diff(track.boxes_xyxy, axis=0)).max(axis=1)
            assert np.array_equal(steps > 0.1, moving[name])
    assert set(told) == {"to the left", "to the right", "up", "down"}
    assert min(told.values()) > 10


def test_things_on_the_floor_move_as_annotated(clips):
    """Nearer means: the depth falls; to the right: the middle of the box goes right."""
    told = Counter()
    for clip in of(clips, "floors"):
        for event in clip.events:
            name, way = EVENT.fullmatch(event.text).groups()
            start, end = frame_at(clip, event.start_seconds), frame_at(clip, event.end_seconds)
            track = clip.objects[name]
            middles = (track.boxes_xyxy[[start, end], 0] + track.boxes_xyxy[[start, end], 2]) / 2
            near, far = track.depths_metres[start] - track.depths_metres[end], middles[1] - middles[0]
            sign = {"to the left": -far, "to the right": far, "towards the camera": near, "away from the camera": -near}
            assert sign[way] > 0.5
            told[way] += 1
    assert len(told) == 4


# -- places --------------------------------------------------------------------------------------------------------


def projected_edges(clip, frame, box):
    """Left, top, right, bottom of the eight corners of a layout box, by inverting the pose; None behind the camera."""
    signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    corners = box.centre_metres + (signs * box.size_metres) @ box.axes
    local = np.linalg.inv(clip.camera.camera_to_world[frame]) @ np.vstack([corners.T, np.ones(8)])
    if (local[2] < 0.1).any():
        return None
    pixels = clip.camera.intrinsics @ local[:3]
    x, y = pixels[:2] / pixels[2]
    return x.min(), y.min(), x.max(), y.max()


def test_boxes_of_rooms_are_their_layout_projected(clips):
    """What is seen lies inside the projected box; in most frames, where nothing hides or cuts it, it is that box."""
    num_inside = num_equal = 0
    for clip in of(clips, "rooms"):
        assert len(clip.layout) == len(clip.objects)
        for box, track in zip(clip.layout, clip.objects.values(), strict=True):
            for frame in range(0, clip.num_frames, 3):
                seen = track.boxes_xyxy[frame]
                edges = projected_edges(clip, frame, box)
                if np.isnan(seen).any() or edges is None:
                    continue
                assert (seen[:2] >= np.array(edges[:2]) - 1).all()
                assert (seen[2:] <= np.array(edges[2:]) + 1).all()
                num_inside += 1
                num_equal += bool(np.abs(seen - edges).max() < 1.5)
    assert num_inside > 300
    assert num_equal > 0.4 * num_inside


def test_depths_are_distances_along_the_axis(clips):
    for clip in of(clips, "rooms")[:10]:
        for box, track in zip(clip.layout, clip.objects.values(), strict=True):
            local = np.linalg.inv(clip.camera.camera_to_world) @ np.append(box.centre_metres, 1)
            seen = np.isfinite(track.depths_metres)
            assert_close(track.depths_metres[seen], local[seen, 2], atol=1e-3, rtol=1e-3)
            assert np.array_equal(seen, np.isfinite(track.boxes_xyxy).all(axis=1))
            assert_close(track.size_metres, box.size_metres)


def test_pixels_have_the_colour_of_the_name(clips):
    """The middle of a thing on the floor that nothing stands before has the hue of its name."""
    for clip in of(clips, "floors")[:8]:
        (image,) = read_frames(clip, [0])
        depths = {name: track.depths_metres[0] for name, track in clip.objects.items()}
        name = min(depths, key=depths.get)
        left, top, right, bottom = clip.objects[name].boxes_xyxy[0]
        pixel = image[:, int((top + bottom) / 2), int((left + right) / 2)].numpy().astype(float)
        cosines = {
            colour: float(pixel @ np.array(rgb) / np.linalg.norm(pixel) / np.linalg.norm(rgb))
            for colour, rgb in COLOURS.items()
        }
        assert max(cosines, key=cosines.get) == name.split()[0]


def test_areas_and_kinds_are_annotated(clips):
    for clip in of(clips, "rooms"):
        assert 4.2**2 <= clip.room_area_square_metres <= 6.5**2
        assert set(clip.complete_kinds) == {box.name for box in clip.layout}
        assert all(np.isfinite(track.boxes_xyxy).all(axis=1).any() for track in clip.objects.values())


def test_the_nearer_box_hides_the_farther_one():
    """Seen along y, a box at 2 m hides an equal one at 4 m, but for nothing; from the side both are seen."""
    room = Room(np.array([6.0, 6.0, 3.0]), np.full((4, 3), 100.0))
    near = Solid("red crate", (255, 0, 0), np.array([3.0, 2.5, 0.5]), np.ones(3), 0)
    far = Solid("blue crate", (0, 0, 255), np.array([3.0, 4.5, 0.5]), np.ones(3), 0)
    ahead = trace_frame(looking(np.array([3.0, 0.5, 0.5]), 90, 0), room, [near, far])
    assert np.isnan(ahead.box_xyxy(1)).all()
    # the front face, 1 m wide at 1.5 m, covers 128 / 2 / tan(37.5 degrees) / 1.5 = 55.6 pixels about the middle
    assert_close(ahead.box_xyxy(0), [36, 36, 92, 92])
    aside = trace_frame(looking(np.array([0.5, 0.5, 0.5]), 45, 0), room, [near, far])
    assert np.isfinite(aside.box_xyxy(1)).all()
