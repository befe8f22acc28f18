"""What is trained when: objectives, schedules over them, and the module that runs them."""

from remot.strategies.counterfactuals.base import Counterfactual
from remot.strategies.counterfactuals.duality import DualityOperations
from remot.strategies.counterfactuals.inputs import FrozenFrames, MirroredImages, ShuffledFrames
from remot.strategies.counterfactuals.operations import ExchangedOptions, MirroredView, Operation, ReversedOrder
from remot.strategies.grpo.objective import GRPOObjective
from remot.strategies.module import PostTrainingModule
from remot.strategies.schedules import GRPO, SFT, AlternatingSFTGRPO, SFTThenGRPO, Strategy
from remot.strategies.settings import PolicySettings
from remot.strategies.sft import SFTObjective

__all__ = [
    "GRPO",
    "SFT",
    "AlternatingSFTGRPO",
    "Counterfactual",
    "DualityOperations",
    "ExchangedOptions",
    "FrozenFrames",
    "GRPOObjective",
    "MirroredImages",
    "MirroredView",
    "Operation",
    "PolicySettings",
    "PostTrainingModule",
    "ReversedOrder",
    "SFTObjective",
    "SFTThenGRPO",
    "ShuffledFrames",
    "Strategy",
]
