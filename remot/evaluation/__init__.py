"""Scores with intervals, the comparison of two policies, and a page to look at completions."""

from remot.evaluation.report import as_metrics, comparison_record, render_comparison, table_text, wide_console
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
    "render_comparison",
    "score_table",
    "table_text",
    "wide_console",
]
