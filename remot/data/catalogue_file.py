"""A catalogue kept on disk, so that a large data set opens at once the next time.

The file is named by a fingerprint of everything the catalogue depends on: the annotation files' names, sizes and times,
the settings and the code of reader, experts and negatives, and this library's version. If any of it changes, another
file is made. Changes of videos and pictures alone are not noticed until a picture is decoded.
"""

import hashlib
import inspect
import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from remot._version import __version__
from remot.data.annotations.base import AnnotationReader, ClipSource
from remot.data.bars import counting_bar
from remot.data.catalogue import Catalogue, ClipEntry, ClipStore, Fault, report_faults, take_stock
from remot.data.loading import OnBadClip
from remot.data.tasks.base import Task
from remot.data.tasks.motion_contrast import MotionContrast
from remot.data.triplets import Askable, TripletSampler

#: Smaller data sets are read anew each time, which takes a moment.
MIN_KEPT_CLIPS = 200
_FORMAT = 2


def cache_folder() -> Path:
    """Where catalogues are kept: ``$REMOT_CACHE``, else ``remot`` in the user's cache folder."""
    chosen = os.environ.get("REMOT_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "remot"


def catalogue_path(
    reader: AnnotationReader,
    root: Path,
    sources: Sequence[ClipSource],
    sampler: TripletSampler,
    on_bad_clip: OnBadClip,
    tasks: Sequence[Task | MotionContrast] = (),
) -> Path:
    """The file of the catalogue of these sources, judged in this way."""
    digest = hashlib.blake2b(digest_size=16)
    components = (reader, *sampler.experts, *sampler.negatives, *tasks)
    for part in _facts(components, root, sources, sampler, on_bad_clip):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return cache_folder() / f"catalogue-{digest.hexdigest()}.json"


def _facts(
    components: Iterable[object],
    root: Path,
    sources: Sequence[ClipSource],
    sampler: TripletSampler,
    on_bad_clip: OnBadClip,
) -> Iterable[str]:
    yield f"{_FORMAT} {__version__} {on_bad_clip} {root.resolve()}"
    yield f"{sampler.max_candidate_frames} {sampler.min_gap_frames}"
    for one in components:
        yield _described(one)
    known: dict[Path, str] = {}
    for source in sources:
        if source.file not in known:
            known[source.file] = _stamp(source.file)
        yield f"{source} {known[source.file]}"


def _described(one: object) -> str:
    """Class, settings and code of a component."""
    settings = {name: value for name, value in vars(one).items() if not name.startswith("_")}
    try:
        code = inspect.getsource(sys.modules[type(one).__module__])
    except (OSError, TypeError, KeyError):
        code = ""
    return f"{type(one).__module__}.{type(one).__qualname__} {sorted(settings.items(), key=str)!r} {code}"


def _stamp(file: Path) -> str:
    try:
        held = file.stat()
    except OSError:
        return "missing"
    return f"{held.st_size} {held.st_mtime_ns}"


def save_catalogue(catalogue: Catalogue, file: Path) -> None:
    """Write a catalogue; whoever reads meanwhile sees the old file or the new one.

    A disk that is full or cannot be written to is no error: the catalogue is made again the next time.
    """
    content = {
        "faults": [[fault.source, fault.reason, fault.message] for fault in catalogue.faults],
        "left_out": catalogue.num_left_out,
        "clips": [_entry_content(entry) for entry in catalogue.entries],
    }
    partial = file.with_suffix(f".{os.getpid()}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(
            json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False), encoding="utf-8"
        )
        partial.replace(file)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _entry_content(entry: ClipEntry) -> list[Any]:
    askables = [[one.expert_index, one.subject, one.patterns, one.negative_index] for one in entry.askables]
    names = [entry.clip_id, entry.scene_id, entry.domain]
    return [entry.place, *names, entry.num_frames, askables, list(entry.served)]


def load_catalogue(file: Path) -> Catalogue | None:
    """The catalogue in a file; None if there is none that can be read."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        patterns: dict[tuple[tuple[int, ...], ...], Any] = {}
        entries = tuple(_entry_from(held, patterns) for held in content["clips"])
        faults = tuple(Fault(*held) for held in content["faults"])
        return Catalogue(entries, faults, content["left_out"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _entry_from(held: list[Any], patterns: dict[tuple[tuple[int, ...], ...], Any]) -> ClipEntry:
    """An entry; equal lists of patterns are held once."""
    place, clip_id, scene_id, domain, num_frames, askables, served = held
    found = []
    for expert_index, subject, codes, negative_index in askables:
        triples = tuple(map(tuple, codes))
        found.append(Askable(expert_index, subject, patterns.setdefault(triples, triples), negative_index))
    return ClipEntry(place, clip_id, scene_id, domain, num_frames, tuple(found), tuple(served))


def catalogue_of(
    store: ClipStore,
    sampler: TripletSampler,
    on_bad_clip: OnBadClip,
    tasks: Sequence[Task | MotionContrast] = (),
) -> Catalogue:
    """What can be asked about each clip: found now, or kept from the last time where there are many clips.

    Raises:
        AnnotationError: If an annotation is malformed and that is to be an error, or no clip is left.
        DecodeError: If a clip's media do not fit its annotation and that is to be an error.
    """
    kept = len(store.sources) >= MIN_KEPT_CLIPS
    file = catalogue_path(store.reader, store.root, store.sources, sampler, on_bad_clip, tasks) if kept else None
    catalogue = load_catalogue(file) if file else None
    if catalogue is None:
        with counting_bar("reading clips", shown=kept) as progress:
            catalogue = take_stock(store, sampler, on_bad_clip, progress, tasks)
        if file:
            save_catalogue(catalogue, file)
    report_faults(catalogue, store.root)
    return catalogue
