"""The same motion in every format: one rendered panorama, written in each layout, is judged alike by the experts."""

import numpy as np
import pytest

from remot.data.annotations import (
    COLMAPReader,
    EuRoCReader,
    KITTIOdometryReader,
    NativeReader,
    NerfstudioReader,
    NuScenesReader,
    ScanNetReader,
    SevenScenesReader,
    TUMReader,
    write_clip,
)
from remot.data.experts import CameraPitch, CameraYaw
from remot.data.media import check_media, read_frames
from remot.structures import CameraTrack, Clip
from remot.synthetic.rendering.camera import INTRINSICS, turned
from remot.synthetic.rendering.canvas import COLOURS, SHAPES, to_image
from remot.synthetic.rendering.panorama import direction_of, draw_panorama
from tests.data.annotations import layouts
from tests.helpers import assert_close

#: Right, back, up, down, left, and both at once.
YAW = (0, 12, 24, 12, 0, 0.3, -15, -15, 20)
PITCH = (0, 0.2, 0, -0.3, 14, -13, 0, 12, -12)
IMAGE_SIZE = 128

LAYOUTS = {
    "tum": (layouts.write_tum, TUMReader([30, 32, 16, 15]), True),
    "slambook": (layouts.write_slambook, TUMReader([30, 32, 16, 15], fps=10), True),
    "euroc": (layouts.write_euroc, EuRoCReader(), True),
    "seven_scenes": (layouts.write_seven_scenes, SevenScenesReader([30, 32, 16, 15]), True),
    "scannet": (layouts.write_scannet, ScanNetReader(), True),
    "kitti": (layouts.write_kitti, KITTIOdometryReader(), True),
    "colmap_text": (layouts.write_colmap_text, COLMAPReader(fps=10), False),
    "colmap_binary": (layouts.write_colmap_binary, COLMAPReader(fps=10), False),
    "nerfstudio": (layouts.write_nerfstudio, NerfstudioReader(fps=10), False),
    "nuscenes": (layouts.write_nuscenes, NuScenesReader(), True),
}
every_layout = pytest.mark.parametrize("name", LAYOUTS)


@pytest.fixture(scope="module")
def shot():
    """A far-away world with a red tower ahead, seen by a camera that turns and wanders."""
    panorama = draw_panorama(np.random.default_rng(3))
    panorama.paint(next(iter(SHAPES.values())), direction_of(0, 0), 7.0, next(iter(COLOURS.values())))
    rotations = np.stack([turned(*angles) for angles in zip(YAW, PITCH, strict=True)])
    steps = (np.arange(IMAGE_SIZE) + 0.5 - IMAGE_SIZE / 2) / INTRINSICS[0, 0]
    x, y = np.meshgrid(steps, steps)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)
    poses = np.tile(np.eye(4), (len(YAW), 1, 1))
    poses[:, :3, :3] = turned(73.0, 0.0) @ rotations  # the world's own heading means nothing
    poses[:, :3, 3] = np.random.default_rng(4).normal(size=(len(YAW), 3))
    return layouts.Shot(poses, np.stack([to_image(panorama.view(rays, rotation)) for rotation in rotations]))


@pytest.fixture(scope="module")
def native(shot, tmp_path_factory):
    """The clip as the library itself writes and reads it."""
    folder = tmp_path_factory.mktemp("native")
    times = np.arange(shot.num_frames) / 10
    clip = Clip("native", "scene", "test", None, times, CameraTrack(shot.poses, layouts.INTRINSICS))
    write_clip(clip, shot.frames, folder, fps=10, source="rendered", licence="CC0-1.0")
    return next(NativeReader().read(folder))


@pytest.fixture(scope="module")
def clips(shot, tmp_path_factory):
    found = {}
    for name, (write, reader, _) in LAYOUTS.items():
        root = tmp_path_factory.mktemp(name)
        write(shot, root)
        (found[name],) = reader.read(root)
    return found


def signs(expert, clip):
    return expert.judge(clip, np.arange(clip.num_frames))[""].codes


def test_the_native_labels_are_those_of_the_angles(native):
    """Of the drawn angles alone: from frame 0 to 1 and 2 right, to 6 left, to 4 up, to 5 down."""
    yaw, pitch = signs(CameraYaw(), native)[0], signs(CameraPitch(), native)[0]
    assert yaw[[0, 1, 2, 6]].tolist() == [0, 1, 1, -1]
    assert pitch[[0, 4, 5]].tolist() == [0, 1, -1]


@every_layout
@pytest.mark.parametrize("expert", [CameraYaw(), CameraPitch()], ids=["yaw", "pitch"])
def test_labels(name, expert, clips, native):
    assert signs(expert, clips[name]).tolist() == signs(expert, native).tolist()


@every_layout
def test_poses_relative_to_the_first(name, clips, shot):
    """Sources have world frames of their own, so only the motion can be compared."""
    read = clips[name].camera.camera_to_world
    assert_close(np.linalg.inv(read[0]) @ read, np.linalg.inv(shot.poses[0]) @ shot.poses, atol=1e-6)


@every_layout
def test_times_intrinsics_and_images(name, clips, shot):
    clip, is_metric = clips[name], LAYOUTS[name][2]
    assert_close(clip.pts_seconds, np.arange(shot.num_frames) / 10, atol=1e-6)
    assert_close(clip.camera.intrinsics, layouts.INTRINSICS)
    assert clip.camera.is_metric is is_metric
    assert clip.objects == clip.effectors == {}
    check_media(clip)
    images = np.stack([image.permute(1, 2, 0).numpy() for image in read_frames(clip, range(clip.num_frames))])
    lossless = name != "scannet"
    assert np.abs(images.astype(int) - shot.frames).mean() < (1e-9 if lossless else 4)


@pytest.mark.parametrize("name", ["kitti", "nuscenes"])
def test_a_vehicle_is_an_agent(name, clips):
    """Turning right by the yaw is clockwise, so the heading falls by it."""
    headings = clips[name].agent.headings_degrees
    turned_left = (headings - headings[0] + 180) % 360 - 180
    assert_close(turned_left, -np.array(YAW, dtype=float), atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"kitti", "nuscenes"}))
def test_a_camera_in_a_hand_is_no_agent(name, clips):
    assert clips[name].agent is None
