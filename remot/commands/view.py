"""``remot view``."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remot.errors import ConfigError
from remot.files import cause_of, open_regular
from remot.terminal import counted, write_out

if TYPE_CHECKING:
    from remot.evaluation.benchmarks.base import BenchmarkPrompt, Verdict
    from remot.viewer import Card

#: Size of a ``scores.json`` that is read.
_MAX_BYTES = 1 << 24


def view_command(
    runs: list[Path],
    out: Path = Path("page.html"),
    data: Path | None = None,
    media: Path | None = None,
    num_shown: int = 600,
) -> None:
    """Write one page of an evaluation, or of two side by side: frames, question, right answer, replies, verdicts.

    Args:
        runs: One or two folders that `remot evaluate` wrote, of the same benchmark.
        out: The page, .html.
        data: The benchmark's rows, if they have moved since.
        media: The folder of images and videos, if it has moved since.
        num_shown: How many prompts to show at most.
    """
    if not 1 <= len(runs) <= 2 or out.suffix != ".html" or num_shown < 1:
        msg = (
            f"{len(runs)} folders, --out {out}, --num_shown {num_shown}: give one or two, an .html file, and at least 1"
        )
        raise ConfigError(msg)
    read = [Evaluated.read(folder) for folder in runs]
    if len({one.benchmark for one in read}) > 1:
        msg = (
            f"{runs[0]} is of {read[0].benchmark} and {runs[1]} of {read[1].benchmark}: only one benchmark is compared"
        )
        raise ConfigError(msg)
    prompts = read[0].prompts(data, media)
    verdicts = [one.verdicts(prompts) for one in read]
    names = [folder.resolve().name for folder in runs]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in runs]
    shown = [one for one in prompts if all(one.prompt_id in found for found in verdicts)]
    if not shown:
        msg = f"{', '.join(map(str, runs))}: no prompt of {read[0].source['data']} is answered in all of them"
        raise ConfigError(msg)
    from remot.viewer import write_page

    notes = [_evaluated(name, run, answered) for name, run, answered in zip(names, read, verdicts, strict=True)]
    num_prompts = (
        f"the first {num_shown} of {len(shown)} prompts" if num_shown < len(shown) else counted(len(shown), "prompt")
    )
    left_out = len(set().union(*verdicts)) - len(shown)
    other = f"; {left_out} that are not in both are left out" if left_out else ""
    notes.append(f"{num_prompts} from {counted(len({one.scene for one in shown}), 'scene')}{other}")
    pages = _cards([one.prompt_id for one in shown[:num_shown]], verdicts, names, read[0].benchmark)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_page(out, pages, f"{read[0].benchmark}: {' and '.join(names)}", notes)
    except OSError as error:
        msg = f"{out}: the page cannot be written ({cause_of(error)})"
        raise ConfigError(msg) from error
    write_out("".join(f"{note}\n" for note in notes) + f"{out}\n")


def _evaluated(name: str, run: "Evaluated", verdicts: "dict[str, Verdict]") -> str:
    """Weights, data and what was cut off of an evaluation, as a line."""
    cut_off = sum(bool(one.reply.cut_off) for one in verdicts.values())
    return f"{name}: {run.weights}; {len(verdicts)} prompts of {run.data}, {cut_off} cut off"


@dataclass(frozen=True)
class Evaluated:
    """What is known of an evaluation from its folder."""

    folder: Path
    benchmark: str
    weights: str
    source: Mapping[str, Any]  # what was asked: data, media, split, num_frames
    data: str  # in words

    @classmethod
    def read(cls, folder: Path) -> "Evaluated":
        """Read ``scores.json``.

        Raises:
            ConfigError: If the folder holds none, or one that does not say what was asked.
        """
        from remot.evaluation.benchmarks.report import SCORES_FILE

        file = folder / SCORES_FILE
        try:
            with open_regular(file) as opened:
                content = json.loads(opened.read(_MAX_BYTES))
        except (OSError, ValueError, RecursionError) as error:
            msg = f"{folder}: give a folder that remot evaluate wrote; {SCORES_FILE} cannot be read ({cause_of(error)})"
            raise ConfigError(msg) from error
        source = content.get("source") if isinstance(content, dict) else None
        if not isinstance(source, dict) or not all(
            isinstance(content.get(key), str) for key in ("benchmark", "weights")
        ):
            msg = f"{file}: does not name its benchmark, weights and source; run the same remot evaluate again"
            raise ConfigError(msg)
        data = content.get("data")
        return cls(folder, content["benchmark"], content["weights"], source, str(data or source.get("data")))

    def prompts(self, data: Path | None, media: Path | None) -> "list[BenchmarkPrompt]":
        """The benchmark's prompts, read again: their texts and media are the user's, not those of the folder."""
        from remot.evaluation.benchmarks import benchmark_class
        from remot.evaluation.benchmarks.base import BenchmarkOptions

        named = {key: value for key, value in self.source.items() if isinstance(value, str)}
        num_frames = self.source.get("num_frames")
        folder = media or (Path(named["media"]) if "media" in named else None)
        options = BenchmarkOptions(folder, num_frames if isinstance(num_frames, int) else None, named.get("split"))
        return benchmark_class(self.benchmark)(options).read(data or Path(named.get("data", "")))

    def verdicts(self, prompts: "list[BenchmarkPrompt]") -> "dict[str, Verdict]":
        """The verdicts by prompt."""
        from remot.evaluation.benchmarks.pages import recorded_verdicts
        from remot.evaluation.benchmarks.report import ANSWERS_FILE

        found = recorded_verdicts(self.folder / ANSWERS_FILE, prompts)
        return {one.prompt.prompt_id: one for one in found}


def _cards(
    prompt_ids: list[str], verdicts: "list[dict[str, Verdict]]", names: list[str], benchmark: str
) -> "Iterator[Card]":
    from remot.evaluation.benchmarks.pages import verdict_card
    from remot.viewer import side_by_side

    for name in prompt_ids:
        cards = [verdict_card(found[name], benchmark) for found in verdicts]
        yield cards[0] if len(cards) == 1 else side_by_side(cards[0], cards[1], (names[0], names[1]))
