"""``remot compare``."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, assert_never

from remot.errors import ConfigError, did_you_mean
from remot.files import cause_of, write_whole
from remot.terminal import console, write_err, write_out
from remot.tracking.client import DEFAULT_STORE
from remot.tracking.compare import RUN_BY_RUN, CompareTable, read_runs, table_of
from remot.tracking.csv_files import write_csv
from remot.tracking.dual_tuning import dual_rows
from remot.tracking.folders import folders_of, read_folder
from remot.tracking.groups import RunRow
from remot.tracking.html_report import report_html
from remot.tracking.plot import plot_comparison
from remot.tracking.render import to_json, to_markdown, to_rich
from remot.tracking.significance import Significance, significance

#: Width of tables that do not go to a terminal.
_FILE_WIDTH = 180

Format = Literal["table", "json", "markdown"]


def compare_command(  # noqa: PLR0913 (one argument per option)
    experiment: str | None = None,
    tracking_uri: str = DEFAULT_STORE,
    format: Format = "table",  # noqa: A002 (the name of the option)
    png: str | None = "compare.png",
    csv: Path | None = None,
    html: Path | None = None,
    by: list[str] | None = None,
    runs: list[str] | None = None,
    baseline: int = 1,
    metrics: list[str] | None = None,
    dual: list[int] | None = None,
) -> None:
    """Compare runs: one row a run, mean ± spread over seeds, tests on the same questions, learning curves and cost.

    Args:
        experiment: Name of an MLflow experiment, such as quickstart.
        tracking_uri: Where MLflow keeps its runs.
        format: What to write to the standard output.
        png: Where to save the plot; null for none.
        csv: Where to save a line for each run; the tests are saved beside it as NAME_tests.csv.
        html: Where to save one page with everything, which needs no other file and no network.
        by: Group by these settings alone and pool over everything else, such as ``--by lr``; by the whole
            configuration without the seed if left out.
        runs: Compare these alone, each by itself: names of the experiment's runs, folders of runs or of
            evaluations, or one that holds several of them, as that of a sweep.
        baseline: Number of the group that the others are tested against.
        metrics: Scores to test, each with those below it, such as ``--metrics partial attribute``.
        dual: Numbers of two groups, one trained with reasoning, one to answer at once: which attributes, or other
            ``--metrics``, profit from reasoning.

    Raises:
        ConfigError: If there is nothing to compare, or a file cannot be written.
    """
    if runs and by:
        msg = "--runs compares each run by itself, --by groups them; give one of the two"
        raise ConfigError(msg)
    found = chosen_runs(experiment, tracking_uri, runs or ())
    table = table_of(experiment or "", found, RUN_BY_RUN if runs else by or ())
    tests = significance(table, baseline, metrics or ())
    if dual is not None:
        tests = with_dual_tuning(tests, table, dual, metrics or ())
    show(table, tests, format)
    save(table, tests, png=None if png is None else Path(png), csv=csv, html=html)


def with_dual_tuning(
    tests: Significance, table: CompareTable, dual: Sequence[int], metrics: Sequence[str]
) -> Significance:
    """The tests, and gain and gap of two groups.

    Raises:
        ConfigError: If these are not two groups, or there is no such score.
    """
    if len(dual) != 2:
        msg = f"--dual takes two groups, the one with reasoning and the one without, got {len(dual)}"
        raise ConfigError(msg)
    notes = dict.fromkeys(tests.notes)
    rows = dual_rows(table, dual[0], dual[1], metrics, notes)
    return replace(tests, dual=rows, notes=tuple(notes))


def chosen_runs(experiment: str | None, tracking_uri: str, chosen: Sequence[str]) -> tuple[RunRow, ...]:
    """The runs of an experiment, or those of them and of folders that were named, in that order.

    Raises:
        ConfigError: If one is not there.
    """
    chosen = [
        str(one) for name in chosen for one in (folders_of(Path(name)) if Path(name).is_dir() else [name])
    ]  # a folder of runs stands for those in it
    folders = {name: read_folder(Path(name)) for name in chosen if Path(name).is_dir()}
    if chosen and len(folders) == len(set(chosen)):
        return tuple(folders.values())
    if experiment is None:
        what = f"{next(name for name in chosen if name not in folders)!r:.200} is no folder; " if chosen else ""
        msg = f"{what}give --experiment NAME, such as quickstart, or --runs with folders of runs and evaluations"
        raise ConfigError(msg)
    known = read_runs(tracking_uri, experiment)
    if not chosen:
        return known
    by_name = {run.name: run for run in known} | {run.run_id: run for run in known} | folders
    for name in chosen:
        if name not in by_name:
            hint = did_you_mean(name, by_name, "it has", list(dict.fromkeys(run.name for run in known)))
            msg = f"--runs {name:.200}: the experiment {experiment} has no such run, nor is it a folder; {hint}"
            raise ConfigError(msg)
    return tuple(by_name[name] for name in dict.fromkeys(chosen))


def show(table: CompareTable, tests: Significance, format: Format = "table") -> None:  # noqa: A002 (as the option)
    """Write the comparison to the standard output."""
    match format:
        case "table":
            elsewhere = not sys.stdout.isatty() and "COLUMNS" not in os.environ
            screen = console(width=_FILE_WIDTH if elsewhere else None)
            screen.print(to_rich(table, screen.width, tests))
        case "json":
            write_out(to_json(table, tests) + "\n")
        case "markdown":
            write_out(to_markdown(table, tests) + "\n")
        case _:
            assert_never(format)


def save(
    table: CompareTable,
    tests: Significance,
    *,
    png: Path | None = None,
    csv: Path | None = None,
    html: Path | None = None,
) -> None:
    """Write the files that were asked for, and say where they are.

    Raises:
        ConfigError: If one cannot be written.
    """
    written: list[tuple[str, Path]] = []
    try:
        if png is not None:
            written.append(("plot", plot_comparison(table, png)))
        if csv is not None:
            written += [("csv", file) for file in write_csv(table, tests, csv)]
        if html is not None:
            html.parent.mkdir(parents=True, exist_ok=True)
            write_whole(html, report_html(table, tests))
            written.append(("report", html))
    except OSError as error:
        msg = f"{error.filename or 'a file'} cannot be written: {cause_of(error)}; name another place"
        raise ConfigError(msg) from error
    for what, file in written:
        write_err(f"{what}: {file}\n")
