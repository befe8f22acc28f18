"""Scores with intervals, the comparison of two policies, and a page to look at completions."""

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
from remot.evaluation.scores import Estimate, JudgedCompletion, ScoreTable, change_between, judge, score_table
from remot.evaluation.viewer import SampleRecord, completions_html

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
