"""One annotated clip: everything that was recorded about it but the images themselves.

Notation: N annotated frames of a clip.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from remot.errors import AnnotationError

FloatArray = NDArray[np.float64]

#: How far an opening may lie outside of 0 to 1, as fingers that press on something or on each other do.
MAX_OVERSHOOT = 0.15
#: Largest plausible distance of a hand in metres; positions beyond it are in another unit, such as millimetres.
MAX_REACH_METRES = 10.0


class ImageStore(ABC):
    """Images that lie neither in a video nor in files of their own, such as those inside an archive.

    A store is pickled to the processes that decode, so it holds names and positions, never open files.
    """

    @abstractmethod
    def read(self, frame_indices: Sequence[int]) -> list[Tensor]:
        """Images of annotated frames in the order asked for, uint8 [3, H, W] RGB.

        Raises:
            DecodeError: If one cannot be read.
        """

    def each(self, frame_indices: Sequence[int]) -> Iterator[Tensor]:
        """The same one after another, so that one image is in memory at a time; stores may keep their file open."""
        for index in frame_indices:
            yield from self.read([index])

    @abstractmethod
    def check(self, num_frames: int) -> None:
        """Verify without decoding that there is an image for each of ``num_frames`` frames.

        Raises:
            DecodeError: If there is not.
        """

    @abstractmethod
    def __str__(self) -> str:
        """Name for messages: the file and the place in it."""


#: Where images are: a video; a folder of images in number order; one image file for each annotated frame; a
#: store; or None for annotations without images.
Media = Path | tuple[Path, ...] | ImageStore | None


@dataclass(frozen=True, eq=False)
class CameraTrack:
    """Poses of the camera that took a clip.

    Args:
        camera_to_world: Rigid transforms [N, 4, 4], OpenCV axes (x right, y down, z forward), metres.
        intrinsics: Pinhole matrix [3, 3] in pixels of the clip's images, or None if unknown.
        is_metric: False if translations are in a unit that is not known to be the metre, as after structure from
            motion; then nothing is asked about them.
    """

    camera_to_world: FloatArray
    intrinsics: FloatArray | None = None
    is_metric: bool = True


@dataclass(frozen=True, eq=False)
class EffectorTrack:
    """A hand, gripper or tool.

    Args:
        positions: [N, 3] metres: x to the viewer's right, y down, z away from the viewer. A column of NaN is a
            direction that is not known, about which nothing is asked.
        opening: [N] from 0 (closed) to 1 (open), or None if it has no gripper.
        frame: ``camera`` if each position is in the axes of its own image's camera, so that directions hold however
            the camera moves; ``viewer`` if all are in the axes of one viewer who stands still, so that directions are
            those of the images only while the camera is known to be fixed.
        visible: [N] bool, whether the image shows it; None if not known. The boxes of an object of the same name show
            it too.
    """

    positions: FloatArray
    opening: FloatArray | None = None
    frame: Literal["camera", "viewer"] = "viewer"
    visible: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class ObjectTrack:
    """An object followed through the images.

    Args:
        boxes_xyxy: [N, 4] pixels, NaN where the object is not visible.
        is_landmark: True if the object stands still in the world, so that its box moves with the camera only.
        depths_metres: [N] distances of its centre along the camera's optical axis, NaN where not known; None if never.
        masks: Folder of images in number order, or one file for each annotated frame, in which the object's pixels
            have the value ``mask_value``; None if only boxes are known.
        mask_value: Grey value (or palette index) of the object in ``masks``.
        size_metres: [3] full lengths of the object's sides in any order, None if not known.
        centres_metres: [N, 3] places of its middle in the axes of each frame's own camera, a row of NaN where not
            known; None if never.
        hidden: [N] frames in which the data set states that the object is largely hidden or cut off, though it has a
            box; None if it does not state that.
    """

    boxes_xyxy: FloatArray
    is_landmark: bool = False
    depths_metres: FloatArray | None = None
    masks: Path | tuple[Path, ...] | None = None
    mask_value: int = 255
    size_metres: FloatArray | None = None
    centres_metres: FloatArray | None = None
    hidden: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class AgentTrack:
    """Who acts in a clip: a player, vehicle or mobile robot on the ground, seen from above.

    Args:
        positions_metres: [N, 2] x to the east and y to the north on the ground.
        headings_degrees: [N] where it faces, counter-clockwise from east.
    """

    positions_metres: FloatArray
    headings_degrees: FloatArray


@dataclass(frozen=True)
class Event:
    """Something that happens in a stretch of a clip.

    Args:
        text: What happens.
        start_seconds: First moment of it.
        end_seconds: First moment after it.
    """

    text: str
    start_seconds: float
    end_seconds: float

    def __post_init__(self) -> None:
        if not (0 <= self.start_seconds < self.end_seconds < float("inf")):
            msg = f"event {self.text!r:.60}: {self.start_seconds} to {self.end_seconds} s is no stretch of time"
            raise AnnotationError(msg)


@dataclass(frozen=True, eq=False)
class LayoutBox:
    """A box around an object of a scene in the world.

    Args:
        name: What it is, such as ``chair``.
        centre_metres: [3] in world axes, z up.
        size_metres: [3] full lengths along the box's own axes.
        axes: [3, 3] unit vectors of the box's own axes in its rows.
        image_shares: [N] share of each frame's pixels that show it, 0 where none does; None if not annotated. All boxes
            of a clip have them, or none has.
    """

    name: str
    centre_metres: FloatArray
    size_metres: FloatArray
    axes: FloatArray
    image_shares: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Clip:
    """One annotated clip. Everything but the images themselves.

    Args:
        clip_id: Unique name.
        scene_id: Clips of one scene never fall into different splits.
        domain: Where it comes from, such as ``manipulation`` or ``re10k``; used in reports.
        media: Where the images are, see :data:`Media`.
        pts_seconds: [N] strictly increasing presentation times of the annotated frames.
        camera: Camera poses, if known.
        effectors: Hands by name.
        objects: Objects by name.
        media_pts_seconds: [N] times at which the frames lie in ``media`` where they differ from ``pts_seconds``
            (RealEstate10K: true times differ from the mp4's); None if they are the same.
        agent: Who acts, if known.
        events: Things that happen in stretches of the clip.
        layout: Boxes around the scene's objects.
        camera_moves: Of a clip without ``camera``: True if the camera moves, False if it is known to be fixed, None if
            that is not known. Nothing is asked about motion in the images if it moves, nor about directions of an
            effector unless it is known to be fixed.
        room_area_square_metres: Floor area of the scene, None if not known.
        complete_kinds: Kinds of things of which the clip annotates every single one, so that they can be counted: names
            of ``layout``, or names of ``objects`` without the number at their end. None stands for all names of
            ``layout`` and none of ``objects``.
        weight: How often it is drawn, relative to other clips that can answer the same.
    """

    clip_id: str
    scene_id: str
    domain: str
    media: Media
    pts_seconds: FloatArray
    camera: CameraTrack | None = None
    effectors: Mapping[str, EffectorTrack] = field(default_factory=dict)
    objects: Mapping[str, ObjectTrack] = field(default_factory=dict)
    media_pts_seconds: FloatArray | None = None
    agent: AgentTrack | None = None
    events: tuple[Event, ...] = ()
    layout: tuple[LayoutBox, ...] = ()
    camera_moves: bool | None = None
    room_area_square_metres: float | None = None
    complete_kinds: tuple[str, ...] | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        where, n = f"clip {self.clip_id}", self.num_frames
        _require_shape(where, "pts_seconds", self.pts_seconds, (None,))
        if n < 1 or not np.all(np.isfinite(self.pts_seconds)) or np.any(np.diff(self.pts_seconds) <= 0):
            msg = f"{where}: pts_seconds must hold at least one time, all finite and strictly increasing"
            raise AnnotationError(msg, reason="times" if n else "zero length")
        if self.media_pts_seconds is not None:
            _require_shape(where, "media_pts_seconds", self.media_pts_seconds, (n,))
        if isinstance(self.media, tuple) and len(self.media) != n:
            msg = f"{where}: {len(self.media)} images for {n} annotated frames"
            raise AnnotationError(msg, reason="media")
        if self.camera is not None:
            _require_shape(where, "camera_to_world", self.camera.camera_to_world, (n, 4, 4))
            _require_rigid(where, self.camera.camera_to_world)
        self._require_tracks(where, n)
        self._require_shares(where, n)
        area = self.room_area_square_metres
        if area is not None and not 0 < area < float("inf"):
            msg = f"{where}: room_area_square_metres is {area}, give a positive number or leave it out"
            raise AnnotationError(msg, reason="not finite")

    def _require_tracks(self, where: str, n: int) -> None:
        for name, effector in self.effectors.items():
            _require_shape(where, f"effector {name} positions", effector.positions, (n, 3))
            if effector.opening is not None:
                _require_shape(where, f"effector {name} opening", effector.opening, (n,))
            if effector.visible is not None:
                _require_shape(where, f"effector {name} visible", effector.visible, (n,))
            _require_units(f"{where}: effector {name}", effector)
        for name, track in self.objects.items():
            _require_shape(where, f"object {name} boxes_xyxy", track.boxes_xyxy, (n, 4))
            shapes = {"depths_metres": (n,), "centres_metres": (n, 3), "size_metres": (3,), "hidden": (n,)}
            for key, shape in shapes.items():
                if (values := getattr(track, key)) is not None:
                    _require_shape(where, f"object {name} {key}", values, shape)
            if isinstance(track.masks, tuple) and len(track.masks) != n:
                msg = f"{where}: object {name} has {len(track.masks)} masks for {n} annotated frames"
                raise AnnotationError(msg, reason="unsynchronised")
        if self.agent is not None:
            _require_shape(where, "agent positions_metres", self.agent.positions_metres, (n, 2))
            _require_shape(where, "agent headings_degrees", self.agent.headings_degrees, (n,))

    def _require_shares(self, where: str, n: int) -> None:
        shares = [box.image_shares for box in self.layout]
        if any(share is None for share in shares):
            if not all(share is None for share in shares):
                msg = f"{where}: layout: some boxes have image_shares and others have none, give all or none of them"
                raise AnnotationError(msg)
            return
        for box, share in zip(self.layout, shares, strict=True):
            assert share is not None
            _require_shape(where, f"layout {box.name} image_shares", share, (n,))
            if not ((share >= 0) & (share <= 1)).all():
                msg = f"{where}: layout {box.name} image_shares must lie between 0 and 1"
                raise AnnotationError(msg, reason="unit")

    @property
    def num_frames(self) -> int:
        """Number of annotated frames N."""
        return len(self.pts_seconds)

    @property
    def frame_times_in_media(self) -> FloatArray:
        """[N] seconds at which to look the frames up in ``media``."""
        return self.pts_seconds if self.media_pts_seconds is None else self.media_pts_seconds

    def __repr__(self) -> str:
        return f"Clip({self.clip_id!r}, domain={self.domain!r}, num_frames={self.num_frames})"


def _require_shape(where: str, name: str, array: NDArray[Any], shape: tuple[int | None, ...]) -> None:
    if array.ndim != len(shape) or any(w is not None and w != g for w, g in zip(shape, array.shape, strict=True)):
        wanted = "x".join("?" if size is None else str(size) for size in shape)
        msg = f"{where}: {name} has shape {'x'.join(map(str, array.shape))}, expected {wanted}"
        raise AnnotationError(msg, reason="shape")


def _require_units(where: str, effector: EffectorTrack) -> None:
    """Refuse positions that cannot be metres and openings that are no share, which would give wrong labels."""
    places = effector.positions[np.isfinite(effector.positions)]
    reach = float(np.abs(places).max(initial=0.0))
    if reach > MAX_REACH_METRES:
        msg = (
            f"{where} has a position of {reach:.4g} m, further than {MAX_REACH_METRES:g} m; give metres: divide "
            "millimetres by 1000 (LeRobotReader: metres_per_unit: 0.001)"
        )
        raise AnnotationError(msg, reason="unit")
    opening = np.zeros(0) if effector.opening is None else effector.opening[np.isfinite(effector.opening)]
    low, high = float(opening.min(initial=0.0)), float(opening.max(initial=0.0))
    if low < -MAX_OVERSHOOT or high > 1 + MAX_OVERSHOOT:
        msg = (
            f"{where} has openings from {low:.4g} to {high:.4g}, expected 0 (closed) to 1 (open); "
            "use (reading - closed) / (open - closed)"
        )
        raise AnnotationError(msg, reason="unit")


def _require_rigid(where: str, camera_to_world: FloatArray, tolerance: float = 1e-3) -> None:
    finite = np.asarray(np.isfinite(camera_to_world).all(axis=(1, 2)))
    poses = np.where(finite[:, None, None], camera_to_world, np.eye(4))
    rotation = poses[:, :3, :3]
    gap = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    last_row = np.abs(poses[:, 3] - np.array([0.0, 0.0, 0.0, 1.0])).max(axis=1)
    flipped = np.asarray(np.linalg.det(rotation) < 0)
    bad = ~finite | (gap > tolerance) | (last_row > tolerance) | flipped
    if bad.any():
        frame = int(np.flatnonzero(bad)[0])
        msg = f"{where}: the camera pose of frame {frame} is not a rigid motion (NaN, scale, flip or last row)"
        raise AnnotationError(msg, reason="pose")
