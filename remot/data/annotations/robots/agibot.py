"""AgiBot World (https://github.com/OpenDriveLab/AgiBot-World): a two-armed robot with a video for each camera.

The source's conventions, as its authors publish them: ``state/end/position`` [N, 2, 3] holds the left and the right
flange in metres, ``state/effector/position`` [N, 2] the openings of the left and the right gripper in a unit of the
robot's own (said to be millimetres), or [N, 12] joint angles for robots with hands; ``timestamp`` [N] counts
nanoseconds. Row k belongs to image k of each video. ``task_info/task_<id>.json`` says which frames show which action.

Not published, and taken here to be as with other robots: that positions are in axes with x forward, y to the left and z
up, and that the head camera looks forward. Nothing is assumed about which reading is an open gripper: without
``opening_range`` nothing is asked about grippers. The head and the waist have joints: the head camera counts as fixed
to the arms' base only in episodes whose ``state/head/position`` and ``state/waist/position`` are there and stay put.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import FileReader, media_inside, parse_json, read_text, require_inside
from remot.data.annotations.images import probed
from remot.data.annotations.robots.axes import (
    FORWARD_CAMERA,
    axes_matrix,
    check_opening_range,
    scale_opening,
    to_viewer,
)
from remot.data.media.hdf5 import opened_hdf5, read_array
from remot.errors import AnnotationError
from remot.structures import Clip, EffectorTrack, Event, FloatArray

if TYPE_CHECKING:
    import h5py

NANOSECONDS = 1e-9
ARMS = ("left arm", "right arm")
POSITIONS = "state/end/position"
GRIPPERS = "state/effector/position"
UNKNOWN = "?,?,?"
#: Joints between the base and the head camera, and the largest change of one (radians, or metres of the waist's lift)
#: with which the camera counts as still.
HEAD_JOINTS = ("state/head/position", "state/waist/position")
STILL_JOINT = 0.005


@dataclass(eq=False)
class AgiBotReader(FileReader):
    """Reads ``proprio_stats/<task>/<episode>/proprio_stats.h5`` and the videos below ``observations``.

    See the module for the source's conventions, and for what is assumed. Actions become events.

    Args:
        camera: Name of the video, without its ending.
        axes: How the positions' axes lie for the viewer, see :mod:`remot.data.annotations.robots.axes`; None for
            ``-y,-z,x`` with a head camera, and for nothing with any other.
        opening_range: Readings of the closed and of the open gripper, such as those of an episode you have looked at.
        scene: Whether all episodes of a task are one scene, as they show the same place, or each is its own.
        domain: Name of the data in reports.
        camera_moves: Whether the camera moves against the arms' base; None to find out from the head's and waist's
            joints. Directions are asked about only of a camera that does not.

    Raises:
        ConfigError: If the axes or the range are unusable.
    """

    pattern: ClassVar[str] = "proprio_stats.h5"

    camera: str = "head_color"
    axes: str | None = None
    opening_range: tuple[float, float] | None = None
    scene: Literal["task", "episode"] = "task"
    domain: str = "agibot"
    camera_moves: bool | None = None

    def __post_init__(self) -> None:
        self._axes = self.axes or (FORWARD_CAMERA if self.camera.startswith("head") else UNKNOWN)
        axes_matrix(self._axes)
        check_opening_range(self.opening_range)

    def read_clip(self, file: Path, root: Path) -> Clip:
        """The clip of one episode."""
        parents = file.parents
        if len(parents) < 4 or parents[2].name != "proprio_stats":
            msg = f"{file}: expected proprio_stats/<task>/<episode>/{file.name} below the data folder"
            raise AnnotationError(msg)
        base, task, episode = parents[3], parents[1].name, parents[0].name
        require_inside(file, root)
        with opened_hdf5(file) as content:
            stamps, positions = read_array(content, "timestamp"), read_array(content, POSITIONS)
            grippers = None if self.opening_range is None else read_array(content, GRIPPERS)
            camera_moves = self._camera_moves(content)
        _check_rows(file, stamps, positions, grippers)
        video = Path("observations") / task / episode / "videos" / f"{self.camera}.mp4"
        media = media_inside(base / "data", root, str(video))
        # Subtracted as whole numbers: nanoseconds since 1970 do not fit a float.
        pts_seconds = np.asarray(stamps.astype(np.int64) - int(stamps[0]), dtype=np.float64) * NANOSECONDS
        return Clip(
            clip_id=f"{task}-{episode}",
            scene_id=f"{task}-{episode}" if self.scene == "episode" else task,
            domain=self.domain,
            media=media,
            pts_seconds=pts_seconds,
            effectors=self._tracks(file, positions, grippers),
            media_pts_seconds=probed(file, media, len(stamps)).pts_seconds,
            events=self._events(base, task, episode, pts_seconds),
            camera_moves=camera_moves,
        )

    def _camera_moves(self, content: "h5py.File") -> bool | None:
        """Whether the camera moves against the arms' base, None if that is not known."""
        if self.camera_moves is not None:
            return self.camera_moves
        if self.camera.startswith("hand"):
            return True
        if not self.camera.startswith("head") or any(name not in content for name in HEAD_JOINTS):
            return None
        joints = [read_array(content, name) for name in HEAD_JOINTS]
        if not all(len(one) and np.isfinite(one).all() for one in joints):
            return None
        return any(float(np.ptp(one, axis=0).max(initial=0.0)) > STILL_JOINT for one in joints)

    def _tracks(
        self, file: Path, positions: NDArray[Any], grippers: NDArray[Any] | None
    ) -> Mapping[str, EffectorTrack]:
        tracks = {}
        for k, arm in enumerate(ARMS):
            opening = None
            if grippers is not None and grippers.shape[1] == len(ARMS):  # else a hand with joint angles
                opening = scale_opening(f"{file}: {GRIPPERS}, {arm}", grippers[:, k], self.opening_range)
            tracks[arm] = EffectorTrack(to_viewer(positions[:, k].astype(np.float64), self._axes), opening)
        return tracks

    def _events(self, base: Path, task: str, episode: str, pts_seconds: FloatArray) -> tuple[Event, ...]:
        """The actions of the episode; none if the list of the task is not there."""
        file = base / "task_info" / f"task_{task}.json"
        if not file.is_file() or not episode.isdecimal() or len(pts_seconds) < 2:
            return ()
        actions = self._kept(_read_actions, file)
        end = pts_seconds[-1] + np.median(np.diff(pts_seconds))
        bounds = np.append(pts_seconds, end)
        events = []
        for number, action in enumerate(actions.get(int(episode), [])):
            start, stop, text = _action(f"{file}: episode {episode}, action {number}", action, len(pts_seconds))
            if text and start < stop:
                events.append(Event(text, float(bounds[start]), float(bounds[stop])))
        return tuple(events)


def _check_rows(file: Path, stamps: NDArray[Any], positions: NDArray[Any], grippers: NDArray[Any] | None) -> None:
    if stamps.ndim != 1 or len(stamps) == 0:
        msg = f"{file}: timestamp has shape {'x'.join(map(str, stamps.shape))}, expected one time for each row"
        raise AnnotationError(msg, reason="zero length")
    for name, array in ((POSITIONS, positions), (GRIPPERS, grippers)):
        if array is not None and len(array) != len(stamps):
            msg = f"{file}: {len(stamps)} timestamps but {len(array)} rows in {name}"
            raise AnnotationError(msg, reason="unsynchronised")
    if positions.shape[1:] != (len(ARMS), 3) or (grippers is not None and grippers.ndim != 2):
        msg = f"{file}: {POSITIONS} has shape {'x'.join(map(str, positions.shape))}, expected Nx2x3"
        raise AnnotationError(msg, reason="shape")


def _read_actions(file: Path) -> dict[int, list[Any]]:
    """Actions by episode."""
    content = parse_json(str(file), read_text(file))
    try:
        return {
            int(entry["episode_id"]): list((entry.get("label_info") or {}).get("action_config") or [])
            for entry in content
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        msg = f"{file}: expected a list of episodes with episode_id and label_info ({error!r:.80})"
        raise AnnotationError(msg) from error


def _action(where: str, action: object, num_frames: int) -> tuple[int, int, str]:
    """First frame, first frame after, and text of one action; frames beyond the episode's end are cut off."""
    try:
        start, stop = int(action["start_frame"]), int(action["end_frame"])  # type: ignore[index]
        text = str(action.get("action_text") or "").strip()  # type: ignore[attr-defined]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        msg = f"{where}: expected start_frame, end_frame and action_text ({error!r:.80})"
        raise AnnotationError(msg) from error
    if start < 0 or stop < 0:
        msg = f"{where}: starts at frame {start} and ends at {stop}, frames count from 0"
        raise AnnotationError(msg, reason="times")
    return min(start, num_frames), min(stop, num_frames), text
