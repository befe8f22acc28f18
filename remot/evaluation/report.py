"""Score tables for people, for MLflow and for JSON."""

import math
import re
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from remot.evaluation.scores import Estimate, ScoreTable, change_between

#: Width of tables where nothing limits it, in characters.
NUM_COLUMNS = 120

#: A pair of tables, before and after training.
TablePair = tuple[ScoreTable, ScoreTable]


def format_estimate(estimate: Estimate, *, signed: bool = False) -> str:
    """``0.412 [0.38, 0.45]``; without the brackets if there is no interval, a dash if there is no value."""
    if math.isnan(estimate.mean):
        return "–"
    sign = "+" if signed else ""
    mean = f"{estimate.mean:{sign}.3f}"
    return mean if math.isnan(estimate.low) else f"{mean} [{estimate.low:{sign}.2f}, {estimate.high:{sign}.2f}]"


def printable(text: str) -> str:
    """Text from anywhere without the control characters that could take over a terminal; line ends and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def render_comparison(base: ScoreTable, final: ScoreTable, *, greedy: TablePair | None = None) -> Table:
    """The table *base → trained*, one row a metric, each with its 95 % interval over scenes.

    Args:
        base: Sampled scores before training.
        final: Sampled scores after training.
        greedy: The same two decoded greedily; adds rows below.
    """
    table = Table(title="base → trained", caption=_caption(final), title_justify="left", caption_justify="left")
    table.add_column("metric", overflow="fold")  # never cut: names differ in their ends
    for column in ("base", "trained", "change"):
        table.add_column(column, justify="right", no_wrap=True)
    _add_rows(table, "", (base, final))
    if greedy is not None:
        table.add_section()
        _add_rows(table, " (greedy)", greedy)
    return table


def _caption(table: ScoreTable) -> str:
    return (
        f"{table.num_completions} completions of {table.num_prompts} prompts from {len(table.scenes)} scenes; "
        "95 % intervals over scenes, the change's is paired"
    )


def _add_rows(table: Table, suffix: str, pair: TablePair) -> None:
    before, after = (one.estimates() for one in pair)
    for name, change in change_between(*pair).items():
        colour = "" if math.isnan(change.low) or change.low <= 0 <= change.high else ("green", "red")[change.high < 0]
        table.add_row(
            Text(_label(name) + suffix),
            format_estimate(before[name]),
            format_estimate(after[name]),
            Text(format_estimate(change, signed=True), style=colour),
        )


def _label(name: str) -> str:
    if name.startswith("task/"):
        return "success of all tasks" if name == "task/success" else name.removeprefix("task/").replace("/", " ")
    return name.removeprefix("attribute/").removesuffix("/partial") if "/" in name else name


def wide_console() -> Console:
    """A console for tables: as wide as the terminal, and wide enough for them where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=NUM_COLUMNS)


def table_text(table: Table, *, width: int = NUM_COLUMNS) -> str:
    """A rich table as plain text without colours, for files."""
    buffer = StringIO()
    Console(file=buffer, width=width, force_terminal=False, color_system=None).print(table)
    return buffer.getvalue()


def as_metrics(table: ScoreTable, prefix: str, *, suffix: str = "") -> dict[str, float]:
    """Flat metrics in 0–1 under keys MLflow takes: ``PREFIX/partialSUFFIX``, ``PREFIX/attribute/NAME/partialSUFFIX``.

    Args:
        table: Scores.
        prefix: Such as ``eval/base``.
        suffix: Such as ``_greedy``.

    Returns:
        Means; scores that do not apply to this split are left out.
    """
    means = {name: estimate.mean for name, estimate in table.estimates().items()}
    return {
        re.sub(r"[^\w/. -]+", "_", f"{prefix}/{name}{suffix}", flags=re.ASCII): mean
        for name, mean in means.items()
        if not math.isnan(mean)
    }


def comparison_record(base: ScoreTable, final: ScoreTable, *, greedy: TablePair | None = None) -> dict[str, object]:
    """What :func:`render_comparison` shows, as JSON-ready numbers (None for what is not known)."""
    record: dict[str, object] = {"sampled": _pair_record((base, final))}
    if greedy is not None:
        record["greedy"] = _pair_record(greedy)
    return record | {
        "num_scenes": len(final.scenes),
        "num_prompts": final.num_prompts,
        "num_completions": final.num_completions,
    }


def _pair_record(pair: TablePair) -> dict[str, dict[str, dict[str, float | None]]]:
    before, after = (one.estimates() for one in pair)
    changes = change_between(*pair)
    return {
        name: {"base": _numbers(before[name]), "trained": _numbers(after[name]), "change": _numbers(change)}
        for name, change in changes.items()
    }


def _numbers(estimate: Estimate) -> dict[str, float | None]:
    named = {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
    return {name: None if math.isnan(number) else number for name, number in named.items()}
