"""Watches during training whether the policy answers from the frames or from the text alone."""

from typing import Literal

import lightning
from lightning.pytorch import Trainer

from remot.distributed import all_gather_objects
from remot.errors import ConfigError
from remot.evaluation.vision_use import PromptAccuracy, lettered, measure_vision_use
from remot.strategies.module import PostTrainingModule
from remot.structures import PromptBatch
from remot.terminal import console


class VisionGuard(lightning.Callback):
    """Answers a few validation prompts with blank, swapped and reversed frames, and logs how much is lost.

    Metrics: ``vision/accuracy``, ``vision/chance``, and for each change ``vision/drop_…`` (share of right letters) and
    ``vision/logprob_drop_…`` (mean over the tokens of the right response).

    Args:
        every_n_steps: Optimiser steps between two measurements; 0 measures never.
        num_prompts: Validation prompts, from the first on; those that ask for letters are used.
        on_blind: What to do when the policy beats chance and answers as well without the right frames: ``warn`` prints
            it, ``stop`` ends training after the step.
    """

    def __init__(
        self, every_n_steps: int = 0, num_prompts: int = 32, on_blind: Literal["warn", "stop"] = "warn"
    ) -> None:
        if every_n_steps < 0 or num_prompts < 2:
            msg = f"vision: every_n_steps is at least 0 and num_prompts at least 2, got {every_n_steps}, {num_prompts}"
            raise ConfigError(msg)
        self.every_n_steps = every_n_steps
        self.num_prompts = num_prompts
        self.on_blind = on_blind
        self._prompts: PromptBatch | None = None
        self._previous_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Take the prompts, before the first step.

        Raises:
            ConfigError: If there are fewer than two validation prompts that ask for letters.
        """
        self._previous_step = trainer.global_step
        if self.every_n_steps == 0:
            return
        self._prompts = _first_prompts(trainer, self.num_prompts)
        if not any(all_gather_objects(self._prompts is not None)):
            msg = (
                "vision.every_n_steps measures validation prompts with letters, and there are none: set "
                "data.num_val_prompts and data.val_fraction, or every_n_steps: 0"
            )
            raise ConfigError(msg)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: lightning.LightningModule, *_: object, **__: object
    ) -> None:
        """Measure if it is time."""
        step, previous = trainer.global_step, self._previous_step
        self._previous_step = step
        if self.every_n_steps == 0 or step // self.every_n_steps == previous // self.every_n_steps:
            return
        assert isinstance(pl_module, PostTrainingModule)
        policy = pl_module.loaded_policy
        own = None
        with policy.gathered(), trainer.precision_plugin.val_step_context():
            if self._prompts is not None:
                own = measure_vision_use(policy, self._prompts, pl_module.evaluation, pl_module.rollout_engine)
        found = PromptAccuracy.joined([one for one in all_gather_objects(own) if one is not None])
        scalars = {f"vision/{name}": number for name, number in found.metrics().items()}
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=step)
        if found.is_blind:
            self._report(trainer, found)

    def _report(self, trainer: Trainer, found: PromptAccuracy) -> None:
        metrics = found.metrics()
        ending = "training ends" if self.on_blind == "stop" else "it may be guessing from the text: see docs/metrics.md"
        if trainer.is_global_zero:
            console(stderr=True, soft_wrap=True, highlight=False).print(
                f"step {trainer.global_step}: {metrics['accuracy']:.0%} of the letters are right (chance "
                f"{metrics['chance']:.0%}), and {metrics['accuracy'] - metrics['drop_blank']:.0%} with blank frames, "
                f"{metrics['accuracy'] - metrics['drop_swapped']:.0%} with those of other prompts; {ending}",
                markup=False,
            )
        if self.on_blind == "stop":
            trainer.should_stop = True


def _first_prompts(trainer: Trainer, num_prompts: int) -> PromptBatch | None:
    """The first validation prompts of this process that ask for letters; None without two that show as many frames."""
    loaders = trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
    batches: list[PromptBatch] = []
    for loader in loaders if isinstance(loaders, list) else [loaders]:
        for batch in loader:
            batches.append(batch)
            if sum(map(len, batches)) >= num_prompts:
                break
    usable = lettered(PromptBatch.joined(batches)) if batches else None
    return usable if usable is not None and len(usable) else None
