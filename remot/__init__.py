"""remot: teach vision-language models to see motion.

Annotated clips become prompts about motion, and supervised fine-tuning (SFT) or GRPO trains a vision-language model on
them. The clips and the tiny model that come with the package train on a laptop in seconds:

    import lightning
    from remot import GRPO, MotionDataModule, PostTrainingModule

    if __name__ == "__main__":
        data = MotionDataModule(batch_size=2, num_train_prompts_per_epoch=2)
        module = PostTrainingModule(strategy=GRPO())
        trainer = lightning.Trainer(
            max_steps=1, accelerator="cpu", logger=False, limit_val_batches=0, use_distributed_sampler=False
        )
        trainer.fit(module, datamodule=data)
        print(trainer.callback_metrics["train/loss"])

Data        MotionDataModule, DataOptions; tasks: Task, MotionContrast; records: Clip, Question, PromptBatch
Training    PostTrainingModule; strategies: SFT, GRPO, SFTThenGRPO, AlternatingSFTGRPO, DPO, SFTThenDPO
Objectives  SFTObjective, GRPOObjective, DPOObjective
Model       PolicySettings, ModelSource, VLMPolicy; adaptations: LoRA, QLoRA, FullWeights
Rewards     Reward, PointwiseReward, CompositeReward, ReMoTReward; all others: remot.rewards
Losses      PolicyLoss, GRPOLoss; all others: remot.losses
Errors      RemotError, the base of every error that a user can cause

Everything else is in the package of its part: remot.data (remot.data.tasks, remot.data.annotations,
remot.data.experts, remot.data.negatives), remot.rewards, remot.losses, remot.strategies, remot.models, remot.rollout,
remot.environments, remot.structures. The command line does the same from YAML files: `remot --help`, `remot configs`.
"""

from typing import TYPE_CHECKING

from remot._version import __version__
from remot.lazy import lazy_names

if TYPE_CHECKING:
    from remot.data.datamodule import MotionDataModule
    from remot.data.prompt_data import DataOptions
    from remot.data.tasks import MotionContrast, Task
    from remot.errors import RemotError
    from remot.losses import GRPOLoss, PolicyLoss
    from remot.models import Adaptation, FullWeights, LoRA, ModelSource, QLoRA, VLMPolicy
    from remot.rewards import CompositeReward, PointwiseReward, ReMoTReward, Reward
    from remot.strategies import (
        DPO,
        GRPO,
        SFT,
        AlternatingSFTGRPO,
        DPOObjective,
        GRPOObjective,
        PolicySettings,
        PostTrainingModule,
        SFTObjective,
        SFTThenDPO,
        SFTThenGRPO,
        Strategy,
    )
    from remot.structures import Clip, PromptBatch, Question, Reference, Slot

#: Public names of each module, imported on first use. The imports above are the same for type checkers.
HOMES = {
    "remot.data.datamodule": ("MotionDataModule",),
    "remot.data.prompt_data": ("DataOptions",),
    "remot.data.tasks": ("MotionContrast", "Task"),
    "remot.errors": ("RemotError",),
    "remot.losses": ("GRPOLoss", "PolicyLoss"),
    "remot.models": ("Adaptation", "FullWeights", "LoRA", "ModelSource", "QLoRA", "VLMPolicy"),
    "remot.rewards": ("CompositeReward", "PointwiseReward", "ReMoTReward", "Reward"),
    "remot.strategies": (
        "DPO",
        "GRPO",
        "SFT",
        "AlternatingSFTGRPO",
        "DPOObjective",
        "GRPOObjective",
        "PolicySettings",
        "PostTrainingModule",
        "SFTObjective",
        "SFTThenDPO",
        "SFTThenGRPO",
        "Strategy",
    ),
    "remot.structures": ("Clip", "PromptBatch", "Question", "Reference", "Slot"),
}

if not TYPE_CHECKING:  # a type checker would take any name for one that __getattr__ knows
    __getattr__ = lazy_names(__name__, HOMES)

__all__ = [
    "DPO",
    "GRPO",
    "SFT",
    "Adaptation",
    "AlternatingSFTGRPO",
    "Clip",
    "CompositeReward",
    "DPOObjective",
    "DataOptions",
    "FullWeights",
    "GRPOLoss",
    "GRPOObjective",
    "LoRA",
    "ModelSource",
    "MotionContrast",
    "MotionDataModule",
    "PointwiseReward",
    "PolicyLoss",
    "PolicySettings",
    "PostTrainingModule",
    "PromptBatch",
    "QLoRA",
    "Question",
    "ReMoTReward",
    "Reference",
    "RemotError",
    "Reward",
    "SFTObjective",
    "SFTThenDPO",
    "SFTThenGRPO",
    "Slot",
    "Strategy",
    "Task",
    "VLMPolicy",
    "__version__",
]
