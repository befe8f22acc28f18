"""The comparison as one self-contained page: no scripts, no network, light and dark, narrow and wide."""

import math
from collections.abc import Sequence

import numpy as np

from remot.evaluation.answer_table import GREEDY
from remot.evaluation.estimates import LESS_IS_BETTER
from remot.terminal import printable_html
from remot.tracking.compare import REWARD_CURVE, CompareTable
from remot.tracking.groups import RunRow
from remot.tracking.plot import running_mean
from remot.tracking.render import (
    CHANGES_TITLE,
    CONTRASTS_TITLE,
    DIFFERENCES_TITLE,
    DUAL_TITLE,
    Cells,
    difference_cells,
    dual_cells,
    group_cells,
    groups_title,
    run_cells,
    setting_names,
    shown_setting,
    significance_cells,
)
from remot.tracking.significance import MetricTest, Significance
from remot.tracking.svg import NUM_COLOURS, Line, interval_bar, line_chart

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root{color-scheme:light dark;--fg:#1c2024;--bg:#fff;--soft:#5f6872;--rule:#d5d9dd;--band:#f4f6f8;
--good:#18794e;--bad:#b42318;--s0:#0072b2;--s1:#d55e00;--s2:#009e73;--s3:#b0509a;--s4:#b07c00;--s5:#3a93c8;--s6:#5f6872}
@media(prefers-color-scheme:dark){:root{--fg:#e6e9ec;--bg:#15181b;--soft:#9aa4ae;--rule:#363c42;--band:#1e2327;
--good:#4cc38a;--bad:#ff8a7a;--s0:#56b4e9;--s1:#ff8c3b;--s2:#2fc99a;--s3:#e09ac4;--s4:#e6b84a;--s5:#8fd0f5;--s6:#aab3bc}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:76rem;padding:1.2rem 1rem 3rem;
color:var(--fg);background:var(--bg)}
h1{font-size:1.45rem;margin:.2rem 0;overflow-wrap:anywhere}h2{font-size:1.08rem;margin:2rem 0 .5rem}
p{margin:.4rem 0;max-width:60rem;overflow-wrap:anywhere}.soft,figcaption{color:var(--soft)}
.scroll{overflow-x:auto;border:1px solid var(--rule);border-radius:6px}
table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:.3rem .6rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th{font-weight:600;background:var(--band)}tr:last-child td{border-bottom:0}
td.text,th.text{text-align:left}td.long{white-space:normal;overflow-wrap:anywhere;min-width:9rem}
.better{color:var(--good);font-weight:600}.worse{color:var(--bad);font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}
figure{margin:0}figcaption{font-size:13px}svg{display:block;width:100%;height:auto}
svg text{font:13px system-ui,sans-serif;fill:var(--soft)}.grid{stroke:var(--rule)}
polyline{fill:none;stroke-width:2.2;stroke-linejoin:round}.faint{stroke-width:1;opacity:.3}
svg.bar{width:160px;height:18px}.zero{stroke:var(--soft);stroke-dasharray:2 2}.span{stroke:var(--s0);stroke-width:2.5}
circle{fill:var(--s0)}
.legend{list-style:none;padding:0;margin:.4rem 0;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:13px}
.legend i{display:inline-block;width:1.1rem;height:.25rem;margin-right:.4rem;vertical-align:middle;border-radius:2px}
"""
_COST_NOTE = (
    "min: wall time with both evaluations; tokens: sampled in training; GiB: peak memory, of the GPU if there is one; "
    "–: not logged."
)
_TEXT_COLUMNS = (
    "run",
    "strategy",
    "base model",
    "state",
    "compared",
    "metric",
    "unit",
    "setting",
    "differs",
    "kind",
    "shown",
)
_LONG_COLUMNS = ("base model", "setting")


def report_html(table: CompareTable, tests: Significance) -> str:
    """The page as one string."""
    title = printable_html(f"Comparison of {table.experiment}" if table.experiment else "Comparison")
    finished = sum(run.is_finished for run in table.runs)
    counts = f"{len(table.runs)} runs, {finished} of them finished and evaluated, {len(table.groups)} groups"
    runs = _section("runs and what they cost", _table(*run_cells(table))) + f"<p class=soft>{_COST_NOTE}</p>"
    parts = [
        f"<p class=soft>{counts}</p>",
        # where each run is a group, the runs' table names the groups
        runs if table.is_run_by_run else _section(groups_title(table), _table(*group_cells(table))),
        _section(DIFFERENCES_TITLE, _table(*difference_cells(table)) if difference_cells(table)[1] else ""),
        _section(CHANGES_TITLE, _tests(tests.changes)),
        _section(CONTRASTS_TITLE, _tests(tests.contrasts)),
        _section(DUAL_TITLE, _table(*dual_cells(tests.dual)) if tests.dual else ""),
        "".join(f"<p class=soft>{printable_html(note)}</p>" for note in tests.notes),
        _section("learning curves", _curves(table)),
        "" if table.is_run_by_run else runs,
    ]
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>{''.join(parts)}</body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{printable_html(title[:1].upper() + title[1:])}</h2>{body}</section>" if body else ""


def _table(header: Cells, rows: Sequence[Cells]) -> str:
    return _html_table(header, [[printable_html(cell) for cell in row] for row in rows])


def _html_table(header: Cells, rows: Sequence[Cells]) -> str:
    """Cells of ``rows`` are HTML."""
    kinds = [("text" if name in _TEXT_COLUMNS else "") + (" long" if name in _LONG_COLUMNS else "") for name in header]

    def row_of(tag: str, cells: Cells) -> str:
        pairs = zip(cells, kinds, strict=True)
        held = [(cell.replace(".", ".<wbr>") if "long" in kind else cell, kind) for cell, kind in pairs]
        marked = (f'<{tag} class="{kind}">{cell}</{tag}>' for cell, kind in held)
        return f"<tr>{''.join(marked)}</tr>"

    head = row_of("th", [printable_html(name) for name in header])
    body = "".join(row_of("td", row) for row in rows)
    return f"<div class=scroll><table><thead>{head}</thead><tbody>{body}</tbody></table></div>"


def _tests(tests: Sequence[MetricTest]) -> str:
    """The tests as a table, each with its interval drawn on one scale; "" if there are none."""
    if not tests:
        return ""
    estimates = [one.difference.estimate for one in tests]
    ends = [abs(end) for one in estimates for end in (one.mean, one.low, one.high) if math.isfinite(end)]
    reach = max(ends, default=1.0)
    header, rows = significance_cells(tests)
    place = header.index("difference") + 1
    drawn = []
    for one, row in zip(tests, rows, strict=True):
        cells = [printable_html(cell) for cell in row]
        estimate = one.difference.estimate
        if one.differs:
            is_better = (estimate.mean < 0) == (one.metric.removesuffix(GREEDY) in LESS_IS_BETTER)
            where = header.index("differs")
            cells[where] = f'<span class="{"better" if is_better else "worse"}">{cells[where]}</span>'
        cells.insert(place, interval_bar(estimate.mean, estimate.low, estimate.high, reach))
        drawn.append(cells)
    return _html_table([*header[:place], f"-{reach:.2f} … +{reach:.2f}", *header[place:]], drawn)


def _curves(table: CompareTable) -> str:
    """A chart for each metric that runs have logged, a colour for each group; "" if there are none."""
    names = dict.fromkeys([REWARD_CURVE, *(name for run in table.runs for name in run.curves)])
    charts = [(name, _chart(table, name)) for name in names]
    figures = "".join(
        f"<figure>{chart}<figcaption>{printable_html(name)}</figcaption></figure>" for name, chart in charts if chart
    )
    return f"{_legend(table)}<div class=charts>{figures}</div>" if figures else ""


def _chart(table: CompareTable, name: str) -> str:
    """Each run's values, faint, and their running mean."""
    lines: list[Line] = []
    for run in table.runs:
        points = run.curve if name == REWARD_CURVE else run.curves.get(name, ())
        if len(points) > 1:
            steps, values = (np.array(column, dtype=float) for column in zip(*points, strict=True))
            mean = list(zip(steps.tolist(), running_mean(values).tolist(), strict=True))
            lines += [Line(points, _colour(table, run), is_faint=True), Line(mean, _colour(table, run))]
    return line_chart([*(one for one in lines if one.is_faint), *(one for one in lines if not one.is_faint)], "step")


def _colour(table: CompareTable, run: RunRow) -> int:
    number = table.group_number(run)
    return NUM_COLOURS - 1 if number is None else (number - 1) % (NUM_COLOURS - 1)


def _legend(table: CompareTable) -> str:
    """Groups by their colours; runs in no group have the last one."""
    names = {key: name for key, name in setting_names(table).items() if name != "name"}
    entries = []
    for number, group in enumerate(table.groups):
        settings = [f"{name} {shown_setting(group, key)}" for key, name in names.items()]
        words = [group.runs[0].name] if table.is_run_by_run else [group.shared("strategy"), *settings]
        entries.append((number % (NUM_COLOURS - 1), f"{number + 1}: {', '.join(words)}"))
    if any(table.group_number(run) is None for run in table.runs):
        entries.append((NUM_COLOURS - 1, "not finished"))
    items = "".join(
        f'<li><i style="background:var(--s{colour})"></i>{printable_html(words)}</li>' for colour, words in entries
    )
    return f"<ul class=legend>{items}</ul>"
