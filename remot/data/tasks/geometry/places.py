"""Where tracked things are, from boxes, distances and the camera.

A thing's place is the middle of its box at its annotated distance. Ground places are seen from above: x to the right
of the camera, y away from it.
"""

import numpy as np

from remot.structures import Clip, FloatArray, ObjectTrack, Point


def camera_places(track: ObjectTrack, intrinsics: FloatArray) -> FloatArray:
    """[N, 3] places in the axes of each frame's own camera, in metres; NaN where the thing or its distance is unknown.

    Args:
        track: The thing.
        intrinsics: [3, 3] in pixels of the boxes.
    """
    depths = np.full(len(track.boxes_xyxy), np.nan) if track.depths_metres is None else track.depths_metres
    middles = (track.boxes_xyxy[:, :2] + track.boxes_xyxy[:, 2:]) / 2
    rays = np.column_stack([middles, np.ones(len(middles))]) @ np.linalg.inv(intrinsics).T
    return np.asarray(rays * depths[:, None])


def places_seen_from(clip: Clip, name: str, frame: int) -> FloatArray | None:
    """[N, 3] places of a thing in the axes of the camera of annotated frame ``frame``, in metres.

    Returns:
        None if the camera's motion or intrinsics are not known.
    """
    if clip.camera is None or clip.camera.intrinsics is None:
        return None
    poses = clip.camera.camera_to_world
    if not clip.camera.is_metric:
        return None
    local = camera_places(clip.objects[name], clip.camera.intrinsics)
    world = np.einsum("nij,nj->ni", poses[:, :3, :3], local) + poses[:, :3, 3]
    return np.asarray((world - poses[frame, :3, 3]) @ poses[frame, :3, :3])


def ground_place(place: FloatArray) -> Point:
    """To the right and away: x and z of a place [3] in camera axes."""
    return float(place[0]), float(place[2])


def ground_places(clip: Clip, frame: int) -> dict[str, Point]:
    """Where every thing with a known distance is in annotated frame ``frame``, seen from its camera; by name."""
    if clip.camera is None or clip.camera.intrinsics is None:
        return {}
    found = {
        name: camera_places(track, clip.camera.intrinsics)[frame]
        for name, track in clip.objects.items()
        if track.depths_metres is not None
    }
    return {name: ground_place(place) for name, place in found.items() if np.isfinite(place).all()}
