"""Scenes and videos that a benchmark asks about, from its own files: what must not be trained on.

A benchmark's rows are not part of this library, so its file or folder is given with its name.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from remot.data.clips.exclusions import names_of_sources
from remot.data.records.folder import RECORDS, read_manifest
from remot.data.records.jsonl import bounded_lines, read_lines
from remot.data.records.parsing import from_record
from remot.data.records.qa_jsonl import read_qa
from remot.data.records.tables import rows_in
from remot.errors import AnnotationError, ConfigError, did_you_mean
from remot.files import expanded

#: Keys of a row that name its scene, video or images; the first that a row has counts.
ITEM_KEYS: Mapping[str, tuple[str, ...]] = {
    "vsi-bench": ("scene_name",),
    "spatial-narrative": ("scene_name",),
    "sti-bench": ("Video",),
    "charades-sta": ("key", "video"),
    "nextgqa": ("video_id", "video"),
    "v-star": ("vid",),
    "remot-16k-test": ("images",),
    "mmsi-bench": ("images",),
    "spar-bench": ("image", "images"),
    "vlm2-bench": ("images", "vid", "video"),
}
#: Benchmarks whose files are no rows.
OTHER_BENCHMARKS = ("remot-bench", "jsonl", "got-10k")
#: Files with rows.
ROW_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt")
MAX_LINE_CHARS = 4096


def named_benchmark(value: Path) -> tuple[str, Path] | None:
    """Name and file of ``NAME=PATH``; None for the path of a list of names.

    Raises:
        ConfigError: If it is a benchmark's name without its file, or there is no such benchmark.
    """
    known = (*ITEM_KEYS, *OTHER_BENCHMARKS)
    name, is_named, path = str(value).partition("=")
    if name in known and path:
        return name, expanded(Path(path))
    if name in known and not expanded(value).exists():
        msg = f"data.options.exclude: {name} needs the benchmark's file or folder: {name}=PATH"
        raise ConfigError(msg)
    if is_named and not expanded(value).exists():
        msg = f"data.options.exclude: there is no benchmark {name!r:.60}; {did_you_mean(name, known)}"
        raise ConfigError(msg)
    return None


def benchmark_items(benchmark: str, data: Path) -> frozenset[str]:
    """Names of the scenes and videos that a benchmark asks about, as :func:`names_of_sources` gives them.

    Args:
        benchmark: A name of :data:`ITEM_KEYS` or :data:`OTHER_BENCHMARKS`.
        data: Its file or folder.

    Raises:
        ConfigError: If there is no such file.
        AnnotationError: If it cannot be read, or names no scene or video.
    """
    if not data.exists():
        msg = f"data.options.exclude: {benchmark}={data}: there is no such file or folder"
        raise ConfigError(msg)
    items = frozenset(names_of_sources(_sources(benchmark, data)))
    if not items:
        msg = f"data.options.exclude: {data} names no scene or video of {benchmark}, so nothing can be left out by it"
        raise AnnotationError(msg, reason="missing")
    return items


def _sources(benchmark: str, data: Path) -> Iterator[str]:
    if benchmark == "got-10k":
        yield from (folder.name for folder in sorted(data.iterdir()) if folder.is_dir())
    elif benchmark == "remot-bench":
        read_manifest(data)
        for number, record in read_lines(data / RECORDS):  # scenes and clips of the held-out prompts
            built = from_record(f"{data / RECORDS}: line {number}", record)
            if built.split != "train":
                yield from (built.clip_id, built.question.scene_id)
    elif benchmark == "jsonl":
        yield from (source for record in read_qa(data) for source in record.sources)
    else:
        files = [file for file in data.rglob("*") if file.suffix.lower() in ROW_SUFFIXES and file.is_file()]
        for file in [data] if data.is_file() else sorted(files):
            if file.suffix == ".txt":  # lines of Charades-STA: 3MSZA 24.3 30.4##person turn a light on.
                yield from (line.split()[0] for _, line in bounded_lines(file, MAX_LINE_CHARS))
            else:
                yield from (name for _, row in rows_in(file) for name in _names(row, ITEM_KEYS[benchmark]))


def _names(row: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
    value = next((row[key] for key in keys if row.get(key) is not None), ())
    for one in value if isinstance(value, list) else [value]:
        name = one.get("path") if isinstance(one, Mapping) else one
        if isinstance(name, str | int) and not isinstance(name, bool):
            yield str(name)
