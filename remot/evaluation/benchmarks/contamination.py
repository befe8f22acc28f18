"""Scenes and videos that training data share with a benchmark, found by their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from remot.data.clips.exclusions import names_of_sources, without_rooms
from remot.data.records.folder import MANIFEST, RECORDS, read_manifest
from remot.data.records.jsonl import read_lines
from remot.data.records.parsing import from_record
from remot.errors import ConfigError
from remot.evaluation.benchmarks.base import BenchmarkPrompt

#: Shared names that are printed.
NUM_NAMED = 5


@dataclass(frozen=True)
class Contamination:
    """What a benchmark and training data have in common.

    Args:
        train_data: Folder of the training data.
        names: Shared scenes and videos, sorted.
        num_prompts: Prompts of the benchmark about one of them.
    """

    train_data: str
    names: tuple[str, ...]
    num_prompts: int

    def __str__(self) -> str:
        if not self.names:
            return f"no scene or video is shared with {self.train_data}"
        named = ", ".join(self.names[:NUM_NAMED]) + (" …" if len(self.names) > NUM_NAMED else "")
        shared = f"{len(self.names)} scenes or videos are shared with {self.train_data} ({named})"
        return f"{shared}: {self.num_prompts} prompts are about them"


def contamination(prompts: Sequence[BenchmarkPrompt], train_data: Path) -> Contamination:
    """Compare the sources of prompts with the scenes and clips of a folder's training split.

    Args:
        prompts: Of the benchmark.
        train_data: A folder that ``remot data build`` wrote, or its manifest.

    Raises:
        ConfigError: If it is none.
        AnnotationError: If it is malformed.
    """
    folder = train_data.parent if train_data.name in (MANIFEST, RECORDS) else train_data
    if not folder.is_dir():
        msg = f"--train_data {train_data}: there is no such folder; give one that `remot data build` wrote"
        raise ConfigError(msg)
    read_manifest(folder)
    trained: set[str] = set()
    for number, record in read_lines(folder / RECORDS):
        built = from_record(f"{folder / RECORDS}: line {number}", record)
        if built.split == "train":
            trained |= names_of_sources((built.clip_id, built.question.scene_id))
    shared = [names_of_sources(prompt.sources) & trained for prompt in prompts]
    return Contamination(str(train_data), tuple(sorted(without_rooms(set().union(*shared)))), sum(map(bool, shared)))
