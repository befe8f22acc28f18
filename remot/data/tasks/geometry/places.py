"""Where tracked things are, from the annotated places of their middles.

Ground places are as seen by the camera: x metres to its right, y metres along its view. Boxes and distances alone do
not determine them well enough: the middle of a box that the border of the image cuts is off by half a metre.
"""

import numpy as np

from remot.structures import Clip, FloatArray, Point


def places_seen_from(clip: Clip, name: str, frame: int) -> FloatArray | None:
    """[N, 3] metres of a thing in the axes of the camera of ``frame``, NaN where unknown; None without known motion."""
    local = clip.objects[name].centres_metres
    if local is None or clip.camera_moves:
        return None
    if clip.camera is None:
        return local
    if not clip.camera.is_metric:
        return None
    poses = clip.camera.camera_to_world
    world = np.einsum("nij,nj->ni", poses[:, :3, :3], local) + poses[:, :3, 3]
    return np.asarray((world - poses[frame, :3, 3]) @ poses[frame, :3, :3])


def ground_place(place: FloatArray) -> Point:
    """To the right and along the view: x and z of a place [3] in camera axes."""
    return float(place[0]), float(place[2])


def camera_places(clip: Clip, frame: int) -> dict[str, FloatArray]:
    """Known places [3] of things in annotated frame ``frame``, in the axes of its camera, in metres; by name."""
    known = {name: track.centres_metres for name, track in clip.objects.items()}
    found = {name: centres[frame] for name, centres in known.items() if centres is not None}
    return {name: place for name, place in found.items() if np.isfinite(place).all()}
