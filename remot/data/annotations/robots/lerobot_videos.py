"""Which frames of a video belong to a LeRobot episode.

Row k of an episode is its k-th frame. In v3.0 one video holds many episodes, one after the other, and the metadata give
each a start and an end in seconds. Those seconds are sums over all earlier episodes and drift from the video's own
times (https://github.com/huggingface/lerobot/issues/3177), so an episode's first frame is counted instead: it follows
the rows of all episodes before it in that video. The count is used only if rows, stated times and video agree:

- the rows of all episodes of a video are as many as its frames;
- each episode's stated length is within one frame of its rows, and these differences are alike for all episodes of a
  video. Drift is alike. A missing frame in one episode that an extra one in another makes up for is not;
- between two rows and between their two frames passes the same time, to half a frame.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from remot.data.annotations.images import probed
from remot.data.annotations.notices import Notices
from remot.data.annotations.parsing.parquet import integers, read_columns
from remot.data.annotations.robots.lerobot_folder import Episode, LeRobotFolder
from remot.data.annotations.robots.lerobot_rows import EpisodeRows
from remot.data.media import VideoInfo
from remot.errors import AnnotationError
from remot.structures import FloatArray

#: An end may be the time of the last frame, one frame early, and be rounded.
MIN_EXCESS_FRAMES = -1.25
#: One frame more than there are rows is a frame without a row.
MAX_EXCESS_FRAMES = 0.95
#: How far apart the differences between stated lengths and rows may be within a video, in frames.
MAX_SPREAD_FRAMES = 0.95
#: Rows and frames must keep step to this share of their interval.
MAX_STEP_ERROR = 0.5

#: Identifies one video of a camera.
_Address = tuple[tuple[str, int | str], ...]


@dataclass(frozen=True, eq=False)
class _Shared:
    """The episodes in one video, in the order in which they are shown.

    Args:
        episodes: E of them.
        starts: [E] stated start of each in seconds.
        num_rows: [E] rows of each.
        fault: Why frames cannot be counted; "" if they can.
    """

    episodes: Sequence[Episode]
    starts: FloatArray
    num_rows: FloatArray
    fault: str


@dataclass(eq=False)
class EpisodeFrames:
    """Finds the frames of episodes, and keeps what the last video says, since neighbouring episodes share one."""

    #: For each file the rows of each episode in it.
    _counts: dict[Path, Counter[int]] = field(default_factory=dict, init=False)
    _notices: Notices = field(default_factory=Notices, init=False)
    _probed: tuple[Path, VideoInfo] | None = field(default=None, init=False)
    _by_video: dict[tuple[Path, str], dict[_Address, list[Episode]]] = field(default_factory=dict, init=False)
    _last_shared: tuple[tuple[Path, str, _Address], _Shared] | None = field(default=None, init=False)

    def times(self, folder: LeRobotFolder, episode: Episode, key: str, media: Path, rows: EpisodeRows) -> FloatArray:
        """[N] times of the episode's frames in its video, one for each row.

        Args:
            folder: The data set.
            episode: The episode.
            key: The camera.
            media: The video.
            rows: The episode's N rows.

        Raises:
            AnnotationError: Naming video, episode and numbers, if rows, stated times and video disagree.
        """
        where = f"{folder.info_file}: episode {episode.index}"
        if self._probed is None or self._probed[0] != media:
            self._probed = media, probed(where, media)
        video = self._probed[1]
        shared = self._shared(folder, episode, key, where)
        total = int(shared.num_rows.sum())
        if total != video.num_frames:
            share = "" if len(shared.episodes) == 1 else f" of the {len(shared.episodes)} episodes in it"
            msg = f"{where}: {total} rows{share} but {video.num_frames} frames in {media.name} ({key})"
            raise AnnotationError(msg, reason="unsynchronised")
        if folder.is_v3:
            self._require_stated_times(folder, episode, key, shared, video, f"{where}: {media.name} ({key})")
        position = next(k for k, one in enumerate(shared.episodes) if one.index == episode.index)
        first = int(shared.num_rows[:position].sum())
        times = video.pts_seconds[first : first + episode.num_frames]
        _require_same_steps(f"{where}: {media.name} ({key})", rows.pts_seconds, times)
        return times

    def _shared(self, folder: LeRobotFolder, episode: Episode, key: str, where: str) -> _Shared:
        """The episodes in the video of ``episode``, by their stated starts."""
        place = folder.folder, key
        if place not in self._by_video:
            self._by_video[place] = defaultdict(list)
            for one in folder.episodes.values():
                if key in one.videos:
                    self._by_video[place][_address(one, key)].append(one)
        address = _address(episode, key)
        if self._last_shared is None or self._last_shared[0] != (*place, address):
            self._last_shared = (*place, address), self._counted(folder, self._by_video[place][address], key)
        shared = self._last_shared[1]
        if shared.fault:
            msg = f"{where}: {shared.fault}"
            raise AnnotationError(msg, reason="unsynchronised")
        return shared

    def _counted(self, folder: LeRobotFolder, episodes: Sequence[Episode], key: str) -> _Shared:
        """The episodes of one video, their rows held against the data files that are there."""
        ordered = sorted(episodes, key=lambda one: (one.videos[key].start_seconds, one.index))
        fault = ""
        for one in ordered if folder.is_v3 else ():
            num_rows, file = one.num_frames, folder.find_file(one)
            if file is not None:
                if file not in self._counts:
                    self._counts[file] = Counter(integers(file, read_columns(file, ["episode_index"]), "episode_index"))
                num_rows = self._counts[file][one.index]
            if num_rows != one.num_frames:
                fault = (
                    f"its video also shows episode {one.index}, which has {num_rows} rows in the data and "
                    f"{one.num_frames} in the metadata, so frames cannot be counted"
                )
        starts = np.array([one.videos[key].start_seconds for one in ordered])
        return _Shared(ordered, starts, np.array([one.num_frames for one in ordered], dtype=np.float64), fault)

    def _require_stated_times(
        self, folder: LeRobotFolder, episode: Episode, key: str, shared: _Shared, video: VideoInfo, where: str
    ) -> None:
        """Refuse stated starts and ends that no drift explains; the rows' and the video's clock are both allowed."""
        of_video = float(np.median(np.diff(video.pts_seconds))) if video.num_frames > 1 else 1.0
        intervals = [of_video, *([1 / folder.fps] if folder.fps else [])]
        faults = [_stated_fault(episode, key, shared, interval) for interval in intervals]
        if all(faults):
            msg = f"{where}: {faults[0]}"
            raise AnnotationError(msg, reason="unsynchronised")
        firsts = np.concatenate([[0], np.cumsum(shared.num_rows[:-1])]).astype(np.int64)
        drift = np.abs(shared.starts - video.pts_seconds[firsts]).max() / of_video
        if drift > 0.5:
            self._notices.warn_once(
                f"{folder.info_file}: {key}: the stated start times drift from the videos by half a frame or more; "
                "frames are counted by rows instead"
            )


def _address(episode: Episode, key: str) -> _Address:
    """The video of an episode."""
    return tuple(sorted(episode.videos[key].fields.items()))


def _stated_fault(episode: Episode, key: str, shared: _Shared, interval_seconds: float) -> str:
    """What is wrong with the stated times if frames follow each other by ``interval_seconds``; "" if nothing is."""
    first = shared.episodes[0]
    if not abs(shared.starts[0]) <= interval_seconds:
        return f"episode {first.index} is stated to begin at {shared.starts[0]:.3f} s, but no frame would come before"
    # [E - 1] frames from one stated start to the next, less the rows between them
    excess = np.diff(shared.starts) / interval_seconds - shared.num_rows[:-1]
    bad = ~((excess >= MIN_EXCESS_FRAMES) & (excess <= MAX_EXCESS_FRAMES))
    if len(excess) and not bad.any() and np.ptp(excess) > MAX_SPREAD_FRAMES:
        bad = np.abs(excess - np.median(excess)) >= np.abs(excess - np.median(excess)).max()
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        return (
            f"from the stated start of episode {shared.episodes[k].index} ({shared.starts[k]:.3f} s) to the next "
            f"({shared.starts[k + 1]:.3f} s) there are {shared.num_rows[k] + excess[k]:.1f} frames, "
            f"but {shared.num_rows[k]:.0f} rows"
        )
    part = episode.videos[key]
    stated = ((part.end_seconds or 0.0) - part.start_seconds) / interval_seconds
    if not MIN_EXCESS_FRAMES <= stated - episode.num_frames <= MAX_EXCESS_FRAMES:
        return (
            f"episode {episode.index} is stated to last from {part.start_seconds:.3f} to {part.end_seconds:.3f} s, "
            f"which is {stated:.1f} frames, but it has {episode.num_frames} rows"
        )
    return ""


def _require_same_steps(where: str, row_times: FloatArray, frame_times: FloatArray) -> None:
    """Refuse rows and frames that do not keep step, each counted in its own usual interval.

    Args:
        where: Video and episode, for errors.
        row_times: [N] times of the rows.
        frame_times: [N] times of their frames in the video.
    """
    if len(row_times) < 3:
        return
    of_rows, of_frames = np.diff(row_times), np.diff(frame_times)
    far = np.abs(of_rows / np.median(of_rows) - of_frames / np.median(of_frames)) > MAX_STEP_ERROR
    if far.any():
        k = int(np.flatnonzero(far)[0])
        msg = f"{where}: rows {k} and {k + 1} are {of_rows[k]:.3f} s apart, but their frames {of_frames[k]:.3f} s"
        raise AnnotationError(msg, reason="unsynchronised")
