"""Tiny clips whose every number is written down by hand."""

from pathlib import Path

import numpy as np

from remot.data.annotations.native.reader import write_clip
from remot.structures import CameraTrack, Clip, EffectorTrack, ObjectTrack

SIZE = 32


def poses(yaw_degrees, pitch_degrees=None, roll_degrees=None, places=None):
    """Camera-to-world [N, 4, 4]: columns are the camera's right, down and forward axes, found without rotation matrices
    of the library: forward from spherical angles, right from the horizon, turned about forward by the roll."""
    yaw = np.radians(np.asarray(yaw_degrees, dtype=float))
    pitch = np.radians(np.zeros_like(yaw) if pitch_degrees is None else np.asarray(pitch_degrees, dtype=float))
    roll = np.radians(np.zeros_like(yaw) if roll_degrees is None else np.asarray(roll_degrees, dtype=float))
    result = np.tile(np.eye(4), (len(yaw), 1, 1))
    for k in range(len(yaw)):
        forward = np.array([np.sin(yaw[k]) * np.cos(pitch[k]), -np.sin(pitch[k]), np.cos(yaw[k]) * np.cos(pitch[k])])
        level = np.array([np.cos(yaw[k]), 0.0, -np.sin(yaw[k])])
        down = np.cross(forward, level)
        right = np.cos(roll[k]) * level + np.sin(roll[k]) * down
        result[k, :3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    if places is not None:
        result[:, :3, 3] = places
    return result


def boxes(centres_xy, half=8.0):
    centres = np.asarray(centres_xy, dtype=float)
    return np.concatenate([centres - half, centres + half], axis=1)


def clip_of(num_frames, clip_id="clip", scene_id="scene", domain="hand", **tracks):
    """A clip whose camera is known to be fixed, unless it has poses or ``camera_moves`` says otherwise."""
    if tracks.get("camera") is None:
        tracks = {"camera_moves": False, **tracks}
    return Clip(clip_id, scene_id, domain, Path("nowhere.mp4"), np.arange(num_frames) / 10, **tracks)


def camera_clip(yaw_degrees, pitch_degrees=None, clip_id="camera", **names):
    """The landmark is always left of the middle, one cell further for each frame."""
    track = ObjectTrack(boxes([(1 + 3 * k, 5) for k in range(len(yaw_degrees))]), is_landmark=True)
    camera = CameraTrack(poses(yaw_degrees, pitch_degrees))
    return clip_of(len(yaw_degrees), clip_id, camera=camera, objects={"red_tower": track}, **names)


def arm_clip(horizontal_metres, opening=None, clip_id="arm", **names):
    places = np.zeros((len(horizontal_metres), 3))
    places[:, 0] = horizontal_metres
    track = EffectorTrack(places, None if opening is None else np.asarray(opening, dtype=float))
    return clip_of(len(places), clip_id, effectors={"left arm": track}, **names)


def write_folder(folder, clips):
    """Write ``clips`` with images that tell their frame: grey level 10 k in frame k."""
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        levels = 10 * np.arange(clip.num_frames, dtype=np.uint8)
        frames = np.broadcast_to(levels[:, None, None, None], (clip.num_frames, SIZE, SIZE, 3))
        write_clip(clip, np.ascontiguousarray(frames), folder, fps=10, source="test", licence="Apache-2.0")
    return folder


def mixed_clips(num_scenes=6):
    """Two attributes in every scene: a camera that turns between three levels, an arm that moves between two."""
    clips = []
    for scene in range(num_scenes):
        yaw = [0, 20, 40, 0, 20, 40, 0.2]
        move = [0.0, 0.3, 0.3, 0.0, 0.01, 0.6, 0.6]
        clips.append(camera_clip(yaw, clip_id=f"camera-{scene}", scene_id=f"c{scene}", domain="navigation"))
        clips.append(arm_clip(move, clip_id=f"arm-{scene}", scene_id=f"a{scene}", domain="manipulation"))
    return clips
