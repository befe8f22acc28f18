"""What ``remot evaluate`` asks and how: rows, remot-bench as it comes with the library, sampling."""

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remot.commands.configs import find_config
from remot.errors import ConfigError
from remot.terminal import write_err

if TYPE_CHECKING:
    from remot.evaluation.benchmarks.responders import AnswerSettings

#: Recipe of remot-bench, the number of its prompts over all splits, and where it is built.
BENCH_RECIPE, NUM_BENCH_PROMPTS = "benchmarks/remot_bench.yaml", 770
EVALUATIONS = Path("evaluations")
BENCH_FOLDER = EVALUATIONS / "remot-bench-prompts"
#: Of a name in that of a default folder.
MAX_NAME_CHARS = 60


@dataclass(frozen=True)
class RowChoice:
    """The prompts that are asked.

    Args:
        benchmark: Its name, such as remot-bench or jsonl; docs/evaluate.md lists them.
        data: File or folder with the benchmark's rows; remot-bench is built from the library's clips without one.
        media: Folder of images and videos; the folder of the rows by default.
        split: Split of remot-bench: train, val, test or all; test by default.
        num_frames: Frames shown of a video, instead of the benchmark's own number.
        limit: Ask the first prompts only.
        skip_missing: Leave out prompts whose media are missing, and count them.
        train_data: Folder of built prompts that the model was trained on, to name shared scenes and videos.
    """

    benchmark: str | None = None
    data: Path | None = None
    media: Path | None = None
    split: str | None = None
    num_frames: int | None = None
    limit: int | None = None
    skip_missing: bool = False
    train_data: Path | None = None

    def __post_init__(self) -> None:
        for name in ("limit", "num_frames"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"--{name} {value}: give at least 1"
                raise ConfigError(msg)

    def named(self) -> dict[str, str | int | None]:
        """What is asked, as it was typed: the same command names the same, wherever the folders lie."""
        return {
            "data": str(self.data),
            "media": str(self.media),
            "split": self.split,
            "num_frames": self.num_frames,
        }

    def source(self, data: Path) -> dict[str, str | int | None]:
        """From what the same prompts are read again."""
        media = None if self.media is None else str(self.media.resolve())
        return {"data": str(data.resolve()), "media": media, "split": self.split, "num_frames": self.num_frames}


@dataclass(frozen=True)
class DecodingChoice:
    """How they are answered.

    Args:
        batch_size: Prompts answered together.
        max_new_tokens: Longest reply, instead of the benchmark's own budget.
        temperature: 0 is greedy.
        top_p: Share of probability that tokens are drawn from.
        top_k: Tokens that are drawn from, 0 for all.
        seed: Names the noise of sampling.
    """

    batch_size: int = 8
    max_new_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def words(self) -> list[str]:
        """What a folder's name says of it."""
        return ["sampled"] if self.temperature > 0 else []

    def generation(self) -> dict[str, object]:
        """What differs from greedy decoding with a task's own budget, by the names of transformers."""
        settings: dict[str, object] = {}
        if self.max_new_tokens is not None:
            settings["max_new_tokens"] = self.max_new_tokens
        if self.temperature > 0:
            settings |= {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k}
        return settings

    def settings(self, budget: int) -> "AnswerSettings":
        """For a responder, with a benchmark's budget of tokens unless another was given."""
        from remot.evaluation.benchmarks.responders import AnswerSettings
        from remot.rollout.sampling import SamplingSettings

        tokens = budget if self.max_new_tokens is None else self.max_new_tokens
        return AnswerSettings(SamplingSettings(self.temperature, self.top_k, self.top_p), tokens, self.seed)


def results_folder(words: Iterable[str | Path | None], asked: Mapping[str, Any]) -> Path:
    """The default folder of an evaluation, such as ``evaluations/remot-bench-RUN-last.ckpt-sampled-1b8d4a60``.

    Args:
        words: Names, such as the benchmark's; the last two parts of a path are taken, the end of long ones.
        asked: All that determines the replies, as JSON; its hash ends the name.
    """
    from remot.evaluation.benchmarks.replies import settings_hash

    names = []
    for word in (one for one in words if one):
        name = re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(Path(word).parts[-2:])).strip("-.")
        while len(name) > MAX_NAME_CHARS and "-" in name:
            name = name.partition("-")[2]
        names.append(name[-MAX_NAME_CHARS:])
    return EVALUATIONS / "-".join([*filter(None, names), settings_hash(asked)[:8]])


def data_of(rows: RowChoice) -> Path:
    """Where the rows of a benchmark lie; remot-bench is built below the current folder if none is given.

    Raises:
        ConfigError: If another benchmark is given no data.
    """
    if rows.data is not None:
        return rows.data
    if rows.benchmark != "remot-bench":
        msg = f"--benchmark {rows.benchmark!r:.60} needs --data, the file or folder with its rows; see docs/evaluate.md"
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
