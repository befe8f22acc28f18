"""A comparison as a rich table, as JSON and as markdown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from remot.evaluation.estimates import LESS_IS_BETTER, format_estimate
from remot.strict_json import json_text
from remot.terminal import printable
from remot.tracking.compare import SHOWN_METRICS, CompareTable
from remot.tracking.groups import GroupRow, RunRow, Spread, differing_values, short_names
from remot.tracking.significance import NO_TESTS, DualRow, MetricTest, Significance

Cells = list[str]
_FOLDED_COLUMNS = ("run", "strategy", "base model", "setting")
_TEXT_COLUMNS = (*_FOLDED_COLUMNS, "state", "compared", "metric", "unit", "kind")
_NUM_FIRST_COLUMNS = 4  # of the groups, before the settings in which they differ
_SPARED_COLUMNS = (
    *("GiB", "tokens", "base model", "min", "format", "steps", "logic", "cut off greedy", "overall"),
    *("questions", "McNemar", "unit", "p"),
)
#: Columns of scores that runs do not have.
NUM_HEADS = 4
_Score = TypeVar("_Score", float, Spread)


def to_json(table: CompareTable, tests: Significance = NO_TESTS) -> str:
    """``{"experiment": …, "runs": […], "groups": […], …}``; numbers that are not known are null."""
    plain = ("run_id", "name", "status", "strategy", "base_model", "seed", "steps", "minutes")
    runs = [
        {name: getattr(run, name) for name in plain}
        | {"finished": run.is_finished, "cost": dict(run.cost), "base": dict(run.base), "final": dict(run.final)}
        | {"change": dict(run.change), "group": table.group_number(run)}
        for run in table.runs
    ]
    record = {
        "experiment": table.experiment,
        "runs": runs,
        "groups": [_group_record(number, row) for number, row in enumerate(table.groups, 1)],
        "differences": differing_values(table.groups),
        "changes": [_test_record(one) for one in tests.changes],
        "contrasts": [_test_record(one) for one in tests.contrasts],
        "notes": list(tests.notes),
    }
    if tests.dual:
        record["dual_tuning"] = [_dual_record(one) for one in tests.dual]
    return json_text(record, indent=2, ensure_ascii=True)


def _test_record(one: MetricTest) -> dict[str, Any]:
    difference, estimate = one.difference, one.difference.estimate
    exact = difference.mcnemar
    return {
        "first": one.first,
        "second": one.second,
        "metric": one.metric,
        "difference": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "unit": difference.unit,
        "num_questions": difference.num_questions,
        "p": difference.p_value,
        "p_holm": one.corrected,
        "differs": one.differs,
        "mcnemar": None
        if exact is None
        else {"lost": exact.lost, "won": exact.won, "p": exact.p_value, "p_holm": one.corrected_mcnemar},
    }


def _dual_record(one: DualRow) -> dict[str, Any]:
    parts = {"gain": one.gain, "gain_direct": one.gain_direct, "gap": one.gap}
    numbers = {
        name: {"mean": part.estimate.mean, "low": part.estimate.low, "high": part.estimate.high, "unit": part.unit}
        for name, part in parts.items()
    }
    return {
        "metric": one.metric,
        "num_questions": one.gap.num_questions,
        **numbers,
        "kind": one.kind,
        "shown": one.is_shown,
    }


def _group_record(number: int, row: GroupRow) -> dict[str, Any]:
    record: dict[str, Any] = {
        "group": number,
        "strategy": row.shared("strategy"),
        "base_model": row.shared("base_model"),
        "steps": row.runs[0].steps if len({run.steps for run in row.runs}) == 1 else None,
        "settings": dict(row.settings),
        "configured": row.is_configured,
        "num_settings": row.num_settings,
        "num_runs": row.num_runs,
        "seeds": list(row.seeds),
        "run_ids": [run.run_id for run in row.runs],
        "run_names": [run.name for run in row.runs],
    }
    for name in ("base", "final", "change"):
        spreads = getattr(row, name)
        record[name] = {key: {"mean": spread.mean, "std": spread.std} for key, spread in spreads.items()}
    return record


def _shown(scores: Sequence[Mapping[str, object]]) -> list[str]:
    """Scores that have a column; of benchmarks that have none of a run's, such as one's own questions, the first."""
    found = [name for name in SHOWN_METRICS if any(name in one for one in scores)]
    if any(not name.startswith("cut_off") for name in found):
        return found
    others = dict.fromkeys(name for one in scores for name in one if "/" not in name)
    heads = [name for name in others if name not in (*SHOWN_METRICS, *LESS_IS_BETTER, "unparsed")]
    return [*heads[:NUM_HEADS], *found]


def run_cells(table: CompareTable) -> tuple[Cells, list[Cells]]:
    """Header and one row of text per run."""
    metrics = _shown([scores for run in table.runs for scores in (run.base, run.final)])
    header = [
        "run",
        "group",
        "strategy",
        "base model",
        "seed",
        "steps",
        *map(_words, metrics),
        "change",
        "min",
        "tokens",
        "GiB",
        "state",
    ]
    return header, [
        [
            *(
                run.name,
                _or_dash(table.group_number(run)),
                run.strategy,
                run.base_model,
                _or_dash(run.seed),
                _or_dash(run.steps),
            ),
            *(_arrow(run.base, run.final, name, "{:.2f}".format) for name in metrics),
            f"{run.change['partial']:+.3f}" if "partial" in run.change else "–",
            "–" if run.minutes is None else f"{run.minutes:.1f}",
            _cost(run, "sampled_tokens", "{:,.0f}".format),
            _cost(run, "peak_memory_gib", "{:.1f}".format),
            "not evaluated" if run.status == "FINISHED" and not run.is_finished else run.status.lower(),
        ]
        for run in table.runs
    ]


def _cost(run: RunRow, name: str, text: Callable[[float], str]) -> str:
    return text(run.cost[name]) if name in run.cost else "–"


def _words(name: str) -> str:
    return name.replace("_", " ").replace("/", " ")


def group_cells(table: CompareTable) -> tuple[Cells, list[Cells]]:
    """Header and one row of text per group of runs, with a column for each setting in which groups differ."""
    metrics = _shown([spreads for row in table.groups for spreads in (row.base, row.final)])
    names = setting_names(table)
    pooled = ["settings"] if table.by else []
    header = [
        "group",
        "strategy",
        "base model",
        "steps",
        *names.values(),
        "runs",
        *pooled,
        *map(_words, metrics),
        "change",
    ]
    return header, [
        [
            *(str(number), *(row.shared(name) for name in ("strategy", "base_model", "steps"))),
            *(shown_setting(row, key) for key in names),
            *(str(row.num_runs), *([str(row.num_settings)] if table.by else [])),
            *(_arrow(row.base, row.final, name, _plus_minus) for name in metrics),
            _plus_minus(row.change["partial"], sign="+") if "partial" in row.change else "–",
        ]
        for number, row in enumerate(table.groups, 1)
    ]


def setting_names(table: CompareTable) -> dict[str, str]:
    """The settings in which groups differ, each with the short name that columns and plots show."""
    keys = list(table.groups[0].settings) if table.groups else []
    unconfigured = {"": "configuration"} if any(not row.is_configured for row in table.groups) else {}
    return short_names(keys) | unconfigured


def shown_setting(row: GroupRow, key: str) -> str:
    """The value of a setting, a class without its modules; key "" is set if a configuration is stored at all."""
    if not key:
        return "stored" if row.is_configured else "not stored"
    value = row.settings[key]
    return value.rpartition(".")[2] if key.endswith("class_path") and " → " not in value else value


def significance_cells(tests: Sequence[MetricTest]) -> tuple[Cells, list[Cells]]:
    """Header and one row of text per test."""
    header = ["compared", "metric", "difference", "p", "p Holm", "differs", "McNemar", "unit", "questions"]
    rows = [
        [
            f"{one.first} → {one.second}",
            _words(one.metric),
            format_estimate(one.difference.estimate, signed=True),
            p_text(one.difference.p_value),
            p_text(one.corrected),
            {True: "yes", False: "not shown", None: "–"}[one.differs],
            mcnemar_text(one),
            one.difference.unit,
            str(one.difference.num_questions),
        ]
        for one in tests
    ]
    return header, rows


def dual_cells(rows: Sequence[DualRow]) -> tuple[Cells, list[Cells]]:
    """Header and one row of text per score."""
    header = ["metric", "gain", "gain without reasoning", "gap", "kind", "shown", "unit", "questions"]
    return header, [
        [
            _words(one.metric),
            *(format_estimate(part.estimate, signed=True) for part in (one.gain, one.gain_direct, one.gap)),
            one.kind,
            "yes" if one.is_shown else "no",
            one.gap.unit,
            str(one.gap.num_questions),
        ]
        for one in rows
    ]


def p_text(p_value: float) -> str:
    """Two digits; a dash where there is none."""
    if p_value != p_value:
        return "–"
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def mcnemar_text(one: MetricTest) -> str:
    """Questions lost and won, and the corrected p-value."""
    found = one.difference.mcnemar
    return "–" if found is None else f"-{found.lost} +{found.won}, {p_text(one.corrected_mcnemar)}"


def difference_cells(table: CompareTable) -> tuple[Cells, list[Cells]]:
    """Header and one row of text per setting that differs between groups."""
    numbers = [f"group {number}" for number in range(1, len(table.groups) + 1)]
    return ["setting", *numbers], [[key, *values] for key, values in differing_values(table.groups).items()]


def _or_dash(value: int | None) -> str:
    return "–" if value is None else str(value)


def _plus_minus(spread: Spread, *, sign: str = "") -> str:
    return f"{spread.mean:{sign}.2f}" + ("" if spread.std is None else f"±{spread.std:.2f}")


def _arrow(base: Mapping[str, _Score], final: Mapping[str, _Score], name: str, text: Callable[[_Score], str]) -> str:
    """``0.41 → 0.62``, a dash for a side that is missing."""
    sides = [text(scores[name]) if name in scores else "–" for scores in (base, final)]
    return " → ".join(sides) if name in base or name in final else "–"


CHANGES_TITLE = "base → trained: is the change more than chance? p-values by Holm over this table"
CONTRASTS_TITLE = "groups: is the difference after training more than chance? p-values by Holm over this table"
DUAL_TITLE = "reasoning: gain is trained - base, gap is with reasoning - without, after training"
DIFFERENCES_TITLE = "configuration: what differs"


def sections_of(table: CompareTable, tests: Significance) -> list[tuple[str, tuple[Cells, list[Cells]]]]:
    """The runs, the groups that are averaged, what differs between them where columns do not show it, the tests."""
    named = f"experiment {table.experiment}" if table.experiment else "runs in folders"
    sections = [(f"{named}: base → trained, change of partial", run_cells(table))]
    if table.groups and not table.is_run_by_run:
        sections.append((groups_title(table), group_cells(table)))
    if table.by and (differences := difference_cells(table))[1]:
        sections.append((DIFFERENCES_TITLE, differences))
    tested = {CHANGES_TITLE: tests.changes, CONTRASTS_TITLE: tests.contrasts}
    dual = [(DUAL_TITLE, dual_cells(tests.dual))] if tests.dual else []
    return [*sections, *((title, significance_cells(rows)) for title, rows in tested.items() if rows), *dual]


def groups_title(table: CompareTable) -> str:
    """What the groups are."""
    title = "groups: mean ± standard deviation over runs that differ in their seed alone"
    if table.by:
        num_settings = sum(row.num_settings for row in table.groups)
        title = (
            f"groups by {', '.join(table.by)} alone: mean ± standard deviation over runs, "
            f"{num_settings} settings pooled into {len(table.groups)} groups"
        )
    return title


def to_rich(table: CompareTable, width: int, tests: Significance = NO_TESTS) -> Group:
    """Tables for a terminal of ``width`` characters; JSON and markdown hold the columns that do not fit."""
    tables = [_rich_table(title, cells, width) for title, cells in sections_of(table, tests)]
    return Group(*tables, *(Text(printable(note)) for note in tests.notes))


def _rich_table(title: str, cells_of_all: tuple[Cells, list[Cells]], width: int) -> Table:
    header, rows = _fitting(*cells_of_all, width)
    missing = [name for name in cells_of_all[0] if name not in header and name not in _SPARED_COLUMNS]
    note = Text(printable(f"too narrow for {', '.join(missing)}: see --format json")) if missing else None
    rich = Table(title=Text(printable(title)), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    rich.caption, rich.caption_justify = note, "left"
    for column, *cells in zip(header, *rows, strict=True):
        justify: Literal["left", "right"] = "left" if column in _TEXT_COLUMNS else "right"
        rich.add_column(column, justify=justify, overflow="fold", min_width=_least_width(column, cells))
    for row in rows:
        rich.add_row(*(Text(printable(cell)) for cell in row))
    return rich


def _least_width(column: str, cells: Cells) -> int:
    """Names may be broken anywhere, everything else at spaces only."""
    longest = max(len(word) for cell in (column, *cells) for word in cell.replace(" →", "_→").split() or [""])
    return min(longest, 8) if column in _FOLDED_COLUMNS else longest


def _fitting(header: Cells, rows: list[Cells], width: int) -> tuple[Cells, list[Cells]]:
    """Without the columns that can best be spared, until the others fit."""
    kept = list(range(len(header)))
    widths = [_least_width(column, cells) + 2 for column, *cells in zip(header, *rows, strict=True)]
    settings = header[_NUM_FIRST_COLUMNS : header.index("runs")] if "runs" in header else []
    for spared in (*_SPARED_COLUMNS, *reversed(settings)):
        if spared in header and sum(widths[i] for i in kept) + 2 >= width:
            kept.remove(header.index(spared))
    return [header[i] for i in kept], [[row[i] for i in kept] for row in rows]


def to_markdown(table: CompareTable, tests: Significance = NO_TESTS) -> str:
    """Tables for a README."""

    def row(cells: Cells) -> str:
        plain = (" ".join(printable(cell).split()).replace("|", "\\|") for cell in cells)
        return f"| {' | '.join(plain)} |"

    tables = [
        "\n".join(map(row, [header, ["---"] * len(header), *rows])) for _, (header, rows) in sections_of(table, tests)
    ]
    return "\n\n".join([*tables, *map(printable, tests.notes)])
