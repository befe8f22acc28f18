"""``remot score``."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from remot.commands.parsing.config_files import Configs, named, read_configs
from remot.errors import AnnotationError, ConfigError
from remot.strict_json import json_text
from remot.terminal import console, write_err, write_out

if TYPE_CHECKING:
    from remot.rewards import Reward
    from remot.rewards.offline import OfflineRow

#: Rows that are scored together, at least.
CHUNK_ROWS = 256
EXIT_NOTHING_SCORED = 1


def score_command(
    config: list[Path],
    input: Path,  # noqa: A002 (the name of the option)
    on_bad_line: Literal["raise", "skip"] = "raise",
) -> None:
    """Score completions you already have: one JSON line with total, parts and success for each.

    Rows with the same id, one after another, are the completions of one prompt. A part that is null is not applicable.
    Exit status 1 if no line could be scored.

    Args:
        config: Configuration of a GRPO run, such as configs/systems/spacer.yaml, or one with a score section alone.
            Given more than once, the later files count.
        input: JSON lines of {"task": …, "completion": …, "reference": {…}}; see docs/rewards.md.
        on_bad_line: Stop at a bad line, or name it, leave it out and count it.
    """
    reward = reward_from(config)
    tally = _Tally(raise_bad=on_bad_line == "raise")
    with _Progress(input) as show:
        for rows in _chunks(tally.good(input)):
            for row, record in tally.scored(reward, rows):
                write_out(json_text(record, ensure_ascii=True) + "\n")
                show(row.line)
    write_err(f"{tally}\n")
    if not tally.num_scored:
        sys.exit(EXIT_NOTHING_SCORED)


def reward_from(config: Configs) -> "Reward":
    """The reward of a configuration's ``score.reward``, else of its ``model.grpo.reward``.

    Raises:
        ConfigError: If the file cannot be read, has neither, or a key or value does not fit.
    """
    from remot.commands.parsing.functions import OwnParser, instantiated
    from remot.rewards import Reward

    parser = OwnParser(prog="remot score")
    parser.add_argument("--reward", type=Reward)
    reward: Reward = instantiated(parser, parser.parse_object({"reward": _reward_section(config)})).reward
    return reward


def _reward_section(config: Configs) -> Any:  # noqa: ANN401 (YAML)
    content = read_configs(config)
    for path in (("score", "reward"), ("model", "grpo", "reward")):
        section: Any = content
        for key in path:
            section = section.get(key) if isinstance(section, dict) else None
        if section is not None:
            return section
    msg = f"{named(config)} names no reward: it has neither score.reward nor model.grpo.reward; see configs/systems"
    raise ConfigError(msg)


class _Tally:
    """What became of the lines."""

    def __init__(self, *, raise_bad: bool) -> None:
        self.raise_bad = raise_bad
        self.num_scored = self.num_bad = self.num_successes = 0
        self.totals = 0.0
        self.num_totals = 0

    def good(self, file: Path) -> "Iterator[OfflineRow]":
        """The rows that can be read."""
        from remot.rewards.offline import read_rows

        for row in read_rows(file):
            if isinstance(row, AnnotationError):
                self.bad(row)
            else:
                yield row

    def bad(self, error: AnnotationError) -> None:
        """Raise the error, or name it and go on."""
        if self.raise_bad:
            raise error
        write_err(f"remot: {error}\n")
        self.num_bad += 1

    def scored(self, reward: "Reward", rows: "Sequence[OfflineRow]") -> "Iterator[tuple[OfflineRow, dict[str, Any]]]":
        """Rows of some groups and what they are worth; groups without a reward are bad lines."""
        try:
            records = _records(reward, rows)
        except ConfigError as error:
            groups = [list(group) for _, group in groupby(rows, key=_group_of)]
            if len(groups) > 1:
                for group in groups:
                    yield from self.scored(reward, group)
            else:
                for row in rows:
                    self.bad(AnnotationError(f"{row.where}: {error}"))
            return
        for row, record in zip(rows, records, strict=True):
            self.num_scored += 1
            self.num_successes += record["success"] is True
            if record["total"] is not None:
                self.totals += record["total"]
                self.num_totals += 1
            yield row, record

    def __str__(self) -> str:
        mean = self.totals / self.num_totals if self.num_totals else math.nan
        bad = f", {self.num_bad} bad lines left out" if self.num_bad else ""
        return f"{self.num_scored} lines scored: mean total {mean:.4f}, {self.num_successes} successes{bad}"


def _group_of(row: "OfflineRow") -> tuple[str, str]:
    """What the completions of one prompt share."""
    return row.question.prompt_id, row.question.task


def _chunks(rows: "Iterator[OfflineRow]") -> "Iterator[list[OfflineRow]]":
    """Lists of at least so many rows, a group never split."""
    chunk: list[OfflineRow] = []
    for _, group in groupby(rows, key=_group_of):
        chunk += group
        if len(chunk) >= CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _records(reward: "Reward", rows: "Sequence[OfflineRow]") -> list[dict[str, Any]]:
    from remot.rewards.base import scored_by

    output = scored_by(reward, [row.completion for row in rows], [row.question for row in rows], None)
    columns = {name: part.tolist() for name, part in output.parts.items()}
    return [
        {
            "line": row.line,
            "task": row.question.task,
            "total": _plain(total),
            "parts": {name: _plain(column[k]) for name, column in columns.items()},
            "success": success if judged else None,
        }
        for k, (row, total, success, judged) in enumerate(
            zip(rows, output.total.tolist(), output.success.tolist(), output.verdicts.tolist(), strict=True)
        )
    ]


def _plain(number: float) -> float | None:
    """``number`` without float32's last digits, None for "not applicable" and for what JSON cannot say."""
    return float(f"{number:.7g}") + 0.0 if math.isfinite(number) else None  # no negative zero


class _Progress:
    """A count of lines on the terminal's error stream; nothing where there is no terminal."""

    def __init__(self, file: Path) -> None:
        from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        columns = (SpinnerColumn(), TextColumn(f"scoring {file.name}"), MofNCompleteColumn())
        # Left to itself, the bar would write the standard output to the error stream as well.
        self.bar = Progress(*columns, console=console(stderr=True), transient=True, redirect_stdout=False)

    def __enter__(self) -> Callable[[int], None]:
        self.bar.__enter__()
        task = self.bar.add_task("scoring", total=None)
        return lambda line: self.bar.update(task, completed=line)

    def __exit__(self, *error: object) -> None:
        self.bar.stop()
