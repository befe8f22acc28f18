"""What is known of every clip of a folder without holding it: its names, its length, and what can be asked about it."""

import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from remot.data.annotations.base import AnnotationReader, ClipSource
from remot.data.clips.loading import MAX_NAMED, OnBadClip, read_each
from remot.data.media.unchanged import is_changed_since
from remot.data.remote import RemoteFolder
from remot.data.tasks.base import Survey, Task
from remot.errors import AnnotationError
from remot.structures import Clip

#: Clips held in memory.
MAX_HELD_CLIPS = 1024


@dataclass(frozen=True, slots=True)
class ClipEntry:
    """One usable clip.

    Args:
        place: Number of its source among the reader's sources.
        clip_id: Its name.
        scene_id: Its scene.
        domain: Its domain.
        num_frames: Its annotated frames.
        surveys: What each task found in it, None for tasks that cannot ask about it.
        weight: How often it is drawn, relative to others.
    """

    place: int
    clip_id: str
    scene_id: str
    domain: str
    num_frames: int
    surveys: tuple[Survey | None, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Fault:
    """A clip that cannot be used.

    Args:
        source: Where it is described.
        reason: The kind of fault.
        message: What is wrong.
    """

    source: str
    reason: str
    message: str


@dataclass(frozen=True)
class Catalogue:
    """Everything below a folder.

    Args:
        entries: The usable clips, in the order of their sources.
        faults: The others, with what is wrong.
        num_left_out: Clips that the reader leaves out on purpose.
    """

    entries: tuple[ClipEntry, ...]
    faults: tuple[Fault, ...] = ()
    num_left_out: int = 0


class ClipStore:
    """Reads clips when they are asked for and holds the last ones.

    Args:
        reader: Reads the format.
        root: Folder of the annotations.
        sources: The reader's sources.
        remote: Fetches files of ``root`` when they are opened, if it stands for a URL.

    Attributes:
        surveyed_ns: When it was made, in ns since 1970: annotations that change later are refused.
    """

    def __init__(
        self,
        reader: AnnotationReader,
        root: Path,
        sources: Sequence[ClipSource],
        remote: RemoteFolder | None = None,
    ) -> None:
        self.reader = reader
        self.root = root.resolve()
        self.sources = sources
        self.remote = remote  # sent along to processes that load data
        self.surveyed_ns = time.time_ns()
        self._held: OrderedDict[int, Clip] = OrderedDict()

    def get(self, place: int) -> Clip:
        """The clip of a source.

        Raises:
            AnnotationError: If it can no longer be read.
        """
        if place not in self._held:
            clip, file = self.reader.clip_of(self.sources[place], self.root), self.sources[place].file
            if clip is None or (file.is_file() and is_changed_since(file, self.surveyed_ns)):
                msg = f"{self.sources[place]}: the annotation has been changed since the run began; start again"
                raise AnnotationError(msg)
            self.hold(place, clip)
        self._held.move_to_end(place)
        return self._held[place]

    def hold(self, place: int, clip: Clip) -> None:
        """Keep a clip that has been read already."""
        self._held[place] = clip
        if len(self._held) > MAX_HELD_CLIPS:
            self._held.popitem(last=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": OrderedDict()}


@dataclass(frozen=True, eq=False)
class StoredClips(Sequence[Clip]):
    """Some of the clips of a store, read when they are asked for.

    Args:
        store: Reads them.
        entries: Which ones.
    """

    store: ClipStore
    entries: tuple[ClipEntry, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> "StoredClips": ...
    def __getitem__(self, index: int | slice) -> "Clip | StoredClips":
        if isinstance(index, slice):
            return StoredClips(self.store, self.entries[index])
        return self.store.get(self.entries[index].place)


def scan_clips(
    store: ClipStore,
    tasks: Sequence[Task],
    on_bad_clip: OnBadClip = "raise",
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Catalogue:
    """Read every clip once, verify that its media hold the annotated frames, and find what can be asked about it.

    Args:
        store: The clips; the last ones read stay in it.
        tasks: What the run asks.
        on_bad_clip: ``raise`` stops at the first malformed annotation or broken media; ``skip`` goes on without it.
        on_progress: Called with the number of sources read and their total.

    Raises:
        AnnotationError: If an annotation is malformed, or no clip is left.
        DecodeError: If a clip's media do not fit its annotation.
    """
    entries: list[ClipEntry] = []
    faults: list[Fault] = []
    places = {id(source): place for place, source in enumerate(store.sources)}
    for source, result in read_each(store.reader, store.root, decode=False, sources=store.sources):
        place = places[id(source)]
        if isinstance(result, Clip):
            store.hold(place, result)
            names = result.clip_id, result.scene_id, result.domain
            surveys = tuple(task.survey(result) for task in tasks)
            entries.append(ClipEntry(place, *names, result.num_frames, surveys, result.weight))
        elif on_bad_clip == "raise":
            raise result
        else:
            faults.append(Fault(str(source), result.reason, str(result)))
        on_progress(place + 1, len(store.sources))
    return Catalogue(tuple(entries), tuple(faults), len(store.sources) - len(entries) - len(faults))


def report_faults(catalogue: Catalogue, root: Path) -> None:
    """Warn of clips that are left out.

    Raises:
        AnnotationError: If no clip is left.
    """
    reasons = "; ".join(fault.message for fault in catalogue.faults[:MAX_NAMED]) or "the reader leaves all of them out"
    if not catalogue.entries:
        msg = f"{root}: no usable clip: {reasons}; repair the files or give another folder"
        raise AnnotationError(msg)
    if catalogue.faults:
        message = f"{len(catalogue.faults)} bad clips are left out, {len(catalogue.entries)} remain: {reasons}"
        warnings.warn(message, stacklevel=3)
