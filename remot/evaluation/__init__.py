"""Scores with intervals, the comparison of two policies, and a page to look at completions."""

from typing import TYPE_CHECKING

from remot.lazy import lazy_names

if TYPE_CHECKING:
    from remot.evaluation.estimates import Estimate
    from remot.evaluation.report import (
        as_metrics,
        comparison_record,
        notes,
        render_comparison,
        render_scores,
        scores_record,
        table_text,
        wide_console,
    )
    from remot.evaluation.scores import JudgedCompletion, ScoreTable, change_between, judge, score_table
    from remot.evaluation.viewer import SampleRecord, completions_html

#: Public names of each module, imported on first use. The imports above are the same for type checkers.
HOMES = {
    "remot.evaluation.report": (
        "as_metrics",
        "comparison_record",
        "notes",
        "render_comparison",
        "render_scores",
        "scores_record",
        "table_text",
        "wide_console",
    ),
    "remot.evaluation.scores": (
        "JudgedCompletion",
        "ScoreTable",
        "change_between",
        "judge",
        "score_table",
    ),
    "remot.evaluation.estimates": ("Estimate",),
    "remot.evaluation.viewer": (
        "SampleRecord",
        "completions_html",
    ),
}

if not TYPE_CHECKING:  # a type checker would take any name for one that __getattr__ knows
    __getattr__ = lazy_names(__name__, HOMES)

__all__ = [
    "Estimate",
    "JudgedCompletion",
    "SampleRecord",
    "ScoreTable",
    "as_metrics",
    "change_between",
    "comparison_record",
    "completions_html",
    "judge",
    "notes",
    "render_comparison",
    "render_scores",
    "score_table",
    "scores_record",
    "table_text",
    "wide_console",
]
