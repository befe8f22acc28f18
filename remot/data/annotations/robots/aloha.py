"""Episodes of ALOHA and ACT (https://github.com/tonyzhaozh/act): one HDF5 file with states and images.

The source's conventions: ``observations/qpos`` [N, 14] holds for the left arm six joint angles in radians and the
gripper, then the same for the right arm; grippers are normalised so that 0 is closed and 1 is open.
``observations/images/<camera>`` holds [N, H, W, 3] bytes, or JPEG bytes padded to one length. Row k belongs to image
k; there are no timestamps, the robot is recorded at 50 Hz. The attribute ``sim`` marks simulated episodes.

Positions of the grippers are not part of the format. Where a file has them, the two arms have bases of their own, which
face each other across the table, so their axes differ. Cameras with ``wrist`` in their name move with an
arm; the others are fixed to the frame that holds both arms.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import FileReader, require_inside
from remot.data.annotations.robots.axes import UPRIGHT_CAMERA, axes_matrix, scale_opening, to_viewer, unknown_positions
from remot.data.media.archives import ChannelOrder, Hdf5Images
from remot.data.media.hdf5 import members, opened_hdf5, plain_dataset, read_array
from remot.errors import AnnotationError
from remot.structures import Clip, EffectorTrack, FloatArray

if TYPE_CHECKING:
    import h5py

STATES = "observations/qpos"
IMAGES = "observations/images"
NUM_COLUMNS = 14
GRIPPER_COLUMNS = {"left arm": 6, "right arm": 13}


@dataclass(eq=False)
class AlohaReader(FileReader):
    """Reads ``episode_<number>.hdf5``; one clip for each file. See the module for the source's conventions.

    Each episode is a scene of its own, since the format does not say which episodes show the same place.

    Args:
        camera: Name below ``observations/images``; None takes the only one.
        fps: Rows a second.
        positions: Array with positions of both grippers, such as ``observations/ee_pos``: [N, 2, 3] or [N, 2 K] metres,
            the left arm's K numbers first, each beginning with x, y, z. None for none.
        left_axes: How the left arm's axes lie for the viewer, see :mod:`remot.data.annotations.robots.axes`.
        right_axes: The same for the right arm.
        channel_order: Order of the colours in the file; look at an image, for both are found.
        domain: Name of the data in reports; ``-sim`` is added for simulated episodes.

    Raises:
        ConfigError: If the axes or ``fps`` are unusable.
    """

    pattern: ClassVar[str] = "episode_*.hdf5"

    camera: str | None = None
    fps: float = 50.0
    positions: str | None = None
    left_axes: str = UPRIGHT_CAMERA
    right_axes: str = UPRIGHT_CAMERA
    channel_order: ChannelOrder = "rgb"
    domain: str = "aloha"

    def __post_init__(self) -> None:
        super().__post_init__()
        axes_matrix(self.left_axes)
        axes_matrix(self.right_axes)

    def read_clip(self, file: Path, root: Path) -> Clip:
        """The clip of one episode."""
        resolved = require_inside(file, root)
        with opened_hdf5(resolved) as content:
            states = _states(file, content)
            dataset = self._dataset(file, content, len(states))
            at_wrist = "wrist" in dataset.removeprefix(IMAGES).lower()
            positions = self._positions(file, content, len(states))
            simulated = bool(np.any(content.attrs.get("sim", False)))
        clip_id = "-".join(resolved.relative_to(root).with_suffix("").parts)
        return Clip(
            clip_id=clip_id,
            scene_id=clip_id,
            domain=f"{self.domain}-sim" if simulated else self.domain,
            media=Hdf5Images(resolved, dataset, self.channel_order),
            pts_seconds=np.arange(len(states)) / self.fps,
            effectors={
                arm: EffectorTrack(positions[arm], scale_opening(f"{file}: {STATES}, {arm}", states[:, column]))
                for arm, column in GRIPPER_COLUMNS.items()
            },
            camera_moves=at_wrist,
        )

    def _dataset(self, file: Path, content: "h5py.File", num_frames: int) -> str:
        """Path of the images, of which there is one for each row."""
        cameras = members(content, IMAGES)
        if not cameras or (self.camera is None and len(cameras) > 1) or (self.camera and self.camera not in cameras):
            wanted = "a camera has to be chosen" if self.camera is None else f"there is no camera {self.camera!r:.60}"
            msg = f"{file}: {wanted}, {IMAGES} has {', '.join(cameras) or 'none'}"
            raise AnnotationError(msg, reason="missing media")
        name = f"{IMAGES}/{self.camera or cameras[0]}"
        num_images = len(plain_dataset(content, name))
        if num_images != num_frames:
            msg = f"{file}: {num_frames} rows in {STATES} but {num_images} images in {name}"
            raise AnnotationError(msg, reason="unsynchronised")
        return name

    def _positions(self, file: Path, content: "h5py.File", num_frames: int) -> dict[str, FloatArray]:
        """[N, 3] viewer axes for each arm."""
        if self.positions is None:
            return {arm: unknown_positions(num_frames) for arm in GRIPPER_COLUMNS}
        values = read_array(content, self.positions)
        if len(values) != num_frames:
            msg = f"{file}: {num_frames} rows in {STATES} but {len(values)} in {self.positions}"
            raise AnnotationError(msg, reason="unsynchronised")
        width = int(np.prod(values.shape[1:]))
        if values.ndim not in {2, 3} or width < 6 or width % 2 or (values.ndim == 3 and values.shape[1] != 2):
            msg = f"{file}: {self.positions} has shape {'x'.join(map(str, values.shape))}, expected Nx2x3 or Nx2K"
            raise AnnotationError(msg, reason="shape")
        halves = values.reshape(num_frames, 2, -1)[:, :, :3].astype(np.float64)
        axes = self.left_axes, self.right_axes
        return {arm: to_viewer(halves[:, k], axes[k]) for k, arm in enumerate(GRIPPER_COLUMNS)}


def _states(file: Path, content: "h5py.File") -> NDArray[Any]:
    states = read_array(content, STATES)
    if states.ndim != 2 or states.shape[1] != NUM_COLUMNS:
        msg = f"{file}: {STATES} has shape {'x'.join(map(str, states.shape))}, expected Nx{NUM_COLUMNS}"
        raise AnnotationError(msg, reason="shape")
    if len(states) == 0:
        msg = f"{file}: {STATES} has no row, remove the file"
        raise AnnotationError(msg, reason="zero length")
    return states
