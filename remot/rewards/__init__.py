"""What a completion is worth: one reward a file, added up by :class:`CompositeReward`."""

from remot.rewards.answers.accuracy import AccuracyReward
from remot.rewards.answers.exact_answer import ExactAnswerReward
from remot.rewards.answers.format import FormatReward
from remot.rewards.answers.logic import LogicReward
from remot.rewards.answers.number_accuracy import NumberReward
from remot.rewards.answers.tagged_format import TaggedFormatReward
from remot.rewards.answers.text_overlap import TextOverlapReward
from remot.rewards.base import PointwiseReward, ReferenceReward, Reward
from remot.rewards.composite import CompositeReward, ReMoTReward
from remot.rewards.counterfactual.duality import DualityReward
from remot.rewards.counterfactual.motion_perturbation import MotionPerturbationReward
from remot.rewards.counterfactual.operation_pool import OperationPool
from remot.rewards.counterfactual.shuffled_frames import ShuffledFramesReward
from remot.rewards.counterfactual.view_consistency import ViewConsistencyReward
from remot.rewards.function import FunctionReward
from remot.rewards.functional import (
    exact_match,
    format_ok,
    logic_score,
    official_partial,
    option_of,
    partial_accuracy,
    predicted_codes,
)
from remot.rewards.gated import GatedReward
from remot.rewards.isolated import IsolatedReward
from remot.rewards.length.conciseness import ConcisenessReward
from remot.rewards.length.cosine_length import CosineLengthReward
from remot.rewards.length.length_bonus import LengthBonusReward
from remot.rewards.length.overlong import SoftOverlongReward
from remot.rewards.length.repetition import RepetitionReward
from remot.rewards.per_task import PerTaskReward
from remot.rewards.spatial.box_overlap import BoxReward
from remot.rewards.spatial.cognitive_map import CognitiveMapReward
from remot.rewards.spatial.motion_trajectory import MotionTrajectoryReward
from remot.rewards.spatial.scene_graph import SceneGraphReward
from remot.rewards.spatial.tracking import TrackingReward
from remot.rewards.temporal.event_recall import EventRecallReward
from remot.rewards.temporal.interval_set import IntervalSetReward
from remot.rewards.temporal.judges import EndpointJudge, Judge, LexicalJudge
from remot.rewards.temporal.localisation import LocalisationReward
from remot.rewards.temporal.temporal_iou import TemporalIoUReward
from remot.rewards.temporal.temporal_rlt import TemporalRLTReward

__all__ = [
    "AccuracyReward",
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
]
