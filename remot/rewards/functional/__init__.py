"""Pure scores: texts, numbers and records in, a number out. What is shared with the evaluation stands here."""

from remot.rewards.functional.letters import (
    GroupKey,
    all_right,
    answers_of,
    exact_match,
    format_ok,
    is_right,
    logic_score,
    official_partial,
    option_of,
    partial_accuracy,
    predicted_codes,
    share_right,
)

__all__ = [
    "GroupKey",
    "all_right",
    "answers_of",
    "exact_match",
    "format_ok",
    "is_right",
    "logic_score",
    "official_partial",
    "option_of",
    "partial_accuracy",
    "predicted_codes",
    "share_right",
]
