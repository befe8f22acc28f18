"""One known motion written in the layout of every camera-pose data set.

The writers state each source's axes themselves and share no code with the readers: rotations become
quaternions by scipy, inverses by numpy.
"""

import json
import struct
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from remot.errors import AnnotationError
from tests.data.handmade import SIZE, poses

INTRINSICS = np.array([[30.0, 0, 16], [0, 32, 15], [0, 0, 1]])
#: Camera axes (x right, y down, z forward) in the axes of a vehicle (x forward, y left, z up).
VEHICLE_FROM_CAMERA = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
#: A camera turned by a quarter about its optical axis and off the middle of the body, as EuRoC's is.
BODY_FROM_CAMERA = np.array([[0.0, -1, 0, -0.02], [1, 0, 0, -0.06], [0, 0, 1, 0.01], [0, 0, 0, 1]])
#: A camera in front of and above the origin of a vehicle.
MOUNT = np.array([[0.0, 0, 0, 1.7], [0, 0, 0, 0.0], [0, 0, 0, 1.5], [0, 0, 0, 0]]) + VEHICLE_FROM_CAMERA
START_NS = 1_403_715_273_262_142_976


@dataclass(frozen=True)
class Shot:
    """A known motion: camera-to-world poses [N, 4, 4] in OpenCV axes and metres, and images [N, H, W, 3]."""

    poses: np.ndarray
    frames: np.ndarray

    @property
    def num_frames(self):
        return len(self.poses)


def shot_of(yaw_degrees=(0, 20, 40), pitch_degrees=None, places=None):
    """A hand-made motion with images that tell their frame: grey level 10 k in frame k."""
    made = poses(yaw_degrees, pitch_degrees, places=places)
    levels = 10 * np.arange(len(made), dtype=np.uint8)
    return Shot(made, np.ascontiguousarray(np.broadcast_to(levels[:, None, None, None], (len(made), SIZE, SIZE, 3))))


def write_images(shot, folder, name):
    """Images called ``name(k)`` below ``folder``."""
    for k, frame in enumerate(shot.frames):
        file = folder / name(k)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame).save(file)


def write_lines(file, lines):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return file


def words(numbers):
    return " ".join(f"{number:.9f}" for number in numbers)


def quaternions(transforms, *, w_first=False):
    return Rotation.from_matrix(transforms[:, :3, :3]).as_quat(scalar_first=w_first)


def write_tum(shot, root):
    """Poses every 10 ms and images every 100 ms, as a motion capture system and a camera time them."""
    folder = root / "rgbd_dataset_freiburg1_xyz"
    stamps = [1305031102.0 + k / 10 for k in range(shot.num_frames)]
    write_images(shot, folder, lambda k: f"rgb/{stamps[k]:.6f}.png")
    listed = [f"{stamp:.6f} rgb/{stamp:.6f}.png" for stamp in stamps]
    write_lines(folder / "rgb.txt", ["# color images", "# timestamp filename", *listed])
    rows = []
    for stamp, pose, turn in zip(stamps, shot.poses, quaternions(shot.poses), strict=True):
        rows += [f"{stamp + lag:.4f} {words([*pose[:3, 3], *turn])}" for lag in (-0.01, 0, 0.01)]
    write_lines(folder / "groundtruth.txt", ["# ground truth trajectory", "# timestamp tx ty tz qx qy qz qw", *rows])
    return folder


def write_slambook(shot, root):
    folder = root / "office"
    write_images(shot, folder, lambda k: f"color/{k + 1}.png")
    turns = quaternions(shot.poses)
    rows = [words([*pose[:3, 3], *turn]) for pose, turn in zip(shot.poses, turns, strict=True)]
    write_lines(folder / "pose.txt", rows)
    return folder


def write_euroc(shot, root):
    """Poses of the body every 5 ms; the camera is turned on the body."""
    folder = root / "MH_01_easy" / "mav0"
    stamps = [START_NS + 100_000_000 * k for k in range(shot.num_frames)]
    write_images(shot, folder / "cam0" / "data", lambda k: f"{stamps[k]}.png")
    write_lines(
        folder / "cam0" / "data.csv",
        ["#timestamp [ns],filename", *(f"{stamp},{stamp}.png" for stamp in stamps)],
    )
    matrix = ",\n         ".join(", ".join(map(str, row)) for row in BODY_FROM_CAMERA)
    write_lines(
        folder / "cam0" / "sensor.yaml",
        [
            *("# General sensor definitions.", "sensor_type: camera", "T_BS:", "  cols: 4", "  rows: 4"),
            *(f"  data: [{matrix}]", "intrinsics: [30.0, 32.0, 16.0, 15.0] #fu, fv, cu, cv"),
        ],
    )
    bodies = shot.poses @ np.linalg.inv(BODY_FROM_CAMERA)
    rows = ["#timestamp, p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], q_RS_y [], q_RS_z []"]
    for stamp, body, turn in zip(stamps, bodies, quaternions(bodies, w_first=True), strict=True):
        numbers = ",".join(f"{number:.9f}" for number in [*body[:3, 3], *turn, 0.1, 0.2, 0.3])
        rows += [f"{stamp + lag},{numbers}" for lag in (-5_000_000, 0, 5_000_000)]
    write_lines(folder / "state_groundtruth_estimate0" / "data.csv", rows)
    return folder


def write_seven_scenes(shot, root):
    folder = root / "chess" / "seq-01"
    write_images(shot, folder, lambda k: f"frame-{3 * k:06d}.color.png")
    for k, pose in enumerate(shot.poses):
        write_lines(folder / f"frame-{3 * k:06d}.pose.txt", ["\t ".join(f"{x:.8e}" for x in row) for row in pose])
    return folder


def write_scannet(shot, root):
    folder = root / "scene0000_00"
    write_images(shot, folder, lambda k: f"color/{3 * k}.jpg")
    for k, pose in enumerate(shot.poses):
        write_lines(folder / "pose" / f"{3 * k}.txt", [words(row) for row in pose])
    matrix = np.eye(4)
    matrix[:3, :3] = INTRINSICS
    write_lines(folder / "intrinsic" / "intrinsic_color.txt", [words(row) for row in matrix])
    return folder


def write_kitti(shot, root):
    """Poses of camera 0, to whose right camera 2 stands by 6 cm, in the axes of its first frame."""
    folder = root / "sequences" / "00"
    write_images(shot, folder, lambda k: f"image_2/{k:06d}.png")
    beside = np.eye(4)
    beside[0, 3] = 0.06
    first = shot.poses @ np.linalg.inv(beside)
    camera_0 = np.linalg.inv(first[0]) @ first
    write_lines(root / "poses" / "00.txt", [words(pose[:3].ravel()) for pose in camera_0])
    write_lines(folder / "times.txt", [f"{k / 10:e}" for k in range(shot.num_frames)])
    grey = INTRINSICS @ np.eye(4)[:3]
    colour = INTRINSICS @ np.linalg.inv(beside)[:3]
    write_lines(folder / "calib.txt", [f"P0: {words(grey.ravel())}", f"P2: {words(colour.ravel())}"])
    return folder


def model_rows(shot):
    """Rows ``qw qx qy qz tx ty tz`` that take world to camera."""
    world_to_camera = np.linalg.inv(shot.poses)
    turns = quaternions(world_to_camera, w_first=True)
    return np.concatenate([turns, world_to_camera[:, :3, 3]], axis=1)


def write_colmap_text(shot, root):
    """The rows in another order than the images, with and without points."""
    folder = root / "plant" / "sparse" / "0"
    write_images(shot, root / "plant" / "images", lambda k: f"frame {k + 8}.png")
    write_lines(folder / "cameras.txt", ["# Camera list", f"7 OPENCV {SIZE} {SIZE} 30 32 16 15 0.1 0.2 0.3 0.4"])
    lines = ["# Image list with two lines of data per image:", f"# Number of images: {shot.num_frames}"]
    for k in reversed(range(shot.num_frames)):
        points = "1.5 2.5 -1 3.5 4.5 17" if k % 2 else ""
        lines += [f"{k + 1} {words(model_rows(shot)[k])} 7 frame {k + 8}.png", points]
    write_lines(folder / "images.txt", lines)
    return folder


def binary_cameras(model=4, params=(30, 32, 16, 15, 0.1, 0.2, 0.3, 0.4)):
    return struct.pack(f"<QIiQQ{len(params)}d", 1, 7, model, SIZE, SIZE, *params)


def binary_images(shot, num_points=2):
    parts = [struct.pack("<Q", shot.num_frames)]
    for k in reversed(range(shot.num_frames)):
        parts.append(struct.pack("<I7dI", k + 1, *model_rows(shot)[k], 7) + f"frame {k + 8}.png".encode() + b"\0")
        parts.append(struct.pack("<Q", num_points) + struct.pack("<ddq", 1.5, 2.5, -1) * num_points)
    return b"".join(parts)


def write_colmap_binary(shot, root):
    folder = root / "plant" / "sparse" / "0"
    write_images(shot, root / "plant" / "images", lambda k: f"frame {k + 8}.png")
    folder.mkdir(parents=True)
    (folder / "cameras.bin").write_bytes(binary_cameras())
    (folder / "images.bin").write_bytes(binary_images(shot))
    return folder


def write_nerfstudio(shot, root):
    """OpenGL camera axes: the second column points up, the third backward."""
    folder = root / "garden"
    write_images(shot, folder, lambda k: f"images/frame_{k + 8}.png")
    frames = []
    for k, pose in reversed(list(enumerate(shot.poses))):
        right, down, forward, place = pose.T
        matrix = np.stack([right, -down, -forward, place], axis=1)
        frames.append({"file_path": f"./images/frame_{k + 8}", "transform_matrix": matrix.tolist()})
    content = {"fl_x": 30.0, "fl_y": 32.0, "cx": 16.0, "cy": 15.0, "w": SIZE, "h": SIZE, "aabb_scale": 16}
    (folder / "transforms.json").write_text(json.dumps(content | {"camera_model": "OPENCV", "frames": frames}))
    return folder


def nuscenes_tables(shot):
    """The tables of one scene with a second camera whose images must be left alone."""
    egos = VEHICLE_FROM_CAMERA @ shot.poses @ np.linalg.inv(MOUNT)  # the world's y axis, down, becomes the map's -z
    turns = quaternions(egos, w_first=True)
    tokens = [f"{k:032x}" for k in range(shot.num_frames)]
    images = []
    for k, token in enumerate(tokens):
        row = {"sample_token": token, "ego_pose_token": token, "is_key_frame": True, "timestamp": 1_532_402_927_612_460}
        row["timestamp"] += 100_000 * k
        front = {"token": f"f{k}", "calibrated_sensor_token": "front", "filename": f"samples/CAM_FRONT/a_{k}.png"}
        back = {"token": f"b{k}", "calibrated_sensor_token": "back", "filename": f"samples/CAM_BACK/a_{k}.png"}
        images += [row | back, row | front]
    mounted = {"translation": MOUNT[:3, 3].tolist(), "rotation": quaternions(MOUNT[None], w_first=True)[0].tolist()}
    front = {"token": "front", "sensor_token": "s1", "camera_intrinsic": INTRINSICS.tolist()} | mounted
    poses_of_car = zip(tokens, egos, turns, strict=True)
    return {
        "log": [{"token": "l", "location": "singapore-onenorth"}],
        "scene": [{"token": "sc", "name": "scene-0061", "log_token": "l"}],
        "sample": [{"token": token, "scene_token": "sc", "timestamp": 1} for token in tokens],
        "sample_data": images[::-1],
        "ego_pose": [
            {"token": token, "translation": ego[:3, 3].tolist(), "rotation": turn.tolist()}
            for token, ego, turn in poses_of_car
        ],
        "sensor": [{"token": "s1", "channel": "CAM_FRONT"}, {"token": "s2", "channel": "CAM_BACK"}],
        "calibrated_sensor": [front, front | {"token": "back", "sensor_token": "s2"}],
    }


def write_tables(tables, root):
    folder = root / "v1.0-mini"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=0))
    return folder


def write_nuscenes(shot, root):
    write_images(shot, root, lambda k: f"samples/CAM_FRONT/a_{k}.png")
    return write_tables(nuscenes_tables(shot), root)


def the_clip(reader, root):
    """The only clip below ``root``."""
    (clip,) = reader.read(root)
    return clip


def refused(reader, root):
    """The error that stops ``reader``, as its reason and its sentence."""
    with pytest.raises(AnnotationError) as caught:
        list(reader.read(root))
    return caught.value.reason, str(caught.value)


def replace_in(file, old, new):
    """Spoil a text file; the spoilt part must have been there."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
