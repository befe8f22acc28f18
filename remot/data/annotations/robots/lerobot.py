"""LeRobot data sets (https://github.com/huggingface/lerobot), versions v2.0, v2.1 and v3.0.

The format fixes where rows and videos lie and that row k of an episode belongs to its k-th image. What the columns
mean it leaves to each data set: the frame of a position, what the reading of a gripper says, and from where the camera
looks must be given in the configuration.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from remot.data.annotations.base import AnnotationReader, ClipSource, naming, require_any
from remot.data.annotations.robots.lerobot_effectors import LeRobotEffector, effectors_of, track_of
from remot.data.annotations.robots.lerobot_folder import (
    Episode,
    LeRobotFolder,
    is_depth_map,
    open_folder,
)
from remot.data.annotations.robots.lerobot_rows import EpisodeRows, RowFiles
from remot.data.annotations.robots.lerobot_videos import EpisodeFrames
from remot.data.annotations.robots.side_poses import read_positions
from remot.errors import AnnotationError, ConfigError
from remot.files import find_files
from remot.structures import Clip, EffectorTrack, Event

INFO_FILE = "meta/info.json"

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class LeRobotReader(AnnotationReader):
    """Reads LeRobot v2.0, v2.1 and v3.0; one clip for each episode.

    ``root`` may be a data set or hold several. The times are the rows' timestamps from the first row on; the frames
    are found by number (:mod:`remot.data.annotations.robots.lerobot_videos`), whatever the first timestamp is. Texts of
    tasks become events. Each episode is a scene of its own, since the format does not say which episodes show the same
    place.

    Args:
        effectors: Hands and grippers by the name used in questions, such as ``left arm``; None for those of a known
            robot, see :mod:`remot.data.annotations.robots.lerobot_effectors`.
        video_key: Which camera; None takes the only one that has files.
        poses_file: Archive of poses for each episode, relative to the data set's folder, such as
            ``fk/episode_{episode:06d}.npz``; see :class:`LeRobotEffector`.
        domain: Name of the data in reports.
        camera_moves: Whether the camera moves against the axes of the positions; None if that is not known, but of a
            ``video_key`` with ``wrist`` in it, which does. Directions are asked about only if it is false.

    Raises:
        ConfigError: If there is no effector, one of them is unusable, or has poses and there is no ``poses_file``.
    """

    effectors: dict[str, LeRobotEffector] | None = None
    video_key: str | None = None
    poses_file: str | None = None
    domain: str = "lerobot"
    camera_moves: bool | None = None

    def __post_init__(self) -> None:
        if self.effectors is not None and not self.effectors:
            msg = "LeRobotReader: effectors is empty, say which columns hold positions or openings"
            raise ConfigError(msg)
        for name, effector in (self.effectors or {}).items():
            effector.check(name)
        if self.poses_file is None and any(effector.poses for effector in (self.effectors or {}).values()):
            msg = "LeRobotReader: an effector has poses, so set poses_file to the files that hold them"
            raise ConfigError(msg)
        self._folders: dict[Path, LeRobotFolder] = {}
        self._keys: dict[Path, str] = {}
        self._rows = RowFiles()
        self._frames = EpisodeFrames()

    def sources(self, root: Path) -> list[ClipSource]:
        """The episodes whose data are there; those that are only listed are left out with a log message."""
        found: list[ClipSource] = []
        for info_file in find_files(root, INFO_FILE):
            folder = self._folder(info_file, root)
            total = len(folder.episodes)
            present = [one.index for one in folder.episodes.values() if folder.find_file(one) is not None]
            if len(present) < total:
                _logger.warning("%s: %d of %d episodes have no data file", info_file, total - len(present), total)
            found += [ClipSource(info_file, str(index)) for index in sorted(present)]
        return require_any(found, root, f"{INFO_FILE} with episodes", "a LeRobot data set")

    def read_source(self, source: ClipSource, root: Path) -> Clip:
        """One episode."""
        folder = self._folder(source.file, root)
        episode = folder.episodes[int(source.key)]
        where = f"{source.file}: episode {episode.index}"
        effectors = self.effectors
        if effectors is None:
            effectors = effectors_of(str(folder.info_file), folder.robot_type)
        rows = self._read_rows(folder, episode, where, effectors)
        if folder.folder not in self._keys:
            self._keys[folder.folder] = self._choose_key(folder)
        key = self._keys[folder.folder]
        media = folder.find_file(episode, key)
        if media is None:
            msg = f"{where} has no video {key}, looked in {folder.video_places(episode, key)}; fetch it"
            raise AnnotationError(msg, reason="missing media")
        clip_id = "-".join((*folder.folder.relative_to(folder.root).parts, f"episode_{episode.index:06d}"))
        with naming(where, folder.folder):
            return Clip(
                clip_id=clip_id,
                scene_id=clip_id,
                domain=self.domain,
                media=media,
                pts_seconds=rows.pts_seconds,
                effectors=self._tracks(folder, episode, rows, effectors),
                media_pts_seconds=self._frames.times(folder, episode, key, media, rows),
                events=_events(folder, rows),
                camera_moves=True if self.camera_moves is None and "wrist" in key.lower() else self.camera_moves,
            )

    def _folder(self, info_file: Path, root: Path) -> LeRobotFolder:
        if info_file not in self._folders:
            self._folders[info_file] = open_folder(info_file, root)
        return self._folders[info_file]

    def _read_rows(
        self, folder: LeRobotFolder, episode: Episode, where: str, effectors: Mapping[str, LeRobotEffector]
    ) -> EpisodeRows:
        features = [name for e in effectors.values() for name in (e.positions, e.opening) if name is not None]
        for feature in features:
            folder.column_names(feature)  # names the features there are, if this is not one of them
        file = folder.find_file(episode)
        if file is None:
            msg = f"{where} has no data file, fetch it or leave the episode out"
            raise AnnotationError(msg, reason="missing")
        rows = self._rows.read(file, episode.index, features)
        if len(rows.pts_seconds) != episode.num_frames:
            msg = f"{where}: {len(rows.pts_seconds)} rows in {file.name}, the metadata state {episode.num_frames}"
            raise AnnotationError(msg, reason="unsynchronised")
        return rows

    def _choose_key(self, folder: LeRobotFolder) -> str:
        """The camera to look through, which may take a look at every episode's files."""
        listed = folder.video_keys
        names = ", ".join(listed) or "none (images inside Parquet files are not read)"
        if self.video_key is not None:
            if self.video_key in listed:
                return self.video_key
            is_depth = is_depth_map(folder.features.get(self.video_key, {}))
            fault = (
                f"{self.video_key!r:.80} is a depth map" if is_depth else f"there is no video {self.video_key!r:.80}"
            )
            msg = f"{folder.info_file}: {fault}, the videos are {names}"
            raise AnnotationError(msg, reason="missing media")
        present = [key for key in listed if any(folder.find_file(e, key) for e in folder.episodes.values())]
        if len(present) == 1:
            return present[0]
        if present:
            msg = (
                f"{folder.info_file}: {len(present)} cameras have videos, set video_key to one of {', '.join(present)}"
            )
        else:
            msg = f"{folder.info_file}: no video has files, the videos listed are {names}"
            first = next(iter(folder.episodes.values()), None)
            if first is not None and listed:
                msg += f"; looked in {folder.video_places(first, listed[0])}"
        raise AnnotationError(msg, reason="missing media")

    def _tracks(
        self, folder: LeRobotFolder, episode: Episode, rows: EpisodeRows, effectors: Mapping[str, LeRobotEffector]
    ) -> dict[str, EffectorTrack]:
        arrays = {name: effector.poses for name, effector in effectors.items() if effector.poses is not None}
        poses = {}
        if self.poses_file is not None and arrays:
            try:
                path = (folder.folder / self.poses_file.format(episode=episode.index)).resolve()
            except (LookupError, ValueError) as error:
                msg = f"poses_file {self.poses_file!r}: write the number as {{episode:06d}} ({error})"
                raise ConfigError(msg) from error
            if not path.is_relative_to(folder.root):
                fault = f"poses_file {self.poses_file!r} leads outside {folder.root}"
                msg = f"{folder.info_file}: {fault}, keep it below the data folder"
                raise AnnotationError(msg, reason="outside root")
            poses = read_positions(path, arrays, episode.num_frames)
        return {name: track_of(folder, name, e, rows, poses.get(name)) for name, e in effectors.items()}


def _events(folder: LeRobotFolder, rows: EpisodeRows) -> tuple[Event, ...]:
    """One event for each stretch of rows with the same task."""
    if not folder.tasks or rows.task_indices is None or len(rows.pts_seconds) < 2:
        return ()
    tasks, times = rows.task_indices, rows.pts_seconds
    starts = [0, *(int(row) + 1 for row in np.flatnonzero(np.diff(tasks)))]
    end = float(times[-1] + np.median(np.diff(times)))
    bounds = [*(float(times[row]) for row in starts), end]
    texts: Mapping[int, str] = folder.tasks
    return tuple(
        Event(texts[int(tasks[row])], bounds[k], bounds[k + 1])
        for k, row in enumerate(starts)
        if texts.get(int(tasks[row]))
    )
