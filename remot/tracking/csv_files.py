"""The comparison as CSV: a line for each run, and beside it a line for each test."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remot.files import write_whole
from remot.terminal import printable
from remot.tracking.compare import CompareTable
from remot.tracking.groups import differing_keys
from remot.tracking.significance import MetricTest, Significance


def write_csv(table: CompareTable, tests: Significance, file: Path) -> list[Path]:
    """Write ``NAME.csv`` and, if there are tests, ``NAME_tests.csv``; returns what was written."""
    settings = differing_keys(run for run in table.runs if run.is_finished)
    plain = ("name", "run_id", "status", "strategy", "base_model", "seed", "steps", "minutes")
    runs = []
    for run in table.runs:
        line: dict[str, Any] = {"group": table.group_number(run)} | {name: getattr(run, name) for name in plain}
        line |= {key: run.value(key) for key in settings}
        line |= {f"cost/{name}": value for name, value in run.cost.items()}
        line |= {f"base/{name}": value for name, value in run.base.items()}
        runs.append(line | {f"final/{name}": value for name, value in run.final.items()})
    written = [_write(file, runs)]
    lines = [_test_line(one) for one in (*tests.changes, *tests.contrasts)]
    return [*written, _write(file.with_stem(f"{file.stem}_tests"), lines)] if lines else written


def _test_line(one: MetricTest) -> dict[str, Any]:
    difference, exact = one.difference, one.difference.mcnemar
    return {
        "first": one.first,
        "second": one.second,
        "metric": one.metric,
        "difference": difference.estimate.mean,
        "low": difference.estimate.low,
        "high": difference.estimate.high,
        "p": difference.p_value,
        "p_holm": one.corrected,
        "unit": difference.unit,
        "questions": difference.num_questions,
        "lost": None if exact is None else exact.lost,
        "won": None if exact is None else exact.won,
        "p_mcnemar": None if exact is None else exact.p_value,
        "p_mcnemar_holm": None if exact is None else one.corrected_mcnemar,
    }


def _write(file: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
    write_whole(file, text.getvalue())
    return file


def _cell(value: Any) -> Any:  # noqa: ANN401 (of any column)
    """Nothing for what is not known; a text that a spreadsheet would take for a formula behind an apostrophe."""
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        text = printable(value)
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return value
