"""Score tables for people, for MLflow and for JSON."""

import math
import re
from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from remot.evaluation.estimates import LESS_IS_BETTER, Estimate, format_estimate
from remot.evaluation.scores import ScoreTable, change_between
from remot.structures import MIN_SCENES_FOR_95, interval_note
from remot.terminal import console, counted

#: Width of tables where nothing limits it, in characters.
NUM_COLUMNS = 120

GREEDY_SUFFIX = " (greedy)"
#: Share of completions cut off from which a table adds a note: from there it moves the second digit of a score.
NOTED_CUT_OFF = 0.01

#: A pair of tables, before and after training.
TablePair = tuple[ScoreTable, ScoreTable]


def render_comparison(
    base: ScoreTable, final: ScoreTable, *, greedy: TablePair | None = None, max_new_tokens: int | None = None
) -> Table:
    """The table *base → trained*, one row a metric, each with its 95 % interval over scenes.

    Args:
        base: Sampled scores before training.
        final: Sampled scores after training.
        greedy: The same two decoded greedily; adds rows below.
        max_new_tokens: The budget that completions were cut off at, for the caption.
    """
    intervals = "95 % intervals over scenes, the change's is paired"
    caption = _caption((base, final), greedy or (), intervals, max_new_tokens)
    table = _table("base → trained", ("base", "trained", "change", "scenes"), caption)
    _add_pairs(table, "", (base, final))
    if greedy is not None:
        table.add_section()
        _add_pairs(table, GREEDY_SUFFIX, greedy)
    return table


def render_scores(
    scores: ScoreTable, title: str, *, greedy: ScoreTable | None = None, max_new_tokens: int | None = None
) -> Table:
    """The table of one policy, the rows of :func:`render_comparison` with one column of scores."""
    others = () if greedy is None else (greedy,)
    table = _table(
        title, ("score", "scenes"), _caption((scores,), others, "95 % intervals over scenes", max_new_tokens)
    )
    for suffix, one in (("", scores), (GREEDY_SUFFIX, greedy)):
        if one is not None:
            table.add_section()
            for name, estimate in one.estimates().items():
                table.add_row(Text(_label(name) + suffix), format_estimate(estimate), str(estimate.num_scenes))
    return table


def _table(title: str, columns: Sequence[str], caption: str) -> Table:
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("metric", overflow="fold")  # never cut: names differ in their ends
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _caption(
    sampled: Sequence[ScoreTable], greedy: Sequence[ScoreTable], intervals: str, max_new_tokens: int | None
) -> str:
    """What the scores are of, then what keeps them from being read as they stand."""
    last = sampled[-1]
    budget = "" if max_new_tokens is None else f" of at most {max_new_tokens} new tokens"
    asked = f"{counted(last.num_prompts, 'prompt')} from {counted(len(last.scenes), 'scene')}"
    first = f"{counted(last.num_completions, 'completion')}{budget} for {asked}"
    has_intervals = len(last.scenes) >= 2
    lines = [f"{first}; {intervals}" if has_intervals else first]
    return "\n".join([*lines, *notes((*sampled, *greedy))])


def notes(tables: Sequence[ScoreTable]) -> list[str]:
    """What a reader of scores has to know: too few scenes for intervals, completions that were cut off."""
    last = tables[-1]
    lines = [interval_note(len(last.scenes))]
    contributing = [one.num_scenes for one in last.estimates().values() if one.num_scenes]
    if not lines[0] and min(contributing, default=MIN_SCENES_FOR_95) < MIN_SCENES_FOR_95:
        lines.append(f"intervals of rows with fewer than {MIN_SCENES_FOR_95} scenes hold less than 95 %")
    most = max((one.cut_off.mean for one in tables if not math.isnan(one.cut_off.mean)), default=0.0)
    if most >= NOTED_CUT_OFF:
        lines.append(f"up to {most:.0%} of the completions were cut off; raise model.evaluation.max_new_tokens")
    return [line for line in lines if line]


def _add_pairs(table: Table, suffix: str, pair: TablePair) -> None:
    before, after = (one.estimates() for one in pair)
    for name, change in change_between(*pair).items():
        is_clear = not math.isnan(change.low) and not change.low <= 0 <= change.high
        is_better = (change.high < 0) == (name in LESS_IS_BETTER)
        table.add_row(
            Text(_label(name) + suffix),
            format_estimate(before[name]),
            format_estimate(after[name]),
            Text(format_estimate(change, signed=True), style=("red", "green")[is_better] if is_clear else ""),
            str(change.num_scenes),
        )


def _label(name: str) -> str:
    if name.startswith("task/"):
        return "success of all tasks" if name == "task/success" else name.removeprefix("task/").replace("/", " ")
    return name.removeprefix("attribute/").removesuffix("/partial") if "/" in name else name.replace("_", " ")


def wide_console() -> Console:
    """A console for tables: as wide as the terminal, and wide enough for them where there is none."""
    plain = console()
    return plain if plain.is_terminal else console(width=NUM_COLUMNS)


def table_text(table: Table, *, width: int = NUM_COLUMNS) -> str:
    """A rich table as plain text without colours, for files."""
    buffer = StringIO()
    console(file=buffer, width=width, force_terminal=False, color_system=None).print(table)
    return buffer.getvalue()


def as_metrics(table: ScoreTable, prefix: str, *, suffix: str = "") -> dict[str, float]:
    """Flat metrics in 0–1 under keys MLflow takes: ``PREFIX/partialSUFFIX``, ``PREFIX/attribute/NAME/partialSUFFIX``.

    Returns:
        Means; scores that do not apply to this split are left out.
    """
    means = {name: estimate.mean for name, estimate in table.estimates().items()}
    return {
        re.sub(r"[^\w/. -]+", "_", f"{prefix}/{name}{suffix}", flags=re.ASCII): mean
        for name, mean in means.items()
        if not math.isnan(mean)
    }


def comparison_record(
    base: ScoreTable, final: ScoreTable, *, greedy: TablePair | None = None, max_new_tokens: int | None = None
) -> dict[str, object]:
    """What :func:`render_comparison` shows, as JSON-ready numbers (None for what is not known)."""
    record: dict[str, object] = {"sampled": _pair_record((base, final))}
    if greedy is not None:
        record["greedy"] = _pair_record(greedy)
    return record | _facts(final, (base, final, *(greedy or ())), max_new_tokens)


def scores_record(
    scores: ScoreTable, *, greedy: ScoreTable | None = None, max_new_tokens: int | None = None
) -> dict[str, object]:
    """What :func:`render_scores` shows, likewise."""
    tables = {"sampled": scores} | ({} if greedy is None else {"greedy": greedy})
    record: dict[str, object] = {
        kind: {name: _numbers(estimate) for name, estimate in table.estimates().items()}
        for kind, table in tables.items()
    }
    return record | _facts(scores, tuple(tables.values()), max_new_tokens)


def _facts(sampled: ScoreTable, tables: Sequence[ScoreTable], max_new_tokens: int | None) -> dict[str, object]:
    return {
        "num_scenes": len(sampled.scenes),
        "num_prompts": sampled.num_prompts,
        "num_completions": sampled.num_completions,
        "max_new_tokens": max_new_tokens,
        "notes": notes(tables),
    }


def _pair_record(pair: TablePair) -> dict[str, dict[str, dict[str, float | None]]]:
    before, after = (one.estimates() for one in pair)
    changes = change_between(*pair)
    return {
        name: {"base": _numbers(before[name]), "trained": _numbers(after[name]), "change": _numbers(change)}
        for name, change in changes.items()
    }


def _numbers(estimate: Estimate) -> dict[str, float | None]:
    """Mean and interval with None for what is not known, and how many scenes contribute."""
    named = {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
    known = {name: None if math.isnan(number) else number for name, number in named.items()}
    return known | {"num_scenes": estimate.num_scenes}
