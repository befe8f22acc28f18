"""Rewards: what completions are scored by; :class:`CompositeReward` adds several."""

from remot.rewards.answers.compared import ExactAnswerReward, NumberReward, TextOverlapReward
from remot.rewards.answers.letters import AccuracyReward, FormatReward, LogicReward
from remot.rewards.answers.tagged_format import TaggedFormatReward
from remot.rewards.answers.typed import AnswerReward
from remot.rewards.base import PointwiseReward, ReferenceReward, Reward
from remot.rewards.composite import CompositeReward, FunctionReward, GatedReward, PerTaskReward, ReMoTReward
from remot.rewards.counterfactual.consistency import DualityReward, ViewConsistencyReward
from remot.rewards.counterfactual.operation_pool import OperationPool
from remot.rewards.functional import (
    exact_match,
    format_ok,
    logic_score,
    official_partial,
    option_of,
    partial_accuracy,
    predicted_codes,
)
from remot.rewards.group_bonuses import LengthBonusReward, ShuffledFramesReward
from remot.rewards.isolated import IsolatedReward
from remot.rewards.lengths import ConcisenessReward, CosineLengthReward, RepetitionReward, SoftOverlongReward
from remot.rewards.spatial.boxes import BoxReward, TrackingReward
from remot.rewards.spatial.layouts import CognitiveMapReward, SceneGraphReward
from remot.rewards.spatial.motion import MotionPerturbationReward, MotionTrajectoryReward
from remot.rewards.temporal.events import EndpointJudge, EventRecallReward, Judge, LexicalJudge
from remot.rewards.temporal.frame_thinker import FrameThinkerReward
from remot.rewards.temporal.intervals import IntervalSetReward, LocalisationReward, TemporalIoUReward
from remot.rewards.temporal.temporal_rlt import TemporalRLTReward
from remot.rewards.trl import trl_reward

__all__ = [
    "AccuracyReward",
    "AnswerReward",
    "BoxReward",
    "CognitiveMapReward",
    "CompositeReward",
    "ConcisenessReward",
    "CosineLengthReward",
    "DualityReward",
    "EndpointJudge",
    "EventRecallReward",
    "ExactAnswerReward",
    "FormatReward",
    "FrameThinkerReward",
    "FunctionReward",
    "GatedReward",
    "IntervalSetReward",
    "IsolatedReward",
    "Judge",
    "LengthBonusReward",
    "LexicalJudge",
    "LocalisationReward",
    "LogicReward",
    "MotionPerturbationReward",
    "MotionTrajectoryReward",
    "NumberReward",
    "OperationPool",
    "PerTaskReward",
    "PointwiseReward",
    "ReMoTReward",
    "ReferenceReward",
    "RepetitionReward",
    "Reward",
    "SceneGraphReward",
    "ShuffledFramesReward",
    "SoftOverlongReward",
    "TaggedFormatReward",
    "TemporalIoUReward",
    "TemporalRLTReward",
    "TextOverlapReward",
    "TrackingReward",
    "ViewConsistencyReward",
    "exact_match",
    "format_ok",
    "logic_score",
    "official_partial",
    "option_of",
    "partial_accuracy",
    "predicted_codes",
    "trl_reward",
]
