"""What a completion is worth: one reward a file, added up by :class:`CompositeReward`."""

from remot.rewards.accuracy import AccuracyReward
from remot.rewards.base import PointwiseReward, ReferenceReward, Reward
from remot.rewards.box_overlap import BoxReward
from remot.rewards.cognitive_map import CognitiveMapReward
from remot.rewards.composite import CompositeReward, ReMoTReward
from remot.rewards.conciseness import ConcisenessReward
from remot.rewards.cosine_length import CosineLengthReward
from remot.rewards.duality import DualityReward
from remot.rewards.event_recall import EventRecallReward
from remot.rewards.exact_answer import ExactAnswerReward
from remot.rewards.format import FormatReward
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
from remot.rewards.interval_set import IntervalSetReward
from remot.rewards.judges import EndpointJudge, Judge, LexicalJudge
from remot.rewards.length_bonus import LengthBonusReward
from remot.rewards.localisation import LocalisationReward
from remot.rewards.logic import LogicReward
from remot.rewards.motion_perturbation import MotionPerturbationReward
from remot.rewards.motion_trajectory import MotionTrajectoryReward
from remot.rewards.number_accuracy import NumberReward
from remot.rewards.operation_pool import OperationPool
from remot.rewards.overlong import SoftOverlongReward
from remot.rewards.per_task import PerTaskReward
from remot.rewards.repetition import RepetitionReward
from remot.rewards.scene_graph import SceneGraphReward
from remot.rewards.shuffled_frames import ShuffledFramesReward
from remot.rewards.tagged_format import TaggedFormatReward
from remot.rewards.temporal_iou import TemporalIoUReward
from remot.rewards.temporal_rlt import TemporalRLTReward
from remot.rewards.text_overlap import TextOverlapReward
from remot.rewards.tracking import TrackingReward
from remot.rewards.view_consistency import ViewConsistencyReward

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
