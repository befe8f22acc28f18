"""Computes a training step again and finds where numbers first stop being finite."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from remot.seeding import global_randomness
from remot.strategies.finite import gradient_fault
from remot.strategies.grpo.step import GroupLosses
from remot.strategies.module import PostTrainingModule
from remot.strategies.objective import PreparedStep, PromptSource, StepAddress
from remot.structures import PromptBatch


@dataclass
class FirstModule:
    """The first module whose output is not finite, found by forward hooks."""

    model: nn.Module
    name: str = ""
    _handles: list[torch.utils.hooks.RemovableHandle] = field(default_factory=list)

    def __enter__(self) -> "FirstModule":
        for name, module in self.model.named_modules():
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
        def look(_module: nn.Module, _inputs: object, output: object) -> None:
            outputs = output if isinstance(output, tuple | list) else (output,)
            floats = [one for one in outputs if isinstance(one, Tensor) and one.is_floating_point()]
            if not self.name and not all(bool(one.isfinite().all()) for one in floats):
                self.name = name

        return look


def first_fault(
    module: PostTrainingModule, phase: str, step: int, batch: PromptBatch, source: PromptSource | None = None
) -> str:
    """Where a step first holds a number that is not finite; "" if it holds none.

    The order is that of the step: weights, log-probabilities of the rollout, advantages, then prompt by prompt the
    log-probabilities and terms of the loss, and gradients. Nothing is updated.

    Args:
        module: With the weights the step began with.
        phase: SFT or GRPO.
        step: Its number, which names the rollout noise.
        batch: Its prompts.
        source: Draws other prompts, for dynamic sampling.
    """
    policy = module.loaded_policy
    bad = [name for name, weight in policy.named_parameters() if not bool(weight.isfinite().all())]
    if bad:
        return f"the weight {bad[0]} ({len(bad)} in all), before the step"
    address = StepAddress(module.seed, step, source, module.rollout_engine)
    randomness = global_randomness(module.seed, "step", step, module.global_rank)
    with randomness, FirstModule(policy.model) as first:
        prepared = module.objectives[phase].prepare(policy, batch, address, 1)
        losses, where = prepared.micro_losses, ""
        names = list(prepared.prompt_ids) or [question.prompt_id for question in batch.questions]
        if isinstance(losses, GroupLosses):  # some of its prompts may have been drawn again
            names, where = losses.prompt_ids, next(_before_losses(losses), "")
        where = where or next(_of_losses(module, prepared, names), "")
    return f"{where}; the first module with such an output is {first.name}" if where and first.name else where


def _before_losses(losses: GroupLosses) -> Iterator[str]:
    """Rewards are left out: they are finite, or NaN where one does not apply, which is no fault."""
    for row, column, token in _places(losses.rollout.logprobs, losses.mask):
        where = f"completion {column} in the rollout of prompt {losses.prompt_ids[row]}"
        yield f"the log-probability of token {token} of {where}"
    for row, column in _places(losses.advantages):
        yield f"the advantage of completion {column} of prompt {losses.prompt_ids[row]}"


def _of_losses(module: PostTrainingModule, prepared: PreparedStep, names: list[str]) -> Iterator[str]:
    losses, policy = prepared.micro_losses, module.loaded_policy
    named = [(name, parameter) for name, parameter in policy.named_parameters() if parameter.requires_grad]
    parts = losses.parts(1) if isinstance(losses, GroupLosses) else [None] * len(names)
    for parameter in policy.parameters():
        parameter.grad = None
    for number, (part, output) in enumerate(zip(parts, losses(1), strict=True)):
        name = names[number if part is None else part.rows.start]
        if part is not None and isinstance(losses, GroupLosses):
            row = part.rows.start
            for what, kept in (("policy", losses.before), ("reference", losses.reference)):
                for column, token in _places(kept.values[row], losses.mask[row]):
                    yield f"the {what}'s log-probability of token {token} of completion {column} of prompt {name}"
        terms = [term for term, number in output.metrics.items() if not torch.isfinite(torch.tensor(number))]
        if terms:
            yield f"the term {terms[0]} of the loss of prompt {name}"
        if not bool(output.loss.isfinite()):
            yield f"the loss of prompt {name}"
        output.loss.backward()  # type: ignore[no-untyped-call]
        if fault := gradient_fault(named):
            yield f"{fault}, with prompt {name}"


def _places(values: Tensor, mask: Tensor | None = None) -> Iterator[list[int]]:
    """Indices of what is not finite and counts."""
    wrong = ~values.isfinite()
    yield from (wrong if mask is None else wrong & mask).nonzero().tolist()
