"""How long the catalogue of very many clips takes to open, and how much memory it holds.

Run ``python benchmarks/catalogue.py --num-clips 1000000``. The annotation files are made and empty, and the
catalogue of a first run is written from what the tasks find in the embedded clips, since reading a million clips
would take hours; opening is then the library's own, in a process of its own for each repeat.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from remot.data.annotations.native.reader import NativeReader
from remot.data.clips.bundled import embedded_clips_root
from remot.data.clips.catalogue import Catalogue, ClipStore, scan_clips
from remot.data.clips.catalogue_cache import catalogue_of, catalogue_path, collector_paused, save_catalogue
from remot.data.datasets.factory import SplitSettings, datasets_of_clips
from remot.data.tasks.motion_contrast import MotionContrast

CLIPS_PER_FOLDER = 1000
SPLITS = SplitSettings(0.1, 0.2, {"train": 16384, "val": 128, "test": 256}, 0, 0, required=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the files, open them a few times, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-clips", type=int, default=1_000_000)
    parser.add_argument("--clips-per-scene", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where the temporary folder is made")
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        os.environ["REMOT_CACHE"] = str(Path(scratch) / "cache")
        root = Path(scratch) / "clips"
        in_fresh_process(prepare, root, options.num_clips, options.clips_per_scene)
        (file,) = Path(os.environ["REMOT_CACHE"]).iterdir()
        print(f"{options.num_clips} clips, a catalogue of {file.stat().st_size / 2**20:.0f} MiB")
        found = [in_fresh_process(open_again, root) for _ in range(options.repeats)]
    print_table(found)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def in_fresh_process(function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 (whatever it returns)
    """What ``function`` returns in a process that has done nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def prepare(root: Path, num_clips: int, clips_per_scene: int) -> None:
    """Make empty annotation files and the catalogue that reading them would have left."""
    for first in range(0, num_clips, CLIPS_PER_FOLDER):
        folder = root / f"{first // CLIPS_PER_FOLDER:06d}"
        folder.mkdir(parents=True)
        for number in range(first, min(first + CLIPS_PER_FOLDER, num_clips)):
            (folder / f"{number:08d}.json").touch()
    tasks, reader = [MotionContrast()], NativeReader()
    embedded = ClipStore(reader, embedded_clips_root(), reader.sources(embedded_clips_root()))
    known = scan_clips(embedded, tasks).entries
    sources = reader.sources(root)
    entries = tuple(
        replace(
            known[number % len(known)],
            place=number,
            clip_id=f"{number // CLIPS_PER_FOLDER:06d}-{number:08d}",
            scene_id=f"scene-{number // clips_per_scene:08d}",
        )
        for number in range(num_clips)
    )
    file = catalogue_path(NativeReader(), root, sources, [MotionContrast()], "raise")  # as they are before they read
    save_catalogue(Catalogue(entries), file)


def open_again(root: Path) -> dict[str, dict[str, float]]:
    """Seconds and MiB of each part of opening a data set whose catalogue is kept."""
    reader, tasks, found = NativeReader(), [MotionContrast()], {}

    def measured(name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 (whatever it returns)
        before, started, worked = resident_mib(), time.monotonic(), time.process_time()
        result = work()
        seconds, processor_seconds = time.monotonic() - started, time.process_time() - worked
        found[name] = {"seconds": seconds, "processor": processor_seconds, "MiB": resident_mib() - before}
        return result

    sources = measured("listing files", lambda: reader.sources(root))
    store = ClipStore(reader, root, sources)
    catalogue = measured("opening the catalogue", lambda: catalogue_of(store, tasks, "raise"))
    with collector_paused():
        datasets = measured("splits and indices", lambda: datasets_of_clips(store, catalogue.entries, tasks, SPLITS))
    assert sum(len(one.clips) for one in datasets.values()) == len(sources)
    found["total"] = {key: sum(part[key] for part in found.values()) for key in ("seconds", "processor", "MiB")}
    return found


def resident_mib() -> float:
    """Resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def print_table(found: Sequence[dict[str, dict[str, float]]]) -> None:
    """Medians with least and most."""
    print("| | s, median (least to most) | processor s, median (least to most) | MiB, median |\n|---|---|---|---|")
    for name in found[0]:
        mib = statistics.median(one[name]["MiB"] for one in found)
        cells = (spread([one[name][key] for one in found]) for key in ("seconds", "processor"))
        print(f"| {name} | {' | '.join(cells)} | {mib:.0f} |")


def spread(values: Sequence[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
