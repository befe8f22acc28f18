"""What is trained when: objectives, schedules over them, and the module that runs them."""

from remot.strategies.counterfactuals.base import Counterfactual
from remot.strategies.counterfactuals.duality import DualityOperations
from remot.strategies.counterfactuals.inputs import FrozenFrames, MirroredImages, ShuffledFrames
from remot.strategies.counterfactuals.operations import ExchangedOptions, MirroredView, Operation, ReversedOrder
from remot.strategies.dpo.objective import DPOObjective
from remot.strategies.dpo.pairs import ChangedInputs, OwnCompletions, PairSource, WrongLetters
from remot.strategies.grpo.objective import GRPOObjective
from remot.strategies.grpo.teacher import PrivilegedTeacher
from remot.strategies.module import PostTrainingModule
from remot.strategies.schedules import DPO, GRPO, SFT, AlternatingSFTGRPO, SFTThenDPO, SFTThenGRPO, Strategy
from remot.strategies.settings import PolicySettings
from remot.strategies.sft import SFTObjective

__all__ = [
    "DPO",
    "GRPO",
    "SFT",
    "AlternatingSFTGRPO",
    "ChangedInputs",
    "Counterfactual",
    "DPOObjective",
    "DualityOperations",
    "ExchangedOptions",
    "FrozenFrames",
    "GRPOObjective",
    "MirroredImages",
    "MirroredView",
    "Operation",
    "OwnCompletions",
    "PairSource",
    "PolicySettings",
    "PostTrainingModule",
    "PrivilegedTeacher",
    "ReversedOrder",
    "SFTObjective",
    "SFTThenDPO",
    "SFTThenGRPO",
    "ShuffledFrames",
    "Strategy",
    "WrongLetters",
]
