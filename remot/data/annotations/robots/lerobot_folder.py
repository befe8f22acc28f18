"""The metadata of a LeRobot data set, v2.0, v2.1 or v3.0: which episodes there are and where their parts lie.

v2 has one Parquet file and one video for each episode and lists the episodes in ``meta/episodes.jsonl``. v3.0 packs
many episodes into one Parquet file and one video and says in ``meta/episodes/chunk-*/file-*.parquet`` which is where.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remot.data.annotations.base import numbered_lines, parse_json, read_json_object, require_object
from remot.data.annotations.parsing.parquet import column_names, integers, numbers, read_columns, texts
from remot.errors import AnnotationError
from remot.files import find_files

V2_PATHS = {
    "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
}
V3_PATHS = {
    "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}
DEFAULT_CHUNKS_SIZE = 1000
MAX_EPISODES = 2_000_000

_FIELD = re.compile(r"\{(\w+)(?::0(\d)d)?\}")


@dataclass(frozen=True)
class VideoPart:
    """The stretch of a video that shows one episode.

    Args:
        fields: What to fill into the template of the video's path.
        start_seconds: First moment of the episode, counted from the video's first image.
        end_seconds: First moment after it; None if the video shows nothing else.
    """

    fields: Mapping[str, int | str]
    start_seconds: float = 0.0
    end_seconds: float | None = None


@dataclass(frozen=True)
class Episode:
    """What the metadata state about one episode.

    Args:
        index: Its number.
        num_frames: Its number of rows and images.
        fields: What to fill into the template of the data file's path.
        videos: Where its videos are, by video key.
    """

    index: int
    num_frames: int
    fields: Mapping[str, int | str]
    videos: Mapping[str, VideoPart]


@dataclass(frozen=True)
class LeRobotFolder:
    """A LeRobot data set.

    Args:
        info_file: ``meta/info.json``, named in errors.
        folder: The folder that holds ``meta``, resolved.
        root: No file may lie outside of it.
        is_v3: Many episodes in one file.
        features: What ``meta/info.json`` says about each column.
        video_keys: Features that are videos of colours by the metadata, with or without files.
        data_paths: Templates of the data files' paths, the stated one first.
        video_paths: Templates of the videos' paths, the stated one first.
        episodes: By number.
        tasks: Texts of the tasks by number; empty if there is no such list.
        robot_type: Name of the robot, "" if it is not given.
        fps: Rows a second; None if it is not given.
    """

    info_file: Path
    folder: Path
    root: Path
    is_v3: bool
    features: Mapping[str, Mapping[str, Any]]
    video_keys: list[str]
    data_paths: tuple[str, ...]
    video_paths: tuple[str, ...]
    episodes: Mapping[int, Episode]
    tasks: Mapping[int, str]
    robot_type: str = ""
    fps: float | None = None

    def find_file(self, episode: Episode, video_key: str | None = None) -> Path | None:
        """The video of an episode, or without a key the file of its rows; None if it does not exist.

        Raises:
            AnnotationError: If the path template is unusable or leads outside of the root.
        """
        templates, fields = self.data_paths, episode.fields
        if video_key is not None:
            if video_key not in episode.videos:
                return None
            templates, fields = self.video_paths, {**episode.videos[video_key].fields, "video_key": video_key}
        for template in templates:
            path = (self.folder / fill_template(self.info_file, template, fields)).resolve()
            if not path.is_relative_to(self.root):
                msg = f"{self.info_file}: {template!r:.80} leads outside {self.root}, keep files below it"
                raise AnnotationError(msg, reason="outside root")
            if path.is_file():
                return path
        return None

    def video_places(self, episode: Episode, key: str) -> str:
        """Where :meth:`find_file` looks for a video, in words."""
        part = episode.videos.get(key)
        if part is None:
            return f"nowhere, as meta/episodes has no columns videos/{key}"
        fields = {**part.fields, "video_key": key}
        paths = [fill_template(self.info_file, template, fields) for template in self.video_paths]
        return f"{self.folder} for {' and '.join(paths)}"

    def column_names(self, feature: str) -> list[str]:
        """Names of a feature's columns, however they are nested; empty if they have none.

        Raises:
            AnnotationError: If there is no such feature.
        """
        if feature not in self.features:
            known = ", ".join(self.features)
            msg = f"{self.info_file}: there is no feature {feature!r:.80}, the features are {known:.300}"
            raise AnnotationError(msg)
        return list(_leaves(self.features[feature].get("names")))


def open_folder(info_file: Path, root: Path) -> LeRobotFolder:
    """Read a data set's metadata.

    Args:
        info_file: Its ``meta/info.json``.
        root: The folder that every file must stay in.

    Raises:
        AnnotationError: If the metadata are missing, malformed or of another version.
    """
    info = read_json_object(info_file)
    version = str(info.get("codebase_version", ""))
    if not version.startswith(("v2.", "v3.")):
        msg = f"{info_file}: codebase_version is {version!r:.40}, this reads v2.0, v2.1 and v3.0; convert the set"
        raise AnnotationError(msg)
    is_v3 = version.startswith("v3.")
    folder = info_file.parent.parent.resolve()
    features = require_object(f"{info_file}: features", info.get("features"))
    for name, feature in features.items():
        require_object(f"{info_file}: feature {name}", feature)
    # depth maps are stored as videos, too
    keys = [key for key, one in features.items() if one.get("dtype") == "video" and not is_depth_map(one)]
    paths: dict[str, tuple[str, ...]] = {}
    for name, standard in (V3_PATHS if is_v3 else V2_PATHS).items():
        stated = info.get(name)  # the standard path is right where this one is not
        paths[name] = (stated, standard) if isinstance(stated, str) and stated not in {"", standard} else (standard,)
    fps = info.get("fps")
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 < fps < float("inf"):
        fps = None
    return LeRobotFolder(
        info_file=folder / "meta" / "info.json",
        folder=folder,
        root=root.resolve(),
        is_v3=is_v3,
        features=features,
        video_keys=keys,
        data_paths=paths["data_path"],
        video_paths=paths["video_path"],
        episodes=_unique(info_file, _episodes_v3(folder, keys) if is_v3 else _episodes_v2(folder, info, keys)),
        tasks=_tasks(folder, is_v3=is_v3),
        robot_type=str(info.get("robot_type") or ""),
        fps=None if fps is None else float(fps),
    )


def is_depth_map(feature: Mapping[str, Any]) -> bool:
    """Whether a feature is marked as a depth map, by itself or in its ``info``."""
    notes = [feature, *(feature.get(name) for name in ("info", "video_info"))]
    return any(
        note.get(key) is True
        for note in notes
        if isinstance(note, Mapping)
        for key in ("is_depth_map", "video.is_depth_map")
    )


def fill_template(info_file: Path, template: str, fields: Mapping[str, int | str]) -> str:
    """A path from its template, such as ``data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet``.

    Templates come with the data, so they are not handed to :meth:`str.format`, which would look into objects.

    Raises:
        AnnotationError: If a field is not known or written in another way.
    """

    def value(match: re.Match[str]) -> str:
        name, width = match.groups()
        if name not in fields:
            msg = f"{info_file}: the path {template!r:.120} asks for {name!r:.40}, known are {', '.join(fields)}"
            raise AnnotationError(msg)
        return str(fields[name]).zfill(int(width or 0))

    path = _FIELD.sub(value, template)
    if "{" in path or "}" in path or "\0" in path:
        msg = f"{info_file}: the path {template!r:.120} is no template of the form {{name}} and {{name:06d}}"
        raise AnnotationError(msg)
    return path


def _unique(info_file: Path, episodes: Iterator[Episode]) -> dict[int, Episode]:
    found: dict[int, Episode] = {}
    for episode in episodes:
        if episode.index in found:
            msg = f"{info_file}: episode {episode.index} is listed twice in the metadata, remove one entry"
            raise AnnotationError(msg, reason="duplicate id")
        if episode.index < 0 or len(found) >= MAX_EPISODES:
            msg = f"{info_file}: episode {episode.index} is no usable number, or there are too many episodes"
            raise AnnotationError(msg, reason="too large")
        found[episode.index] = episode
    return found


def _episodes_v2(folder: Path, info: Mapping[str, Any], keys: list[str]) -> Iterator[Episode]:
    chunks_size = info.get("chunks_size")
    chunks_size = chunks_size if isinstance(chunks_size, int) and chunks_size > 0 else DEFAULT_CHUNKS_SIZE
    file = folder / "meta" / "episodes.jsonl"
    for where, row in _json_lines(file):
        index, length = _whole(where, row, "episode_index"), _whole(where, row, "length")
        fields: dict[str, int | str] = {"episode_chunk": index // chunks_size, "episode_index": index}
        yield Episode(index, length, fields, {key: VideoPart(fields) for key in keys})


def _episodes_v3(folder: Path, keys: list[str]) -> Iterator[Episode]:
    files = find_files(folder / "meta" / "episodes", "*.parquet")
    if not files:
        msg = f"{folder}: meta/episodes holds no Parquet file, fetch the data set again"
        raise AnnotationError(msg, reason="missing")
    for file in files:
        yield from _episode_rows(file, keys)


def _episode_rows(file: Path, keys: list[str]) -> Iterator[Episode]:
    found = set(column_names(file))
    keys = [key for key in keys if f"videos/{key}/from_timestamp" in found]
    places = ("chunk_index", "file_index")
    columns = ["episode_index", "length", *(f"data/{place}" for place in places)]
    spans = ("from_timestamp", "to_timestamp")
    columns += [f"videos/{key}/{part}" for key in keys for part in (*places, *spans)]
    table = read_columns(file, columns)
    whole = {name: integers(file, table, name) for name in columns if not name.endswith("_timestamp")}
    seconds = {name: numbers(file, table, name)[:, 0] for name in columns if name.endswith("_timestamp")}
    for row in range(table.num_rows):
        videos = {
            key: VideoPart(
                {place: whole[f"videos/{key}/{place}"][row] for place in places},
                *(float(seconds[f"videos/{key}/{span}"][row]) for span in spans),
            )
            for key in keys
        }
        data_fields: dict[str, int | str] = {place: whole[f"data/{place}"][row] for place in places}
        yield Episode(whole["episode_index"][row], whole["length"][row], data_fields, videos)


def _tasks(folder: Path, *, is_v3: bool) -> dict[int, str]:
    file = folder / "meta" / ("tasks.parquet" if is_v3 else "tasks.jsonl")
    if not file.is_file():
        return {}
    if not is_v3:
        rows = _json_lines(file)
        return {_whole(where, row, "task_index"): str(row.get("task", "")) for where, row in rows}
    # The text is the table's index, which pandas stores under the index's name or a default one.
    names = [name for name in column_names(file) if name in {"task", "tasks", "__index_level_0__"}]
    if not names:
        return {}
    table = read_columns(file, ["task_index", names[0]])
    return dict(zip(integers(file, table, "task_index"), texts(file, table, names[0]), strict=True))


def _json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's object, with the line's name for errors."""
    if not file.is_file():
        msg = f"{file}: the file is missing, fetch the data set again"
        raise AnnotationError(msg, reason="missing")
    for where, line in numbered_lines(file):
        yield where, require_object(where, parse_json(where, line))


def _whole(where: str, row: Mapping[str, Any], key: str) -> int:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        msg = f"{where}: {key} must be a whole number from 0 on, found {value!r:.40}"
        raise AnnotationError(msg)
    return value


def _leaves(names: object) -> Iterator[str]:
    """The texts in nested lists and objects."""
    if isinstance(names, str):
        yield names
    elif isinstance(names, list):
        for part in names:
            yield from _leaves(part)
    elif isinstance(names, dict):
        yield from _leaves(list(names.values()))
