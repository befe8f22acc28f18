"""Steps whose loss or gradient is not finite: finding and counting them, and the state kept from before them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from remot.distributed import all_gather_objects
from remot.errors import ConfigError, NonFiniteError
from remot.strategies.objective import PreparedStep
from remot.structures import PromptBatch

#: Prompts named in an error message.
MAX_NAMED_PROMPTS = 4


def gradient_fault(named_parameters: Iterable[tuple[str, nn.Parameter]]) -> str:
    """The parameters whose gradients hold NaN or infinity, as text; "" if there are none."""
    held = [(name, local_part(parameter.grad)) for name, parameter in named_parameters if parameter.grad is not None]
    if not held:
        return ""
    norm = torch.nn.utils.get_total_norm([gradient for _, gradient in held])  # one pass, NaN if any is
    if bool(norm.isfinite()):
        return ""
    bad = [name for name, gradient in held if not bool(gradient.isfinite().all())]
    if not bad:
        return f"the gradient norm is {float(norm)}"
    return f"the gradient of {bad[0]} is not finite ({len(bad)} of {len(held)} parameters)"


def rate_fault(optimizer: Optimizer) -> str:
    """The learning rate if it is not finite, in words."""
    rates = [float(group["lr"]) for group in optimizer.param_groups if "lr" in group]
    return next((f"the learning rate is {rate}" for rate in rates if not math.isfinite(rate)), "")


@dataclass(frozen=True)
class TrainedBatch:
    """The batch whose loss the weights were updated by last."""

    phase: str  # SFT or GRPO
    batch: PromptBatch
    prepared: PreparedStep  # its losses, which can be computed again

    def prompts(self) -> list[dict[str, Any]]:
        """Ids, text and response of each prompt, with its completions if any were sampled, for JSON."""
        completions = {sample.prompt_index: list(sample.completions) for sample in self.prepared.samples}
        return [
            {
                "prompt_id": question.prompt_id,
                "clip_id": clip_id,
                "text": question.text,
                "response": question.response,
                "completions": completions.get(row, []),
            }
            for row, (question, clip_id) in enumerate(zip(self.batch.questions, self.batch.clip_ids, strict=True))
        ]


@dataclass(frozen=True)
class SkippedStep:
    """A step at which nothing was updated."""

    step: int  # optimizer step, counted from 0
    phase: str  # SFT or GRPO
    reason: str
    prompts: Sequence[Mapping[str, Any]]  # of all processes; see :meth:`TrainedBatch.prompts`

    def named_prompts(self) -> str:
        """The first prompt ids, and how many others there are."""
        names = [str(prompt["prompt_id"]) for prompt in self.prompts]
        others = len(names) - MAX_NAMED_PROMPTS
        return ", ".join(names[:MAX_NAMED_PROMPTS]) + (f" and {others} others" if others > 0 else "")


class StateSnapshot:
    """Copies of the weights that are trained and of the optimizer's state, taken before an update.

    The copies are on the CPU, so that they take no memory of a GPU. Of sharded weights each process copies its part.
    """

    def __init__(
        self, step: int, parameters: Sequence[nn.Parameter], optimizer: Optimizer, schedulers: Sequence[Any]
    ) -> None:
        self.step = step
        self._parameters, self._optimizer, self._schedulers = parameters, optimizer, schedulers
        self._weights = [_copied(parameter.detach()) for parameter in parameters]
        self._states = [_copied(optimizer.state[p]) if p in optimizer.state else None for p in parameters]
        self._groups = [
            _copied({name: value for name, value in group.items() if name != "params"})
            for group in optimizer.param_groups
        ]
        self._schedules = [_copied(scheduler.state_dict()) for scheduler in schedulers]

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back as it was."""
        for parameter, weight, state in zip(self._parameters, self._weights, self._states, strict=True):
            local_part(parameter.detach()).copy_(weight)
            if state is None:
                self._optimizer.state.pop(parameter, None)
            else:
                _put_back(self._optimizer.state[parameter], state)
        for group, settings in zip(self._optimizer.param_groups, self._groups, strict=True):
            group.update(settings)
        for scheduler, state in zip(self._schedulers, self._schedules, strict=True):
            scheduler.load_state_dict(state)


@dataclass
class BegunStep:
    """What is needed to go back to the state before a training step that was interrupted.

    Args:
        step: Optimizer step it began at.
        objective_states: What the objectives had learnt, by their name.
        unverified: As :attr:`FiniteGuard.unverified` was.
        reference_step: Step whose weights the reference was.
        snapshot: Weights and optimizer before its first update; None until then, or if they are too large to keep.
    """

    step: int
    objective_states: Mapping[str, Mapping[str, Any]]
    unverified: TrainedBatch | None
    reference_step: int | None
    snapshot: StateSnapshot | None = None


class FiniteGuard:
    """Finds and counts steps that are not finite, and keeps the last state whose loss was finite.

    Args:
        limit: This many skipped steps in a row end the run.

    Attributes:
        num_skipped: Skipped steps.
        in_a_row: The skipped steps since the last update.
        loss_fault: Of this process's last backward pass, "" if its loss was finite.
        fault: Of the last update, in any process; "" if there was none.
        unverified: The batch of the last update, until a forward pass shows that the updated weights are good.
        last_good: The state before that update; None if it is not kept.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            msg = f"max_skipped_in_a_row is at least 1, got {limit}"
            raise ConfigError(msg)
        self.limit = limit
        self.num_skipped = 0
        self.in_a_row: list[SkippedStep] = []
        self.loss_fault = ""
        self.fault = ""
        self.unverified: TrainedBatch | None = None
        self.last_good: StateSnapshot | None = None
        self._scaler_skips = False  # the update overflows in mixed float16, which the gradient scaler handles

    @property
    def is_over(self) -> bool:
        """True if the run has to end."""
        return len(self.in_a_row) >= self.limit

    def observe_backward(self, loss: float, grad_norm: float, scale: float) -> None:
        """Record loss and gradient norm of a backward pass; ``scale`` is above 1 in mixed float16 only."""
        self.loss_fault = "" if math.isfinite(loss) else f"the loss is {loss}"
        self._scaler_skips = scale > 1 and not self.loss_fault and not math.isfinite(grad_norm)

    def check_gradients(
        self,
        named: Sequence[tuple[str, nn.Parameter]],
        optimizer: Optimizer,
        snapshot: Callable[[], StateSnapshot | None],
    ) -> None:
        """Drop the gradients in all processes if those of one are not finite, or its loss or learning rate.

        Optimizers leave parameters without a gradient alone, their own state included. ``snapshot`` copies the state
        as it is, if it is to be kept.
        """
        gradient = "" if self._scaler_skips else gradient_fault(named)
        faults = all_gather_objects((self.loss_fault, gradient or rate_fault(optimizer)))
        if not any(loss for loss, _ in faults):
            self.unverified = None  # the forward pass was finite: the weights are good as they are before this update
            self.last_good = snapshot() or self.last_good
        self.fault = next((fault for both in faults for fault in both if fault), "")
        if self.fault:
            for _, parameter in named:
                parameter.grad = None

    def count(self, step: int, trained: TrainedBatch) -> SkippedStep | None:
        """Count the step if it was skipped; None if it was not."""
        if not self.fault:
            self.in_a_row.clear()
            return None
        skipped = skipped_step(step, trained, self.fault)
        self.in_a_row.append(skipped)
        self.num_skipped += 1
        return skipped

    def restore(self, step: int) -> int | None:
        """Go back to the last good state.

        Returns:
            The step of that state, ``step`` if nothing is in doubt; None if the last good state was not kept.
        """
        if self.unverified is None:
            return step  # no update is in doubt
        if self.last_good is None:
            return None
        self.last_good.restore()
        self.unverified = None
        return self.last_good.step


def skipped_step(step: int, trained: TrainedBatch, reason: str) -> SkippedStep:
    """The record of a step with the prompts of all processes."""
    prompts = [prompt for held in all_gather_objects(trained.prompts()) for prompt in held]
    return SkippedStep(step, trained.phase, reason, prompts)


def non_finite_error(
    skipped: Sequence[SkippedStep], optimizers: Iterable[Optimizer], seed: int, restored_step: int | None
) -> NonFiniteError:
    """The error that ends a run at the last of the ``skipped`` steps.

    ``restored_step`` is the step of the state; None if it is not known to be good.
    """
    last = skipped[-1]
    in_a_row = f", {len(skipped)} steps in a row were not finite" if len(skipped) > 1 else ""
    rates = sorted({float(group["lr"]) for one in optimizers for group in one.param_groups})
    msg = (
        f"training ended at step {last.step}: {last.reason}{in_a_row}; try a lower learning rate (it is "
        f"{', '.join(f'{rate:g}' for rate in rates)}), or look at the prompts: {last.named_prompts()}"
    )
    record = {"reason": msg, "seed": seed, "steps": [asdict(one) for one in skipped]}
    return NonFiniteError(msg, record, restored_step)


def num_bytes(parameters: Iterable[nn.Parameter]) -> int:
    """Memory of this process's parts of the parameters."""
    local = (local_part(parameter.detach()) for parameter in parameters)
    return sum(tensor.numel() * tensor.element_size() for tensor in local)


def local_part(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _copied(value: Any) -> Any:  # noqa: ANN401 (optimizers and schedulers keep values of any type)
    if isinstance(value, Tensor):
        return local_part(value.detach()).to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(held) for key, held in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copied(held) for held in value)
    return value


def _put_back(state: dict[str, Any], kept: Mapping[str, Any]) -> None:
    """Copy into the existing tensors, whose devices and sharding stay as they are."""
    for name in set(state) - set(kept):
        del state[name]
    for name, value in kept.items():
        if isinstance(value, Tensor) and isinstance(state.get(name), Tensor):
            local_part(state[name]).copy_(value)
        else:
            state[name] = value
