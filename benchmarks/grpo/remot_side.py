"""The step of this library: its Lightning module with the GRPO strategy, as a configuration would build it."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader, IterableDataset

from grpo.memory import STARTED
from grpo.meter import Meter
from grpo.point import BETA, LEARNING_RATE, LORA_ALPHA, LORA_RANK, Point, end_logit, images_of_step, question, rewards
from remot.losses import GRPOLoss
from remot.models import FullWeights, LoRA, ModelSource
from remot.rewards import Reward
from remot.strategies import GRPO, GRPOObjective, PolicySettings, PostTrainingModule
from remot.structures import MotionLabel, PromptBatch, Question, RewardOutput, Slot


class SharedReward(Reward):
    """The reward both libraries use."""

    name = "varied"

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:  # noqa: ARG002
        """As :func:`grpo.point.rewards`."""
        total = torch.tensor(rewards(completions))
        return RewardOutput(total=total, parts={}, success=total > 1)


class Prompts(IterableDataset):
    """One prompt a step."""

    def __init__(self, point: Point) -> None:
        self.point = point

    def __iter__(self) -> Iterator[PromptBatch]:
        label = MotionLabel((1, 2), "camera_yaw", "left", 1.0, "degrees")
        slot = Slot(label, ("right", "left", "none"), "B")
        for step in range(self.point.num_steps):
            images = [torch.from_numpy(image).permute(2, 0, 1) for image in images_of_step(self.point, step)]
            asked = Question(f"prompt-{step}", question(step), (slot,), "benchmark", "scene")
            yield PromptBatch([images], [asked], [f"clip-{step}"])


class Measuring(Callback):
    """Puts the meter into the loaded policy and sets how completions end."""

    def __init__(self, meter: Meter, point: Point) -> None:
        self.meter, self.point = meter, point

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """The policy is loaded; nothing has been run yet."""
        assert isinstance(pl_module, PostTrainingModule)
        policy, meter = pl_module.loaded_policy, self.meter
        policy.logit_bias[list(policy.eos_token_ids)] = end_logit(len(policy.logit_bias), self.point)
        models = [model for model in (policy.core, policy.reference) if model is not None]
        meter.count_images([model.model.visual for model in models], policy.processor.image_processor)
        instrument: Any = policy
        instrument.encode = meter.timed(_encoding, policy.encode)
        instrument.completion_logprobs = meter.timed(_scoring, policy.completion_logprobs)
        pl_module.manual_backward = meter.timed("policy", pl_module.manual_backward)  # type: ignore[method-assign]
        meter.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        """One step is done."""
        # processing, encoding and decoding, as the library itself reports it
        self.meter.add("rollout", float(trainer.callback_metrics["train/rollout/seconds"]))
        self.meter.end_step()
        self.meter.losses.append(float(trainer.callback_metrics["train/loss"]))


def _encoding(*_: object, use_reference: bool = False, **__: object) -> str | None:
    """Where the vision tower is trained it runs again; the first time is part of the rollout."""
    if use_reference:
        return "reference"
    return "policy" if torch.is_grad_enabled() else None


def _scoring(*_: object, use_reference: bool = False, **__: object) -> str:
    return "reference" if use_reference else "policy"


def run(point: Point, folder: Path) -> dict[str, Any]:
    """Measure some steps of this library."""
    meter = Meter(folder.parent / STARTED)
    lora = point.setting == "lora"
    checkpointing = {} if point.checkpointing == "default" else {"gradient_checkpointing": point.checkpointing == "on"}
    module = PostTrainingModule(
        policy=PolicySettings(
            source=ModelSource(str(folder), dtype=point.dtype),
            adaptation=LoRA(LORA_RANK, LORA_ALPHA) if lora else FullWeights(),
            train_vision=not lora,
            **checkpointing,
        ),
        strategy=GRPO(),
        grpo=GRPOObjective(
            num_completions=point.num_completions,
            max_new_tokens=point.num_tokens,
            reward=SharedReward(),
            loss=GRPOLoss(beta=BETA),
        ),
        optimizer=partial(torch.optim.AdamW, lr=LEARNING_RATE),
        seed=point.seed,
    )
    trainer = lightning.Trainer(
        max_steps=point.num_steps,
        accelerator="cpu" if point.device == "cpu" else "gpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Measuring(meter, point)],
    )
    trainer.fit(module, DataLoader(Prompts(point), batch_size=None))
    return meter.summary(point.num_images)
