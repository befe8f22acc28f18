"""``remot compare``."""

import os
import sys
from typing import Literal, assert_never

from remot.terminal import console, write_out
from remot.tracking.compare import compare_runs
from remot.tracking.plot import plot_comparison
from remot.tracking.render import to_json, to_markdown, to_rich

#: Width of tables that do not go to a terminal.
_FILE_WIDTH = 180


def compare_command(
    experiment: str,
    tracking_uri: str = "sqlite:///mlflow.db",
    format: Literal["table", "json", "markdown"] = "table",  # noqa: A002 (the name of the option)
    plot: str | None = "compare.png",
    by: list[str] | None = None,
) -> None:
    """Compare the runs of an MLflow experiment: one row a run, mean ± spread over seeds of each setting, a plot.

    Args:
        experiment: Name of the experiment, such as quickstart.
        tracking_uri: Where MLflow keeps its runs.
        format: What to write to the standard output.
        plot: Where to save the plot; null for none.
        by: Group by these settings alone and pool over everything else, such as ``--by lr``; by the whole
            configuration without the seed if left out.
    """
    table = compare_runs(tracking_uri, experiment, by or ())
    match format:
        case "table":
            elsewhere = not sys.stdout.isatty() and "COLUMNS" not in os.environ
            screen = console(width=_FILE_WIDTH if elsewhere else None)
            screen.print(to_rich(table, screen.width))
        case "json":
            write_out(to_json(table) + "\n")
        case "markdown":
            write_out(to_markdown(table) + "\n")
        case _:
            assert_never(format)
    if plot is not None:
        saved = plot_comparison(table, plot)
        console(stderr=True, soft_wrap=True).print(f"plot: {saved}", markup=False, highlight=False)
