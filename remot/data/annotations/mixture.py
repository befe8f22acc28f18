"""Clips of several formats in one run: a folder for each below the root."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from remot.data.annotations.base import AnnotationReader, ClipSource
from remot.errors import AnnotationError, ConfigError, did_you_mean
from remot.structures import Clip

#: Weights that are taken; sums of a million clips stay exact enough.
LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1e6

_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class FolderSource(ClipSource):
    """A source of one of the folders.

    Args:
        folder: Its name below the root.
        inner: The source that the folder's own reader made.
    """

    folder: str
    inner: ClipSource

    def __str__(self) -> str:
        return str(self.inner)


@dataclass(eq=False, kw_only=True)
class MixtureReader(AnnotationReader):
    """Reads folders of different formats as one data set.

    Clips are called ``<folder>/<clip id>``. Scenes keep their names, so that recordings of one place in two folders
    fall into the same split.

    Args:
        folders: The reader of each folder by its path below the root; a folder may be a link to another place.
        weights: How often a clip of a folder is drawn, relative to clips of other folders that show the same; 1 where
            none is given.

    Raises:
        ConfigError: If there is no folder, one leads out of the root or lies in another, or a weight is of none or out
            of bounds.
    """

    folders: dict[str, AnnotationReader]
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.folders = _by_path("folders", self.folders)
        self.weights = _by_path("weights", self.weights)
        if not self.folders:
            msg = "data.reader.folders is empty; name folders below the root, each with its reader"
            raise ConfigError(msg)
        _require_apart({name: PurePosixPath(name) for name in self.folders})
        for name, reader in self.folders.items():
            if isinstance(reader, MixtureReader):
                msg = f"data.reader.folders: {name} is a mixture itself; name its folders here, as {name}/…"
                raise ConfigError(msg)
        for name, weight in self.weights.items():
            if name not in self.folders:
                hint = did_you_mean(name, self.folders, "the folders are")
                msg = f"data.reader.weights: there is no folder {name!r:.80}, {hint}"
                raise ConfigError(msg)
            if not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
                bounds = f"from {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}"
                msg = f"data.reader.weights: {name} is {weight}, write a number {bounds}, or leave the folder out"
                raise ConfigError(msg)

    def components(self) -> Iterable[AnnotationReader]:
        """The reader of each folder."""
        return self.folders.values()

    def sources(self, root: Path) -> list[ClipSource]:
        """The clips of all folders, one folder after the other."""
        for name in self.folders:
            _require_folder(root, name)
        _require_apart({name: (root / name).resolve() for name in self.folders})
        return [
            FolderSource(one.file, one.key, folder=name, inner=one)
            for name, reader in self.folders.items()
            for one in reader.sources(root / name)
        ]

    def read_source(self, source: ClipSource, root: Path) -> Clip | None:
        """One clip, by its folder's own reader; its media stay in that folder."""
        if not isinstance(source, FolderSource):
            msg = f"{source}: not a source of this reader"
            raise TypeError(msg)
        name = source.folder
        clip = self.folders[name].read_source(source.inner, (root / name).resolve())
        return clip and replace(clip, clip_id=f"{name}/{clip.clip_id}", weight=self.weights.get(name, 1.0))

    def report(self) -> None:
        """Log what the readers of the folders noted."""
        for reader in self.folders.values():
            reader.report()


def _by_path(setting: str, given: Mapping[str, _Value]) -> dict[str, _Value]:
    """Values by paths below the root, each path in its shortest form."""
    found: dict[str, _Value] = {}
    for name, value in given.items():
        path = PurePosixPath(str(name))  # a number in YAML, such as a year
        if not path.parts or path.is_absolute() or ".." in path.parts:
            msg = f"data.reader.{setting}: {name!r:.80} is no path below the root, write one such as scannet"
            raise ConfigError(msg)
        if str(path) in found:
            msg = f"data.reader.{setting}: {name!r:.80} names the folder {path} for the second time"
            raise ConfigError(msg)
        found[str(path)] = value
    return found


def _require_folder(root: Path, name: str) -> None:
    if (root / name).is_dir():
        return
    msg = f"{root} is no folder: give --root the folder that holds those of data.reader.folders"
    if root.is_dir():
        folders = sorted(one.name for one in root.iterdir() if one.is_dir() and not one.name.startswith("."))
        hint = did_you_mean(name, folders, "its folders are")
        msg = f"data.reader.folders: {name!r:.80} is no folder below {root}, {hint}"
    raise AnnotationError(msg, reason="missing")


def _require_apart(paths: Mapping[str, PurePath]) -> None:
    """Refuse a folder that is, or lies in, another one: its clips would be read twice."""
    for (inner, path), (outer, other) in permutations(paths.items(), 2):
        if path.is_relative_to(other):
            msg = f"data.reader.folders: {inner} is or lies in the folder of {outer}; weights draw its clips more often"
            raise ConfigError(msg)
