"""Recorders with their real simulators: the same files for the same seed, and annotations that fit the images.

Run with ``pytest -m sim``; a simulator that is not installed is skipped.
"""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from remot.commands.data.record import RECORD_COMMANDS
from remot.data.annotations import NativeReader
from remot.data.clips.bundled import embedded_clips_root
from remot.data.experts import CameraPitch, CameraYaw
from remot.data.media import check_media, read_frames
from remot.synthetic.simulators.aloha import record_arms
from remot.synthetic.simulators.doom_walk import record_walk
from remot.synthetic.simulators.miniworld import record_room
from remot.synthetic.simulators.vizdoom import record_command
from tests.helpers import assert_close

pytestmark = [pytest.mark.sim, pytest.mark.filterwarnings("ignore")]

RECORDERS = {"vizdoom": record_walk, "aloha": record_arms, "miniworld": record_room}
PACKAGES = {"vizdoom": ("vizdoom",), "aloha": ("mujoco", "gym_aloha"), "miniworld": ("miniworld",)}


def need(command):
    for package in PACKAGES[command]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def record(command, out, **settings):
    need(command)
    RECORD_COMMANDS[command](out, **settings)
    return {clip.clip_id: clip for clip in NativeReader().read(out)}


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", params=sorted(PACKAGES))
def recorded(request, tmp_path_factory):
    """A recorder's name, its folder and its clips."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, record(request.param, folder, num_clips=4, seed=3)


def test_the_same_seed_gives_the_same_files(recorded, tmp_path):
    """Of a simulator that draws with OpenGL the videos may differ, see ``write_recordings``."""
    command, folder, _ = recorded
    record(command, tmp_path / "again", num_clips=4, seed=3)
    before, after = contents(folder), contents(tmp_path / "again")
    assert set(before) == set(after)
    exact = [name for name in before if command == "vizdoom" or not name.endswith(".mp4")]
    assert len(exact) >= 4
    assert [name for name in exact if before[name] != after[name]] == []
    record(command, tmp_path / "other", num_clips=1, seed=4)
    assert not set(before) & set(contents(tmp_path / "other"))


@pytest.mark.parametrize("command", sorted(RECORDERS))
def test_the_same_seed_gives_the_same_images(command):
    need(command)
    once, again = (RECORDERS[command](3, 1) for _ in range(2))
    assert np.array_equal(once.frames, again.frames)
    assert np.array_equal(once.labels, again.labels)
    assert not np.array_equal(once.frames, RECORDERS[command](4, 1).frames)


def test_clips_are_complete(recorded):
    _, _, clips = recorded
    assert len(clips) == 4
    for clip in clips.values():
        assert clip.num_frames == 60
        assert clip.camera is not None
        check_media(clip)
    assert any(clip.objects for clip in clips.values())


def sights(track):
    """(frame, box, depth) of each frame in which an object is seen."""
    for frame in np.flatnonzero(np.isfinite(track.boxes_xyxy[:, 0])):
        yield int(frame), track.boxes_xyxy[frame], float(track.depths_metres[frame])


def test_masks_fill_their_boxes_and_depths_are_in_front(recorded):
    _, _, clips = recorded
    num_seen = 0
    for clip in clips.values():
        for track in clip.objects.values():
            images = sorted(track.masks.iterdir())
            for frame, box, depth in sights(track):
                rows, columns = np.nonzero(np.asarray(Image.open(images[frame])) == track.mask_value)
                assert_close(box, [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                assert depth > 0
                num_seen += 1
    assert num_seen > 40


def test_turning_the_camera_moves_still_things_the_other_way(recorded):
    """Between images in a row without a step: to the right moves things to the left, up moves them down."""
    command, _, clips = recorded
    if command == "aloha":
        pytest.skip("its camera stands still")
    experts = {0: CameraYaw(0.5, 2.0, 60.0, 1.0)}
    if command == "miniworld":
        experts[1] = CameraPitch(0.5, 2.0, 60.0, 1.0)
    for axis, expert in experts.items():
        agreed = [
            np.sign(shift) == (-1 if axis == 0 else 1) * np.sign(turn)
            for clip in clips.values()
            for turn, shift in turns_and_shifts(clip, expert, axis)
        ]
        assert len(agreed) >= (2 if command == "vizdoom" else 5)
        assert all(agreed)


def turns_and_shifts(clip, expert, axis):
    place = clip.camera.camera_to_world[:, :3, 3]
    width, height = 320, 240
    for track in clip.objects.values():
        seen = track.boxes_xyxy
        # a box that touches the image's edge does not move with the thing
        whole = (seen[:, 0] > 1) & (seen[:, 1] > 1) & (seen[:, 2] < width - 1) & (seen[:, 3] < height - 1)
        for frame in np.flatnonzero(track.is_landmark & whole[:-1] & whole[1:]):
            turn = expert.measure(clip, np.array([frame, frame + 1]))[""][0, 1]
            if abs(turn) >= 2 and np.linalg.norm(place[frame + 1] - place[frame]) < 0.02:
                yield turn, (seen[frame + 1, axis::2].mean() - seen[frame, axis::2].mean())


def test_the_arms_move_where_their_boxes_do(tmp_path):
    clips = record("aloha", tmp_path, num_clips=4, seed=0)
    agreed, opened = [], []
    for clip in clips.values():
        for name, arm in clip.effectors.items():
            boxes = clip.objects[name].boxes_xyxy
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            for axis in (0, 1):
                moves = arm.positions[10:, axis] - arm.positions[:-10, axis]
                shifts = centres[10:, axis] - centres[:-10, axis]
                agreed += (np.sign(moves) == np.sign(shifts))[np.abs(moves) > 0.1].tolist()
            opened.append(np.ptp(arm.opening))
            assert_close(clip.objects[name].depths_metres, arm.positions[:, 2], atol=1e-3)
        left, right = (clip.effectors[f"{side} arm"].positions[:, 0] for side in ("left", "right"))
        assert (left < right).all()
    assert len(agreed) > 50
    assert np.mean(agreed) > 0.98
    assert max(opened) > 0.8


def test_the_cube_is_lifted(tmp_path):
    clip = record("aloha", tmp_path, num_clips=2, seed=0)["aloha-0-1"]
    boxes = clip.objects["red cube"].boxes_xyxy
    assert boxes[-1, 1] < boxes[0, 1] - 15
    red = read_frames(clip, [0])[0].numpy().astype(int)
    left, top, right, bottom = boxes[0].astype(int)
    middle = red[:, (top + bottom) // 2, (left + right) // 2]
    assert middle[0] > middle[1] + 40


def test_boxes_of_the_rooms_lie_in_the_outlines_of_the_layout(tmp_path):
    """Boxes come from the depth buffer; the outlines of the layout's boxes are projected by the poses."""
    clips = record("miniworld", tmp_path, num_clips=3, seed=1)
    gaps = []
    for clip in clips.values():
        layout = {box.name: box for box in clip.layout}
        for name, track in clip.objects.items():
            box = layout[name]
            shifts = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
            corners = np.c_[box.centre_metres + (shifts * box.size_metres) @ box.axes, np.ones(8)]
            for frame, seen, _ in sights(track):
                points = (np.linalg.inv(clip.camera.camera_to_world[frame]) @ corners.T)[:3]
                pixels = clip.camera.intrinsics @ points / points[2]
                outline = [pixels[0].min(), pixels[1].min(), pixels[0].max(), pixels[1].max()]
                if points[2].min() > 0.3:
                    gaps.append(
                        max(outline[0] - seen[0], outline[1] - seen[1], seen[2] - outline[2], seen[3] - outline[3])
                    )
    assert len(gaps) > 50
    assert max(gaps) < 3


def test_game_boxes_lie_where_the_thing_is(tmp_path):
    """A still thing's place in the world, found from one sight by depth and box, is where it is seen in all others."""
    clips = record("vizdoom", tmp_path, num_clips=4, seed=3)
    gaps = []
    for clip in clips.values():
        focal, middle = clip.camera.intrinsics[0, 0], clip.camera.intrinsics[0, 2]
        for track in clip.objects.values():
            seen = [(k, b, d) for k, b, d in sights(track) if b[0] > 1 and b[2] < 319 and b[3] < 239]
            if not track.is_landmark or len(seen) < 2:
                continue
            places = []
            for frame, box, depth in seen:
                side = ((box[0] + box[2]) / 2 - middle) / focal * depth
                pose = clip.camera.camera_to_world[frame]
                places.append((pose[:3, 3] + pose[:3, 0] * side + pose[:3, 2] * depth)[:2])
            gaps.append(float(np.ptp(places, axis=0).max()))
    assert len(gaps) >= 3
    assert np.median(gaps) < 0.3


def shift_between(first, second, most=26):
    """Pixels by which the second image lies to the right of the first, where their middle rows fit best."""
    one, two = (image.astype(float).mean(axis=-1)[20:70] for image in (first, second))
    width = one.shape[1]
    errors = {
        by: np.abs(two[:, max(by, 0) : width + min(by, 0)] - one[:, max(-by, 0) : width - max(by, 0)]).mean()
        for by in range(-most, most + 1)
    }
    return min(errors, key=errors.get)


def test_a_roaming_player_turns_and_goes_at_once_and_the_images_show_it(tmp_path):
    """A turn to the right by 10 degrees moves what is ahead to the left by 64 tan 10 = 11 pixels of the 128."""
    clips = record("vizdoom", tmp_path, num_clips=4, seed=3, motion="roam", maps=["MAP03", "MAP05"])
    assert {clip.scene_id for clip in clips.values()} == {"doom-map03", "doom-map05"}
    agreed, both = [], 0
    for clip in clips.values():
        frames = [image.numpy().transpose(1, 2, 0) for image in read_frames(clip, range(clip.num_frames))]
        place = clip.camera.camera_to_world[:, :3, 3]
        turns = CameraYaw(0.5, 2.0, 60.0, 1.0).measure(clip, np.arange(clip.num_frames))[""]
        for frame in range(clip.num_frames - 1):
            turn, way = turns[frame, frame + 1], np.linalg.norm(place[frame + 1] - place[frame])
            both += abs(turn) > 2 and way > 0.1
            if 4 < abs(turn) < 18 and way < 0.05:
                expected = -64 * np.tan(np.radians(turn))
                agreed.append(abs(shift_between(frames[frame], frames[frame + 1]) - expected) < 3)
    assert both >= 4
    assert len(agreed) >= 4
    assert np.mean(agreed) > 0.8


def test_the_embedded_game_clips_can_be_made_again(tmp_path):
    need("vizdoom")
    record_command(tmp_path, num_clips=8, seed=0)
    embedded = {name: data for name, data in contents(embedded_clips_root()).items() if name.startswith("doom-")}
    assert contents(tmp_path) == embedded
