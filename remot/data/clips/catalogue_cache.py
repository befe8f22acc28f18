"""A catalogue kept on disk, so that a large data set opens at once the next time.

The file is named by a fingerprint of everything the catalogue depends on: the annotation files' names, sizes and times,
the settings and the code of reader, experts and negatives, and this library's version. If any of it changes, another
file is made. Changes of videos and images alone are not noticed until an image is decoded.
"""

import gc
import hashlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from itertools import chain, islice
from pathlib import Path

from rich.progress import Progress

from remot._version import __version__
from remot.data.annotations.base import AnnotationReader, ClipSource
from remot.data.clips.catalogue import Catalogue, ClipEntry, ClipStore, Fault, report_faults, scan_clips
from remot.data.clips.loading import OnBadClip
from remot.data.tasks.base import Task
from remot.files import bounded_lines, open_regular
from remot.terminal import console

#: Smaller data sets are read anew each time, which takes a moment.
MIN_KEPT_CLIPS = 200
#: Longest line of a catalogue, which is a clip.
MAX_LINE_BYTES = 2**24
_FORMAT = 5


def cache_folder() -> Path:
    """Where catalogues are kept.

    ``$REMOT_CACHE``, else ``remot`` in the user's cache folder, else, as of a container's user without a home, in that
    of the working folder.
    """
    if chosen := os.environ.get("REMOT_CACHE"):
        return Path(chosen)
    home = Path()
    with suppress(RuntimeError):
        home = Path.home()
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "remot"


def catalogue_path(
    reader: AnnotationReader,
    root: Path,
    sources: Sequence[ClipSource],
    tasks: Sequence[Task],
    on_bad_clip: OnBadClip,
) -> Path:
    """The file of the catalogue of these sources, judged in this way."""
    digest = hashlib.blake2b(digest_size=16)
    settings = (component for task in tasks for component in (task, *task.settings()))
    components = [reader, *reader.components(), *settings]
    for part in _facts(components, root, sources, on_bad_clip):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return cache_folder() / f"catalogue-{digest.hexdigest()}.jsonl"


def _facts(
    components: Iterable[object],
    root: Path,
    sources: Sequence[ClipSource],
    on_bad_clip: OnBadClip,
) -> Iterable[str]:
    """Version and folder; class, settings and code of each component; size and time of each file."""
    yield f"{_FORMAT} {__version__} {on_bad_clip} {root.resolve()}"
    for one in components:
        try:
            code = inspect.getsource(sys.modules[type(one).__module__])
        except (OSError, TypeError, KeyError):
            code = ""
        yield f"{_settings_of(one)} {code}"
    known: dict[Path, str] = {}
    for source in sources:
        if source.file not in known:
            try:
                held = source.file.stat()
                known[source.file] = f"{held.st_size} {held.st_mtime_ns}"
            except OSError:
                known[source.file] = "missing"
        yield f"{source} {known[source.file]}"


def _settings_of(value: object) -> str:
    """A value as text that is the same in every process; objects without a text of their own by their settings."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_settings_of, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_settings_of(one)}' for key, one in value.items())}}}"
    if inspect.isroutine(value):  # its text holds an address in memory
        return f"{value.__module__}.{value.__qualname__}"
    if is_dataclass(value):  # its own text may hold that of objects without one
        public = {one.name: getattr(value, one.name) for one in fields(value)}
    elif type(value).__repr__ is not object.__repr__:
        return repr(value)
    else:
        public = {name: one for name, one in vars(value).items() if not name.startswith("_")}
    return f"{type(value).__module__}.{type(value).__qualname__}({_settings_of(dict(sorted(public.items())))})"


def save_catalogue(catalogue: Catalogue, file: Path) -> None:
    """Write a catalogue atomically: a concurrent reader sees the old file or the new one.

    A disk that is full or cannot be written to is no error: the catalogue is made again the next time.
    """
    partial = file.with_suffix(f".{os.getpid()}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # numbers of things, faults, clips: one JSON value a line, so that no more than a line is in memory twice
        counts = [len(catalogue.entries), len(catalogue.faults), catalogue.num_left_out]
        faults = ([fault.source, fault.reason, fault.message] for fault in catalogue.faults)
        entries = (
            [one.place, one.clip_id, one.scene_id, one.domain, one.num_frames, list(one.surveys), one.weight]
            for one in catalogue.entries
        )
        with partial.open("w", encoding="utf-8") as lines:
            for row in chain([counts], faults, entries):
                lines.write(json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n")
        partial.replace(file)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def load_catalogue(file: Path) -> Catalogue | None:
    """The catalogue in a file; None if there is none that can be read."""
    try:
        with open_regular(file) as stream, collector_paused():
            rows = (json.loads(line or b"") for line in bounded_lines(stream, MAX_LINE_BYTES))
            num_entries, num_faults, num_left_out = next(rows)
            faults = tuple(Fault(*row) for row in islice(rows, num_faults))
            entries = []
            for place, clip_id, scene_id, domain, num_frames, surveys, weight in rows:
                interned = sys.intern(scene_id), sys.intern(domain)
                found = tuple(survey if survey is None else tuple(map(tuple, survey)) for survey in surveys)
                entries.append(ClipEntry(place, clip_id, *interned, num_frames, found, weight))
        is_whole = (len(entries), len(faults)) == (num_entries, num_faults)
        return Catalogue(tuple(entries), faults, num_left_out) if is_whole else None
    except (OSError, ValueError, TypeError, StopIteration, RecursionError):
        return None


@contextmanager
def collector_paused() -> Iterator[None]:
    """Makes millions of objects without the garbage collector, which would go through them again and again.

    They are no garbage, and it took four fifths of the time of a catalogue of 200,000 clips.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def catalogue_of(
    store: ClipStore,
    tasks: Sequence[Task],
    on_bad_clip: OnBadClip,
    run_folder: Path | None = None,
) -> Catalogue:
    """What can be asked about each clip: found now, or kept from the last time where there are many clips.

    Few clips are kept in the folder of a run, if there is one: a clip that has become unreadable since would else be
    left out when the run continues, which changes splits and prompts.

    Raises:
        AnnotationError: If an annotation is malformed and that is to be an error, or no clip is left.
        DecodeError: If a clip's media do not fit its annotation and that is to be an error.
    """
    kept = len(store.sources) >= MIN_KEPT_CLIPS
    file = None
    if kept or run_folder is not None:
        file = catalogue_path(store.reader, store.root, store.sources, tasks, on_bad_clip)
        file = file if kept or run_folder is None else run_folder / file.name
    catalogue = load_catalogue(file) if file else None
    if catalogue is None:
        with counting_bar("reading clips", shown=kept) as progress:
            catalogue = scan_clips(store, tasks, on_bad_clip, progress)
        if file:
            save_catalogue(catalogue, file)
    report_faults(catalogue, store.root)
    return catalogue


@contextmanager
def counting_bar(what: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Yield a function ``(done, total)`` that updates a progress bar; the bar vanishes at the end.

    Args:
        what: What is being done.
        shown: False shows none.
    """
    if not shown:
        yield lambda *_: None
        return
    with Progress(console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
