"""What a completion is worth: one reward a file, added up by :class:`CompositeReward`."""

from remot.rewards.accuracy import AccuracyReward
from remot.rewards.base import PointwiseReward, Reward
from remot.rewards.composite import CompositeReward, ReMoTReward
from remot.rewards.conciseness import ConcisenessReward
from remot.rewards.format import FormatReward
from remot.rewards.functional import (
    exact_match,
    format_ok,
    logic_score,
    official_partial,
    option_of,
    partial_accuracy,
    predicted_codes,
)
from remot.rewards.logic import LogicReward
from remot.rewards.overlong import SoftOverlongReward

__all__ = [
    "AccuracyReward",
    "CompositeReward",
    "ConcisenessReward",
    "FormatReward",
    "LogicReward",
    "PointwiseReward",
    "ReMoTReward",
    "Reward",
    "SoftOverlongReward",
    "exact_match",
    "format_ok",
    "logic_score",
    "official_partial",
    "option_of",
    "partial_accuracy",
    "predicted_codes",
]
