"""The rows of one LeRobot episode, out of a file that may hold many episodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from remot.data.annotations.parsing.parquet import column_names, numbers, read_columns
from remot.errors import AnnotationError
from remot.structures import FloatArray

#: Columns that are read where a file has them.
BOOKKEEPING = ("episode_index", "frame_index", "task_index")


@dataclass(frozen=True, eq=False)
class EpisodeRows:
    """What is recorded about an episode, row by row.

    Args:
        file: Where the rows lie.
        episode: The episode's number.
        pts_seconds: [N] the rows' timestamps, counted from the first of them.
        features: [N, width] by name of the feature.
        task_indices: [N] number of the task; None if the file does not say.
    """

    file: Path
    episode: int
    pts_seconds: FloatArray
    features: Mapping[str, FloatArray]
    task_indices: FloatArray | None


@dataclass(eq=False)
class RowFiles:
    """Reads episodes, and keeps the last file, since neighbouring episodes share one in v3.0."""

    _last: tuple[Path, tuple[str, ...], dict[str, FloatArray]] | None = field(default=None, init=False)

    def read(self, file: Path, episode: int, features: Sequence[str]) -> EpisodeRows:
        """The rows of an episode.

        Args:
            file: Parquet file.
            episode: The episode's number.
            features: Columns to read besides the times.

        Raises:
            AnnotationError: If the file is broken, or has no row of this episode, or they are out of order.
        """
        columns = self._columns(file, tuple(dict.fromkeys(features)))
        chosen = np.ones(len(columns["timestamp"]), dtype=np.bool_)
        if "episode_index" in columns:
            chosen = columns["episode_index"][:, 0] == episode
        if not chosen.any():
            msg = f"{file}: there is no row of episode {episode}, fetch the file again"
            raise AnnotationError(msg, reason="zero length")
        rows = {name: values[chosen] for name, values in columns.items()}
        if "frame_index" in rows and not np.array_equal(rows["frame_index"][:, 0], np.arange(chosen.sum())):
            msg = f"{file}: frame_index of episode {episode} does not count 0, 1, 2, …; rows are missing or mixed up"
            raise AnnotationError(msg, reason="times")
        times = rows["timestamp"][:, 0]
        if not np.isfinite(times).all() or np.any(np.diff(times) <= 0):
            msg = f"{file}: the timestamps of episode {episode} must be finite and strictly increasing"
            raise AnnotationError(msg, reason="times")
        tasks = rows["task_index"][:, 0] if "task_index" in rows else None
        return EpisodeRows(file, episode, times - times[0], {name: rows[name] for name in features}, tasks)

    def _columns(self, file: Path, features: tuple[str, ...]) -> dict[str, FloatArray]:
        if self._last is None or self._last[:2] != (file, features):
            found = column_names(file)
            names = ["timestamp", *(name for name in BOOKKEEPING if name in found)]
            names += [name for name in features if name not in names]
            table = read_columns(file, names)
            self._last = file, features, {name: numbers(file, table, name) for name in names}
        return self._last[2]
