"""``remot compare``."""

import os
import sys
from typing import Literal, assert_never

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
    from rich.console import Console

    table = compare_runs(tracking_uri, experiment, by or ())
    match format:
        case "table":
            elsewhere = not sys.stdout.isatty() and "COLUMNS" not in os.environ
            console = Console(width=_FILE_WIDTH if elsewhere else None)
            console.print(to_rich(table, console.width))
        case "json":
            sys.stdout.write(to_json(table) + "\n")
        case "markdown":
            sys.stdout.write(to_markdown(table) + "\n")
        case _:
            assert_never(format)
    if plot is not None:
        saved = plot_comparison(table, plot)
        Console(stderr=True, soft_wrap=True).print(f"plot: {saved}", markup=False, highlight=False)
