"""Clips of several formats in one run: a folder for each below the root."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from remot.data.annotations.base import AnnotationReader, ClipSource
from remot.errors import AnnotationError, ConfigError
from remot.structures import Clip


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

    Clips are called ``<folder>-<clip id>``. Scenes keep their names, so that recordings of one place in two folders
    fall into the same split.

    Args:
        folders: The reader of each folder by its path below the root; a folder may be a link to another place.
        weights: How often a clip of a folder is drawn, relative to clips of other folders; 1 where none is given.

    Raises:
        ConfigError: If there is none, a path leads out of the root, or a weight is not positive or of no folder.
    """

    folders: dict[str, AnnotationReader]
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.folders:
            msg = "data.reader.folders is empty; name folders below the root, each with its reader"
            raise ConfigError(msg)
        for name in self.folders:
            path = PurePosixPath(name)
            if not path.parts or path.is_absolute() or ".." in path.parts:
                msg = f"data.reader.folders: {name!r:.80} is no path below the root, write one such as scannet"
                raise ConfigError(msg)
        for name, weight in self.weights.items():
            if name not in self.folders:
                msg = f"data.reader.weights: there is no folder {name!r:.80} in data.reader.folders"
                raise ConfigError(msg)
            if not 0 < weight < float("inf"):
                msg = f"data.reader.weights: {name} is {weight}, write a number above 0, or leave the folder out"
                raise ConfigError(msg)

    def components(self) -> Iterator[AnnotationReader]:
        """The reader of each folder, and what it is made of."""
        for reader in self.folders.values():
            yield reader
            yield from reader.components()

    def sources(self, root: Path) -> list[ClipSource]:
        """The clips of all folders, one folder after the other."""
        found: list[ClipSource] = []
        for name, reader in self.folders.items():
            folder = root / name
            if not folder.is_dir():
                msg = f"{folder} is no folder; data.reader.folders names the folders below --root"
                raise AnnotationError(msg, reason="missing")
            found += [FolderSource(one.file, one.key, folder=name, inner=one) for one in reader.sources(folder)]
        return found

    def read_source(self, source: ClipSource, root: Path) -> Clip | None:
        """One clip, by its folder's own reader; its media stay in that folder."""
        if not isinstance(source, FolderSource):
            msg = f"{source}: not a source of this reader"
            raise TypeError(msg)
        clip = self.folders[source.folder].read_source(source.inner, (root / source.folder).resolve())
        if clip is None:
            return None
        name, weight = source.folder.strip("/").replace("/", "-"), self.weights.get(source.folder, 1.0)
        return replace(clip, clip_id=f"{name}-{clip.clip_id}", weight=clip.weight * weight)

    def report(self) -> None:
        """Log what the readers of the folders noted."""
        for reader in self.folders.values():
            reader.report()
