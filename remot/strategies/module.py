"""The LightningModule: takes prompts, computes the losses of the objective that is due, and updates the weights."""

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer

from remot.distributed import all_gather_objects, joined_metrics
from remot.errors import CheckpointError, ConfigError, NonFiniteError, require_optional
from remot.evaluation.benchmark import EvaluationSettings
from remot.rollout.decoding.engine import RolloutEngine, RolloutSettings
from remot.seeding import global_randomness
from remot.strategies.accumulation import GradientAccumulator
from remot.strategies.checkpoint import named_optimizer_state, require_finite, require_same, shapes_of
from remot.strategies.checkpoint_io import use_durable_checkpoints
from remot.strategies.distributed import (
    LARGEST_METRICS,
    SUMMED_METRICS,
    backward_context,
    clip_gradients,
    is_deepspeed,
)
from remot.strategies.dpo.objective import DPOObjective
from remot.strategies.evaluation import AnsweringModule, require_supported
from remot.strategies.finite import (
    BegunStep,
    FiniteGuard,
    SkippedStep,
    StateSnapshot,
    TrainedBatch,
    local_part,
    non_finite_error,
    num_bytes,
    skipped_step,
)
from remot.strategies.grpo.objective import GRPOObjective
from remot.strategies.objective import (
    MicroBatchPrompts,
    Objective,
    ScoredCompletions,
    StepAddress,
    observe_groups,
    prompt_source,
)
from remot.strategies.optimization import (
    apply_settings,
    describe_optimization,
    is_another_optimizer,
    make_optimization,
    require_usable_settings,
)
from remot.strategies.schedules import AlternatingSFTGRPO, Strategy
from remot.strategies.settings import PolicySettings
from remot.strategies.sft import SFTObjective
from remot.structures import PromptBatch

#: Bytes of trained weights in one process up to which the state before the last update is kept in memory: adapters, and
#: small models. What an optimizer keeps of them comes on top, twice as much for Adam.
MAX_KEPT_BYTES = 2**30


class PostTrainingModule(AnsweringModule):
    """Post-trains a vision-language policy by SFT, GRPO, DPO or a schedule of two of them.

    One training step is one batch of prompts: everything without gradient is done once, then the optimiser makes one
    or more updates over micro-batches that never split a group. The optimiser step names the randomness, so a run
    that continues from a checkpoint does what it would have done.

    A step whose loss, gradient or learning rate is not finite, in any process, updates nothing: weights and optimizer
    state stay, the step number and the learning-rate schedule go on. A checkpoint is written only of a state whose own
    forward pass gave a finite loss; the last batch is computed once more, without gradient, when one is due.

    Args:
        policy: What is loaded and what of it is trained.
        strategy: Which objective at which step.
        sft: The supervised objective.
        grpo: The reinforced objective.
        optimizer: Optimiser of the trainable parameters.
        scheduler: Learning-rate schedule, stepped once an update; None keeps the rate.
        micro_batch_prompts: Prompts of one forward and backward pass; changes memory, never results. ``auto`` takes
            what fits into the memory that is free on a GPU, and 4 elsewhere.
        rollout: How completions are decoded, in training and evaluation; changes speed and memory, never completions.
        gradient_clip_norm: Largest gradient norm; 0 is off.
        max_skipped_in_a_row: This many steps in a row that are not finite end the run with a ``NonFiniteError``.
        evaluation: How validate, test and predict decode.
        seed: Names the rollout noise. The command line sets it from ``seed_everything``.
        dpo: The objective over pairs of responses.
    """

    def __init__(  # noqa: PLR0913 (one argument per key of the configuration)
        self,
        policy: PolicySettings | None = None,
        strategy: Strategy | None = None,
        sft: SFTObjective | None = None,
        grpo: GRPOObjective | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        scheduler: LRSchedulerCallable | None = None,
        micro_batch_prompts: MicroBatchPrompts = 4,
        rollout: RolloutSettings | None = None,
        gradient_clip_norm: float = 1.0,
        max_skipped_in_a_row: int = 3,
        evaluation: EvaluationSettings | None = None,
        seed: int = 0,
        dpo: DPOObjective | None = None,
    ) -> None:
        require_optional(policy=(policy, PolicySettings), strategy=(strategy, Strategy), sft=(sft, SFTObjective))
        require_optional(grpo=(grpo, GRPOObjective), dpo=(dpo, DPOObjective), rollout=(rollout, RolloutSettings))
        require_optional(evaluation=(evaluation, EvaluationSettings))
        grpo = grpo if grpo is not None else GRPOObjective()
        evaluation = evaluation if evaluation is not None else EvaluationSettings()
        if evaluation.reward is None:
            evaluation = replace(evaluation, reward=grpo.scorer)
        if evaluation.turns is None and grpo.turns is not None:
            evaluation = replace(evaluation, turns=grpo.turns)
        super().__init__(policy or PolicySettings(), evaluation, RolloutEngine(rollout))
        if micro_batch_prompts != "auto" and micro_batch_prompts < 1:
            msg = f"micro_batch_prompts is auto or at least 1, got {micro_batch_prompts}"
            raise ConfigError(msg)
        if not 0 <= gradient_clip_norm < math.inf:  # nor NaN
            msg = f"gradient_clip_norm is the largest gradient norm, or 0 for no clipping, got {gradient_clip_norm}"
            raise ConfigError(msg)
        self.automatic_optimization = False
        self.strict_loading = False  # frozen weights are not in the checkpoint; on_load_checkpoint checks the rest
        self.strategy = strategy if strategy is not None else AlternatingSFTGRPO()
        self.objectives: Mapping[str, Objective] = {
            "SFT": sft if sft is not None else SFTObjective(),
            "GRPO": grpo,
            "DPO": (dpo if dpo is not None else DPOObjective()).with_defaults(grpo),
        }
        self._average_rate = max(self.objectives[phase].average_rate for phase in self.strategy.phases)
        self.optimizer_factory = optimizer
        self.scheduler_factory = scheduler
        self.micro_batch_prompts = micro_batch_prompts
        self.gradient_clip_norm = gradient_clip_norm
        self.seed = seed
        self.last_samples: Sequence[ScoredCompletions] = ()
        self.last_batch: PromptBatch | None = None
        self.last_metrics: Mapping[str, float] = {}  # of the last step, without ``train/``
        self.last_skipped: SkippedStep | None = None  # the last step, if it was skipped
        self.num_replaced = 0  # training prompts that took the place of others, which could not be read
        self._progress: dict[str, str | float] = {}
        self._accumulate = GradientAccumulator()
        self._guard = FiniteGuard(max_skipped_in_a_row)
        self._step_begun: BegunStep | None = None
        self._optimization: dict[str, str] = {}
        self._restored_optimization: dict[str, str] | None = None

    # -- set-up --------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Refuse strategies and optimizers that cannot work and engines that are not there, before long work."""
        require_supported(self.trainer.strategy)
        use_durable_checkpoints(self.trainer.strategy)
        if self.trainer.precision == "16-true":
            msg = "trainer.precision 16-true trains to NaN within a few steps; take bf16-mixed, bf16-true or 16-mixed"
            raise ConfigError(msg)
        if stage == "fit":
            require_usable_settings(self.optimizer_factory, self.scheduler_factory)
            for phase in self.strategy.phases:
                self.objectives[phase].require_source(prompt_source(self.trainer))
                self.objectives[phase].check()

    def configure_model(self) -> None:
        """Load the policy; after the data is known to be good, so that bad data costs no loading time."""
        if self.policy is not None:
            return
        has_reference = self._has_reference
        self.policy = self.policy_settings.load(
            with_reference=has_reference,
            with_snapshot=has_reference and self.strategy.reference != "base",
            with_average=self._average_rate > 0,
            is_trained=self._trainer is None or self.trainer.state.fn in (None, TrainerFn.FITTING),
        )
        self.divide_policy()

    @property
    def _has_reference(self) -> bool:
        """An objective of the strategy measures KL against another policy."""
        return any(self.objectives[phase].needs_reference for phase in self.strategy.phases)

    def describe_reference(self) -> str | None:
        """What KL is measured against, in one line; None where nothing is."""
        if not self._has_reference:
            return None
        if self.strategy.reference == "base":
            base = self.policy_settings.source.adapter() is not None
            what = f"{self.base_model} without the adapter" if base else self.base_model
        else:
            what = "the policy as it is when the phase begins"
        return f"{what} (model.strategy.reference: {self.strategy.reference})"

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimiser over the trainable parameters, and the schedule if there is one.

        Raises:
            ConfigError: If a setting is out of its range, which torch checks here.
        """
        optimizer, scheduler = make_optimization(
            self.loaded_policy.trainable_parameters(), self.optimizer_factory, self.scheduler_factory
        )
        self._optimization = describe_optimization(optimizer, scheduler)
        return optimizer if scheduler is None else {"optimizer": optimizer, "lr_scheduler": scheduler}

    # -- training ------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Enter training mode, which Lightning expects; the policy leaves it for every pass without gradient."""
        self.train()

    def on_train_start(self) -> None:
        """Let changed settings of optimiser and schedule take effect: the checkpoint has restored its own."""
        restored, self._restored_optimization = self._restored_optimization, None
        if restored is None or restored == self._optimization:
            return
        optimizer = self.optimizers(use_pl_optimizer=False)
        if is_another_optimizer(restored, self._optimization):
            optimizer.state.clear()  # type: ignore[union-attr]
        make = (self.optimizer_factory, self.scheduler_factory)
        apply_settings(optimizer, self.lr_schedulers(), make, self.global_step)  # type: ignore[arg-type]

    def training_step(self, batch: PromptBatch, batch_idx: int) -> None:  # noqa: ARG002
        """One batch of prompts: prepare, update, log."""
        with global_randomness(self.seed, "step", self.global_step, self.global_rank):
            self._train_on(batch)

    def _train_on(self, batch: PromptBatch) -> None:
        started = time.perf_counter()
        step = self.global_step
        states = {name: copy.deepcopy(one.state_dict()) for name, one in self.objectives.items()}
        snapshot = self.loaded_policy.snapshot
        self._step_begun = BegunStep(step, states, self._guard.unverified, None if snapshot is None else snapshot.step)
        phase, source = self.strategy.phase(step), prompt_source(self.trainer)
        is_due = self.strategy.due_steps(phase, self.trainer.max_steps)
        address = StepAddress(self.seed, step, source, self.rollout_engine, is_due)
        metrics = self._move_reference(step)
        self.loaded_policy.move_average(self._average_rate, step)
        prepared = self.objectives[phase].prepare(self.loaded_policy, batch, address, self.micro_batch_prompts)
        metrics |= prepared.metrics
        trained = TrainedBatch(phase, batch, prepared)
        for _ in range(prepared.num_updates):
            metrics |= self._update(trained)
            # A fault would repeat, as nothing has moved; updates must not continue into another phase, or past the end.
            is_last = 0 < self.trainer.max_steps <= self.global_step
            if self._guard.fault or is_last or self.strategy.phase(self.global_step) != phase:
                break
        self.last_skipped = skipped = self._guard.count(self.global_step - 1, trained)
        if skipped is not None:
            count = f"{len(self._guard.in_a_row)} in a row, {self._guard.num_skipped} in all"
            prompts = skipped.named_prompts()
            self.print(f"step {skipped.step}: {skipped.reason}; nothing is updated ({count}): {prompts}")
        metrics |= {**prepared.late_metrics(), "skipped_steps": float(self._guard.num_skipped)}
        metrics["seconds_per_step"] = time.perf_counter() - started
        metrics |= {"replaced_prompts": float(len(batch.replaced))} if batch.replaced else {}
        metrics |= stored.metrics() if (stored := self.loaded_policy.stored_features) is not None else {}
        joined = joined_metrics(all_gather_objects(metrics), SUMMED_METRICS, LARGEST_METRICS)
        self.num_replaced += int(joined.get("replaced_prompts", 0))
        joined |= {"replaced_prompts": float(self.num_replaced)} if self.num_replaced else {}
        self._report(phase, step, joined, len(batch))
        if prepared.samples:
            self.last_samples, self.last_batch = prepared.samples, batch
        observe_groups(source, prepared.has_signal)
        self._step_begun = None
        if self._guard.is_over:
            raise self._restore_and_error(self._guard.in_a_row)

    def _move_reference(self, step: int) -> dict[str, float]:
        """Capture the reference of the strategy unless it has been captured; returns its step for the metrics."""
        snapshot, wanted = self.loaded_policy.snapshot, self.strategy.reference_step(step)
        if snapshot is None or wanted is None:
            return {}
        if snapshot.step is None or snapshot.step < wanted or step == wanted:
            snapshot.capture(self.loaded_policy.model, step)
        return {"reference_step": float(snapshot.step or 0)}

    def _update(self, trained: TrainedBatch) -> dict[str, float]:
        """One optimizer step: backward passes of all micro-batches, clipping, and the step itself."""
        optimizer, guard, wrapper = self.optimizers(), self._guard, self.trainer.model
        with global_randomness(self.seed, "update", self.global_step, self.global_rank):  # of dropout
            totals = self._accumulate(trained.prepared, optimizer.zero_grad, self._backward)  # type: ignore[union-attr]
        limit = self.gradient_clip_norm if self.gradient_clip_norm > 0 else float("inf")
        scaler: torch.amp.GradScaler | None = getattr(self.trainer.precision_plugin, "scaler", None)
        scale = 1.0 if scaler is None else float(scaler.get_scale())  # of losses and gradients in mixed float16
        totals |= clip_gradients(wrapper, self.loaded_policy.trainable_parameters(), limit, scale)
        guard.observe_backward(totals["loss"], totals.get("grad_norm", 0.0), scale)
        if is_deepspeed(wrapper) and any(all_gather_objects(guard.loss_fault)):  # it keeps gradients
            raise self._restore_and_error([skipped_step(self.global_step, trained, guard.loss_fault)])
        optimizer.step()  # type: ignore[union-attr]
        if not guard.fault:
            guard.unverified = trained
        schedulers = self.lr_schedulers()
        if schedulers is not None:
            schedulers.step()  # type: ignore[union-attr]
        return totals

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Check the gradients that the optimizer will use, after callbacks; one that is not finite updates nothing."""
        named = [(name, p) for name, p in self.loaded_policy.named_parameters() if p.requires_grad]
        self._guard.check_gradients(named, optimizer, lambda: self._snapshot(optimizer))

    def _snapshot(self, optimizer: Optimizer) -> StateSnapshot | None:
        """The state as it is, with the average of the policy; None if it is too large to keep."""
        parameters = self.loaded_policy.trainable_parameters()
        if (average := self.loaded_policy.average) is not None:
            parameters += [frozen for frozen, _ in average.pairs(self.loaded_policy.model)]
        if is_deepspeed(self.trainer.model) or num_bytes(parameters) > MAX_KEPT_BYTES:
            return None
        schedulers = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        snapshot = StateSnapshot(self.global_step, parameters, optimizer, schedulers)
        if self._step_begun is not None and self.global_step == self._step_begun.step:
            self._step_begun.snapshot = snapshot
        return snapshot

    @property
    def is_between_steps(self) -> bool:
        """True unless a training step has begun and is neither finished nor undone."""
        return self._step_begun is None

    def undo_step(self) -> bool:
        """Go back to the state before the training step that was left without being finished.

        Returns:
            False if a part of its updates has been made and the weights before them were too large to keep: the state
            is none to continue from. True if the state is now that of a whole step, also where none was left.
        """
        begun = self._step_begun
        if begun is None:
            return True
        if self.global_step != begun.step:
            if begun.snapshot is None:
                return False
            begun.snapshot.restore()
            self._take_back_updates(self.global_step - begun.step)
        for name, state in begun.objective_states.items():
            if state:
                self.objectives[name].load_state_dict(state)
        if self.loaded_policy.snapshot is not None and begun.reference_step is None:
            self.loaded_policy.snapshot.step = None  # it is captured again when the step is
        self._guard.unverified, self._guard.fault, self._step_begun = begun.unverified, "", None
        # The trainer's counters become those between two batches, so that the batch is the next one to train on.
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        for counts in (progress.total, progress.current):
            if counts.ready > counts.processed:  # type: ignore[attr-defined]
                counts.ready = counts.started = counts.processed  # type: ignore[attr-defined]
        return True

    def _take_back_updates(self, undone: int) -> None:
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for counts in (progress.total, progress.current):
            counts.completed -= undone
            counts.ready = counts.completed

    def require_finite_state(self) -> None:
        """Compute the loss of the last batch with the weights as they are now, unless that has been done.

        All processes call it together.

        Raises:
            NonFiniteError: If it is not finite; the state before the last update is in place again if it was kept.
        """
        trained = self._guard.unverified
        if trained is None:
            return
        try:
            with self.trainer.precision_plugin.train_step_context():
                loss = self._accumulate.loss_without_gradient(trained.prepared)
        except torch.OutOfMemoryError:  # which may be why the state is to be saved: the weights alone have to do
            parameters = self.loaded_policy.trainable_parameters()
            loss = 0.0 if all(bool(local_part(p).isfinite().all()) for p in parameters) else math.nan
        losses = [one for one in all_gather_objects(loss) if not math.isfinite(one)]
        if losses:
            reason = f"the loss is {losses[0]} after the last update"
            raise self._restore_and_error([skipped_step(self.global_step, trained, reason)])
        self._guard.unverified = None

    on_train_end = require_finite_state  # before the weights of the last update are evaluated and exported

    def _restore_and_error(self, skipped: Sequence[SkippedStep]) -> NonFiniteError:
        """Go back to the last good state; returns the error to raise."""
        restored_step = self._guard.restore(self.global_step)
        if restored_step is not None and restored_step != self.global_step:
            self._take_back_updates(self.global_step - restored_step)
        if (average := self.loaded_policy.average) is not None:  # its weights are those of that step too
            average.step = min(average.step or 0, self.global_step)
        return non_finite_error(skipped, self.trainer.optimizers, self.seed, restored_step)

    def _backward(self, loss: Tensor, is_last: bool) -> None:  # noqa: FBT001
        with backward_context(self.trainer.model, is_last=is_last):
            self.manual_backward(loss)

    def _report(self, phase: str, step: int, metrics: Mapping[str, float], num_prompts: int) -> None:
        """Log to callbacks, and to loggers directly: Lightning would log a phase's metrics again in the next."""
        self.last_metrics = metrics
        scalars = {f"train/{name}": number for name, number in metrics.items()}
        self.log_dict(scalars, logger=False, batch_size=num_prompts)
        num_batches = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every > 0 and num_batches % every == 0:
            for logger in self.loggers:
                logger.log_metrics(scalars, step=step)
        named = {"reward": "reward/total", "kl": "kl", "loss": "loss"}
        self._progress |= {"phase": phase, **{key: metrics[name] for key, name in named.items() if name in metrics}}

    def progress_fields(self) -> Mapping[str, str | float]:
        """What a progress bar shows: phase, and the latest reward, KL and loss."""
        return dict(self._progress)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is trained, and the reference if one has been captured; the rest comes from the base model.

        Raises:
            NonFiniteError: If the weights give a loss that is not finite; then nothing is written.
        """
        self.require_finite_state()
        shapes = self._trained_shapes()
        facts: dict[str, Any] = {"base_model": self.base_model, "strategy": self.strategy.name, "trained": shapes}
        facts["optimization"] = self._optimization
        kept = set(shapes)
        for fact, held in self.loaded_policy.frozen_sets.items():
            if held.step is not None:
                frozen = {id(parameter) for parameter, _ in held.pairs(self.loaded_policy.model)}
                kept |= {name for name, parameter in self.named_parameters() if id(parameter) in frozen}
                facts[fact] = held.step
        facts |= {"replaced_prompts": self.num_replaced} if self.num_replaced else {}
        if learnt := {name: state for name, one in self.objectives.items() if (state := one.state_dict())}:
            facts["objectives"] = learnt
        numbered = [name for name, _ in self.named_parameters()] if self.device_mesh is not None else list(shapes)
        checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in kept}
        states = checkpoint.get("optimizer_states", [])
        states[:] = [named_optimizer_state(state, numbered) for state in states]
        checkpoint["remot"] = facts

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another model or adaptation.

        A strategy that shards weights has loaded them, and removed them from the checkpoint, before this is called.

        Raises:
            CheckpointError: If it holds NaN or infinities, was made from another base model, its parameters are not
                those trained here, or its reference was written by an earlier version.
        """
        require_finite(checkpoint)
        facts = checkpoint.get("remot", {})
        self.checkpoint_step = checkpoint.get("global_step")
        held = facts.get("trained") or shapes_of(checkpoint.get("state_dict", {}))
        require_same(facts.get("base_model", self.base_model), held, self.base_model, self._trained_shapes())
        if self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:  # not load_from_checkpoint()
            self._restore_optimization(checkpoint, facts.get("optimization", {}))
        self.num_replaced = facts.get("replaced_prompts", 0)
        for name, state in facts.get("objectives", {}).items():
            self.objectives[name].load_state_dict(state)
        for fact, held in self.loaded_policy.frozen_sets.items():
            held.step = facts.get(fact)
        if self.loaded_policy.snapshot is not None and "reference_step" in facts:
            # its weights have other names, and would be left out silently
            msg = (
                "the checkpoint names the weights of its reference as an earlier version of remot did; go on from "
                "it with that version, or export it and begin a run with that as policy.source"
            )
            raise CheckpointError(msg)

    def _restore_optimization(self, checkpoint: dict[str, Any], restored: dict[str, str]) -> None:
        """Leave out of the checkpoint what another optimiser or schedule could not load."""
        self.configure_optimizers()  # sets _optimization: the trainer has not made, or not kept, its own yet
        self._restored_optimization = restored
        if is_another_optimizer(restored, self._optimization):
            checkpoint["optimizer_states"] = []
        if restored.get("scheduler") != self._optimization["scheduler"]:
            checkpoint["lr_schedulers"] = []

    def _trained_shapes(self) -> dict[str, list[int]]:
        """Shapes by name of the parameters that are trained, of all shards together."""
        trained = {f"policy.{name}" for name in self.loaded_policy.trained_names}
        return {name: list(parameter.shape) for name, parameter in self.named_parameters() if name in trained}
