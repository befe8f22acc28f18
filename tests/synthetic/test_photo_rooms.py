"""Rooms papered with photographs: what is seen follows from the poses, and no two scenes share a photograph."""

import numpy as np
import pytest
import torch
from PIL import Image

from remot.commands.data.record import photos_command
from remot.data.annotations import NativeReader
from remot.data.experts import CameraYaw
from remot.data.media import read_frames
from remot.errors import ConfigError
from remot.synthetic.rendering.camera import turned
from remot.synthetic.simulators import photo_rooms
from remot.synthetic.simulators.photo_rooms import Card, PhotoRoom, photos_in, record_photo_room, view_of
from tests.helpers import assert_close

SIZE = (64, 48)
FOCAL = 60.0
INTRINSICS = np.array([[FOCAL, 0, 32], [0, FOCAL, 24], [0, 0, 1]])
HALF_SIZE = np.array([3.0, 2.0, 4.0])
PHOTO_METRES = 20.0  # a photograph covers each wall, so that brightness grows along all of it


def ramp(along):
    """A texture [1, 3, 64, 64] whose brightness is 100 at its middle and grows by 50 to its right or lower edge."""
    steps = (torch.arange(64) + 0.5) / 32 - 1
    return (100 + 50 * (steps[None, :] if along == "x" else steps[:, None]).expand(64, 64)).expand(1, 3, 64, 64).clone()


def posed(yaw=0.0, pitch=0.0, at=(0, 0, 0)):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turned(yaw, pitch), at
    return pose


def seen(pose, along="x", cards=()):
    return view_of(PhotoRoom(HALF_SIZE, [ramp(along)] * 3, PHOTO_METRES, cards), INTRINSICS, SIZE, pose)[..., 0]


def bright(metres):
    return 100 + 50 * metres / (PHOTO_METRES / 2)


@pytest.mark.parametrize("ahead", [0.0, 1.5])
def test_the_far_wall_is_seen_through_a_pinhole(ahead):
    middle = seen(posed(at=(0.4, 0, ahead)))[20:28, 20:44]  # here every ray ends at the far wall, 4 metres ahead
    columns = np.arange(20, 44) + 0.5
    expected = bright(0.4 + (columns - 32) / FOCAL * (4 - ahead))
    assert_close(middle, expected + np.zeros_like(middle), atol=0.01)


def test_down_is_down():
    middle = seen(posed(at=(0, 0.3, 0)), along="y")[20:28, 20:44]
    expected = bright(0.3 + (np.arange(20, 28) + 0.5 - 24) / FOCAL * 4)
    assert_close(middle, expected[:, None] + np.zeros_like(middle), atol=0.01)


def test_a_turn_to_the_right_looks_further_right_and_a_tilt_up_higher():
    for degrees in (-10, 10):
        reach = 4 * np.tan(np.deg2rad(degrees))
        right, up = seen(posed(yaw=degrees)), seen(posed(pitch=degrees), along="y")
        assert_close(right[23:25, 31:33].mean(), bright(reach), atol=0.05)
        assert_close(up[23:25, 31:33].mean(), bright(-reach), atol=0.05)


def test_a_quarter_turn_looks_at_the_wall_to_the_right():
    """It is 3 metres away and its brightness grows along z, which is to the left of one who looks at it."""
    middle = seen(posed(yaw=90))[20:28, 30:34]
    expected = bright(-(np.arange(30, 34) + 0.5 - 32) / FOCAL * 3)
    assert_close(middle, expected + np.zeros_like(middle), atol=0.01)


def test_what_is_near_moves_more_than_what_is_far():
    """A card of half a metre to either side stands 2 metres ahead: its edges are 15 pixels from the middle."""
    texture = torch.cat([torch.full((1, 3, 8, 8), 250.0), torch.ones(1, 1, 8, 8)], dim=1)
    card = Card(texture, np.array([0.0, 0.0, 2.0]), np.array([1.0, 0.0, 0.0]), (0.5, 0.5))
    still, aside = (seen(posed(at=(x, 0, 0)), cards=[card])[24] for x in (0.0, 0.2))
    assert np.flatnonzero(still > 200).tolist() == list(range(17, 47))
    assert np.flatnonzero(aside > 200).tolist() == list(range(11, 41))  # 60 * 0.2 / 2 pixels to the left
    assert_close(aside[50], bright(0.2 + (50.5 - 32) / FOCAL * 4), atol=0.01)


def test_a_card_is_seen_where_it_stands():
    """Its middle is 0.6 metres to the right and 0.2 up, 2 metres ahead: 18 and 6 pixels from the image's."""
    texture = torch.cat([torch.full((1, 3, 8, 8), 250.0), torch.ones(1, 1, 8, 8)], dim=1)
    card = Card(texture, np.array([0.6, -0.2, 2.0]), np.array([1.0, 0.0, 0.0]), (0.2, 0.1))
    rows, columns = np.nonzero(seen(posed(), cards=[card]) > 200)
    assert (rows.min(), rows.max() + 1) == (24 - 6 - 3, 24 - 6 + 3)
    assert (columns.min(), columns.max() + 1) == (32 + 18 - 6, 32 + 18 + 6)


def test_a_card_behind_the_camera_or_a_wall_is_not_seen():
    texture = torch.cat([torch.full((1, 3, 8, 8), 250.0), torch.ones(1, 1, 8, 8)], dim=1)
    for depth in (-2.0, 4.5):
        card = Card(texture, np.array([0.0, 0.0, depth]), np.array([1.0, 0.0, 0.0]), (0.5, 0.5))
        assert seen(posed(), cards=[card]).max() < 200


def test_the_camera_stays_in_its_room():
    for seed in range(200):
        generator = np.random.default_rng(seed)
        reach = float(generator.uniform(0.2, 6)) * 0.3
        places = photo_rooms._draw_poses(generator, reach)[:, :3, 3]
        # to the side at most twice the reach, ahead at most once: below 0.75 of the way to the nearest wall
        assert np.hypot(places[:, 0], places[:, 2]).max() <= reach * 5**0.5 + 1e-9
        assert np.all(places[:, 1] == 0)


def test_who_walks_stays_in_the_room_and_goes_on_while_the_camera_rests():
    far_at_rest, at_rest = 0, 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        reach = float(generator.uniform(0.2, 6)) * 0.3
        poses = photo_rooms._draw_walk(generator, reach)
        places = poses[:, :3, 3]
        assert np.linalg.norm(places, axis=1).max() <= 2 * reach + 1e-9  # 0.6 of the way to the nearest wall
        assert np.all(places[:, 1] == 0)
        assert np.linalg.norm(np.diff(places, axis=0), axis=1).min() > 0
        yaws = np.unwrap(np.arctan2(poses[:, 0, 2], poses[:, 2, 2]))
        rests = np.argwhere(np.triu(np.abs(yaws[:, None] - yaws) < np.deg2rad(0.7), 1))
        at_rest += len(rests)
        far_at_rest += sum(np.linalg.norm(places[one] - places[other]) > reach / 4 for one, other in rests)
    assert at_rest > 2000
    assert far_at_rest > at_rest / 3


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(13):
        coarse = Image.fromarray(generator.integers(0, 255, (3, 4, 3), dtype=np.uint8))
        coarse.resize((40, 30), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


def test_scenes_share_no_photograph(photos, monkeypatch):
    used, read = {}, photo_rooms._texture
    for index in range(4):
        shown = used.setdefault(index, set())
        monkeypatch.setattr(photo_rooms, "_texture", lambda path, shown=shown: shown.add(path.name) or read(path))
        record_photo_room(photos_in(photos), 5, index)
    assert used[0] == used[2]
    assert used[1] == used[3]
    assert used[0].isdisjoint(used[1])
    assert len(used[0]) == len(used[1]) == 6


def test_both_motions_have_the_same_scenes_and_other_clips(photos):
    look, walk = (record_photo_room(photos_in(photos), 5, 1, walks=walks).clip for walks in (False, True))
    assert look.scene_id == walk.scene_id == "photos-5-room-1"
    assert (look.clip_id, walk.clip_id) == ("photos-5-1", "photo-walk-5-1")
    assert not np.array_equal(look.camera.camera_to_world, walk.camera.camera_to_world)


@pytest.mark.slow
@pytest.mark.parametrize("motion", ["look", "walk"])
def test_the_command_writes_clips_whose_questions_have_answers(motion, photos, tmp_path):
    photos_command(tmp_path / "out", photos, num_clips=4, seed=1, motion=motion)
    clips = list(NativeReader().read(tmp_path / "out"))
    assert sorted(clip.scene_id for clip in clips) == ["photos-1-room-0"] * 2 + ["photos-1-room-1"] * 2
    expert = CameraYaw(still=0.7, salient_min=4.0, salient_max=60.0, max_other_degrees=15.0)
    turns = [expert.measure(clip, np.arange(20))[""] for clip in clips]
    assert np.nanmax([np.nanmax(np.abs(degrees)) for degrees in turns]) > 4
    frames = torch.stack(read_frames(clips[0], [0, 19]))
    number = int(clips[0].clip_id.rpartition("-")[2])
    again = record_photo_room(photos_in(photos), 1, number, walks=motion == "walk").frames[[0, 19]]
    lost = np.abs(frames.permute(0, 2, 3, 1).numpy().astype(int) - again).mean()
    assert lost < 6  # the noise of the images


def test_the_same_seed_gives_the_same_clip(photos):
    first, second, other = (record_photo_room(photos_in(photos), seed, 3) for seed in (1, 1, 2))
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.clip.camera.camera_to_world, second.clip.camera.camera_to_world)
    assert not np.array_equal(first.clip.camera.camera_to_world, other.clip.camera.camera_to_world)


@pytest.mark.parametrize("count", [None, 0, 5])
def test_too_few_photographs_are_refused(tmp_path, count):
    folder = tmp_path / "few"
    if count is not None:
        folder.mkdir()
        for number in range(count):
            Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
    with pytest.raises(ConfigError, match=rf"{count or 0} images, 6 are needed"):
        photos_command(tmp_path / "out", folder)
    assert not (tmp_path / "out").exists()
