"""The data of ``remot evaluate``: a path, or remot-bench as it comes with the library."""

import shutil
from pathlib import Path

from remot.commands.configs import find_config
from remot.errors import ConfigError
from remot.terminal import write_err

#: Recipe of remot-bench, the number of its prompts over all splits, and where it is built.
BENCH_RECIPE, NUM_BENCH_PROMPTS = "benchmarks/remot_bench.yaml", 770
BENCH_FOLDER = Path("evaluations") / "remot-bench-prompts"


def data_of(benchmark: str, data: Path | None) -> Path:
    """Where the rows of a benchmark lie; remot-bench is built below the current folder if none is given.

    Raises:
        ConfigError: If another benchmark is given no data.
    """
    if data is not None:
        return data
    if benchmark != "remot-bench":
        msg = f"--benchmark {benchmark!r:.60} needs --data, the file or folder with its rows; see docs/evaluate.md"
        raise ConfigError(msg)
    if not BENCH_FOLDER.is_dir():
        build_bench(BENCH_FOLDER)
    return BENCH_FOLDER


def build_bench(folder: Path) -> None:
    """Build remot-bench from the clips that come with the library; a folder that is there is whole."""
    from remot.commands.data.sources import data_from, data_section
    from remot.datatools.build.prompts import build

    unfinished = folder.with_name(f".{folder.name}")
    section = data_section([find_config(BENCH_RECIPE)])
    write_err(f"building remot-bench in {folder}\n")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        build(data_from(section), unfinished, NUM_BENCH_PROMPTS, section)
        unfinished.rename(folder)
    except OSError as error:
        msg = f"{folder}: remot-bench cannot be built ({error}); build it elsewhere, see docs/evaluate.md, for --data"
        raise ConfigError(msg) from error
