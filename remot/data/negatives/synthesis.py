"""Negatives made from images of the clip, with every label worked out anew from the changed annotations.

An image taken by a camera that only turned is a plane perspective map of the first one, K R K'⁻¹, with nothing unseen
but what comes in at the border. That border is cut away by looking through a narrower window, and so that the window
does not give the synthetic image away, all three are seen through one: two of them through a window turned to
one side, one through any window (ReMoT, arXiv 2603.00461, calls it T_geo; its released images are
shifted crops).
"""

import re
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from remot.data.experts.base import IntArray
from remot.data.media import read_frames
from remot.data.media.warps import warped_corners
from remot.data.negatives.base import Case, Negative, View
from remot.errors import ConfigError
from remot.seeding import numpy_generator
from remot.structures import CameraTrack, Clip, FloatArray, Warp

Axis = Literal["yaw", "pitch", "roll"]

_OTHER_SIDE = {"left": "right", "right": "left", "Left": "Right", "Right": "Left", "LEFT": "RIGHT", "RIGHT": "LEFT"}
_OTHER_SIDE |= {"leftmost": "rightmost", "rightmost": "leftmost"}
#: Between letters and what is none.
_WORDS = re.compile(r"([^\W\d_]+)")

#: Share of the largest possible turn by which two of the images are turned to one side.
_ASIDE = 0.8
#: Largest turn that is looked for, in degrees.
_MAX_TURN_DEGREES = 45.0


class Window(NamedTuple):
    """What a narrower image is cut from: intrinsics [3, 3] and size of the decoded image, and size of the narrower one.

    Sizes are width and height in pixels.
    """

    intrinsics: FloatArray
    size: tuple[int, int]
    shown: tuple[int, int]


@dataclass(eq=False)
class _SyntheticView(Negative):
    """Shared by turned and shifted windows.

    Args:
        axis: What the window is turned about: ``yaw``, ``pitch`` or ``roll``.
        zoom: How many times narrower than the image the window is, above 1; the room that is left is what it can
            turn in.
        views_per_frame: Turned windows for each frame.
        max_frames: Frames of a clip that are used at most.
    """

    axis: Axis = "yaw"
    zoom: float = 1.6
    views_per_frame: int = 3
    max_frames: int = 24

    def __post_init__(self) -> None:
        if not 1 < self.zoom <= 8 or self.views_per_frame < 1 or self.max_frames < 2:
            msg = (
                f"{type(self).__name__}: zoom is {self.zoom}, views_per_frame {self.views_per_frame} and max_frames "
                f"{self.max_frames}; choose a zoom above 1 and at most 8, at least 1 view and at least 2 frames"
            )
            raise ConfigError(msg)

    @abstractmethod
    def matrix(self, degrees: float, window: Window) -> FloatArray:
        """[3, 3] map from shown to decoded pixels of a window turned right, up or clockwise by ``degrees``."""

    @abstractmethod
    def rotation(self, degrees: float, window: Window) -> FloatArray:
        """[3, 3] axes of the window's camera in those of the camera, for the same arguments."""

    def view(self, clip: Clip, frames: IntArray) -> View | None:
        """Two images through one window, one through another; None without intrinsics or room."""
        intrinsics = None if clip.camera is None else clip.camera.intrinsics
        if intrinsics is None or clip.media is None or not np.isfinite(intrinsics).all():
            return None
        if intrinsics[0, 0] <= 0 or intrinsics[1, 1] <= 0:
            return None
        generator = numpy_generator(0, self.name, self.axis, clip.clip_id)
        if len(frames) > self.max_frames:
            frames = np.sort(generator.choice(frames, self.max_frames, replace=False))
        height, width = read_frames(clip, [int(frames[0])])[0].shape[-2:]
        shown = round(width / self.zoom), round(height / self.zoom)
        window = Window(intrinsics, (width, height), shown)
        largest = _largest_turn(lambda degrees: self.matrix(degrees, window), window)
        if largest < 1e-3:
            return None
        aside = _ASIDE * largest * (1 if generator.integers(2) else -1)
        turns = generator.uniform(-largest, largest, (len(frames), self.views_per_frame))
        turns[:, 0] = aside  # nothing turned must stay possible
        degrees = np.concatenate([np.full(len(frames), aside), turns.ravel()])
        source_frames = np.concatenate([frames, np.repeat(frames, self.views_per_frame)])
        matrices = [self.matrix(turn, window) for turn in degrees]
        warps = tuple(Warp(self.name, tuple((matrix / matrix[2, 2]).ravel().tolist()), shown) for matrix in matrices)
        rotations = np.stack([self.rotation(turn, window) for turn in degrees])
        # One of the three places is for the turned images, the other two for those before them. Any place, not only the
        # third: else the answer about the first two would give away that they are not turned.
        real = np.arange(len(degrees)) < len(frames)
        both, out, back = np.outer(real, real), np.outer(real, ~real), np.outer(~real, real)
        return View(
            _turned_clip(clip, source_frames, rotations),
            np.arange(len(degrees), dtype=np.int64),
            source_frames,
            warps,
            (Case(both, out, out), Case(out, both, back), Case(back, back, both)),
        )


class RotatedView(_SyntheticView):
    """Windows through which a camera that turned in place would look: exact for a pinhole camera."""

    name = "rotated_view"

    def matrix(self, degrees: float, window: Window) -> FloatArray:
        """K R K'⁻¹."""
        own = window.intrinsics.copy()
        own[:2, 2] -= (np.array(window.size) - np.array(window.shown)) / 2
        turned: FloatArray = window.intrinsics @ axis_rotation(self.axis, degrees) @ np.linalg.inv(own)
        return turned

    def rotation(self, degrees: float, window: Window) -> FloatArray:  # noqa: ARG002 - a turn is what it is
        """R."""
        return axis_rotation(self.axis, degrees)


@dataclass(eq=False)
class ShiftedCrop(_SyntheticView):
    """Windows shifted in the image by fractions of a pixel, labelled by where their middle looks.

    What a turned camera would show differs by the perspective only, which is small for small turns; this is what the
    released ReMoT images are.
    """

    name = "shifted_crop"

    axis: Literal["yaw", "pitch"] = "yaw"

    def matrix(self, degrees: float, window: Window) -> FloatArray:
        """A translation: the window's middle goes to where the camera sees the direction ``degrees`` aside."""
        ahead = window.intrinsics @ axis_rotation(self.axis, degrees)[:, 2]
        unturned = (np.array(window.size) - np.array(window.shown)) / 2
        shifted = np.eye(3)
        shifted[:2, 2] = unturned + ahead[:2] / ahead[2] - window.intrinsics[:2, 2]
        return shifted

    def rotation(self, degrees: float, window: Window) -> FloatArray:
        """The turn that brings the optical axis to the window's middle and keeps the rows of pixels where they are.

        First about the camera's x, then about the turned y, so that the new right lies along the rows of the image.
        """
        middle = self.matrix(degrees, window) @ np.array([window.shown[0] / 2, window.shown[1] / 2, 1.0])
        x, y, z = np.linalg.inv(window.intrinsics) @ middle
        upward = axis_rotation("pitch", float(np.degrees(np.arctan2(-y, z))))
        turned: FloatArray = upward @ axis_rotation("yaw", float(np.degrees(np.arctan2(x, np.hypot(y, z)))))
        return turned


class Mirror(Negative):
    """All three images in a mirror: left becomes right in what is seen, in the answers and in the names of things."""

    name = "mirror"

    def view(self, clip: Clip, frames: IntArray) -> View | None:
        """All candidates, mirrored; None for a clip without images."""
        if clip.media is None:
            return None
        height, width = read_frames(clip, [int(frames[0])])[0].shape[-2:]
        matrix = (-1.0, 0.0, float(width), 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
        warp = Warp(self.name, matrix, (width, height))
        return View(mirrored_clip(clip, width), frames, frames, (warp,) * len(frames))


def mirrored_clip(clip: Clip, width: int) -> Clip:
    """The annotations of a clip seen in a mirror, whose images are ``width`` pixels wide."""
    flip = np.array([-1.0, 1.0, 1.0])
    agent = clip.agent
    if agent is not None:
        places = agent.positions_metres * np.array([-1.0, 1.0])
        agent = replace(agent, positions_metres=places, headings_degrees=180.0 - agent.headings_degrees)
    effectors = {
        other_side(name): replace(track, positions=track.positions * flip) for name, track in clip.effectors.items()
    }
    objects = {}
    for name, track in clip.objects.items():
        left, top, right, bottom = track.boxes_xyxy.T
        boxes_xyxy = np.stack([width - right, top, width - left, bottom], axis=1)
        objects[other_side(name)] = replace(track, boxes_xyxy=boxes_xyxy, masks=None)
    return replace(
        clip,
        camera=None if clip.camera is None else _mirrored_camera(clip.camera, width),
        agent=agent,
        effectors=effectors,
        objects=objects,
        events=tuple(replace(event, text=other_side(event.text)) for event in clip.events),
        layout=tuple(replace(box, centre_metres=box.centre_metres * flip, axes=box.axes * flip) for box in clip.layout),
    )


def _mirrored_camera(camera: CameraTrack, width: int) -> CameraTrack:
    """World and camera with x exchanged, and the principal point on the other side."""
    world = np.diag([-1.0, 1.0, 1.0, 1.0])
    intrinsics = camera.intrinsics
    if intrinsics is not None:
        image = np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        intrinsics = image @ intrinsics @ world[:3, :3]
    return CameraTrack(world @ camera.camera_to_world @ world, intrinsics, camera.is_metric)


def other_side(name: str) -> str:
    """``name`` with left and right exchanged where they are whole words: no letter before or after.

    >>> other_side("left_arm of the bright robot")
    'right_arm of the bright robot'
    """
    return "".join(_OTHER_SIDE.get(word, word) for word in _WORDS.split(name))


def axis_rotation(axis: Axis, degrees: float) -> FloatArray:
    """[3, 3] rotation to the right, up, or clockwise, in OpenCV axes: new axes in the columns."""
    angle = np.radians(degrees)
    c, s = float(np.cos(angle)), float(np.sin(angle))
    if axis == "yaw":
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    if axis == "pitch":
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _largest_turn(matrix: Callable[[float], FloatArray], window: Window) -> float:
    """Largest turn in degrees, to either side, whose window stays within the image; without a turn it does."""
    low, high = 0.0, _MAX_TURN_DEGREES
    for _ in range(30):
        middle = (low + high) / 2
        corners = np.concatenate([warped_corners(matrix(side * middle), window.shown) for side in (-1, 1)])
        fits = np.all(corners >= 0) and np.all(corners <= np.array(window.size))
        low, high = (middle, high) if fits else (low, middle)
    return low


def _turned_clip(clip: Clip, source_frames: IntArray, rotations: FloatArray) -> Clip:
    """A clip of M frames that holds what the turned cameras [M, 3, 3] are annotated with, and nothing else."""
    assert clip.camera is not None
    poses = clip.camera.camera_to_world[source_frames].copy()
    poses[:, :3, :3] = poses[:, :3, :3] @ rotations
    camera = CameraTrack(poses, None, clip.camera.is_metric)
    times = np.arange(len(source_frames), dtype=np.float64)
    return Clip(clip.clip_id, clip.scene_id, clip.domain, None, times, camera=camera)
