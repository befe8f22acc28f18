"""Rewards made of other rewards: sums, gates, one for each task; and of plain functions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from remot.errors import ConfigError
from remot.rewards.answers.letters import AccuracyReward, FormatReward, LogicReward
from remot.rewards.base import Reward, WrapperReward, as_column, check_lengths, scored_by
from remot.rewards.lengths import ConcisenessReward
from remot.structures import Question, RewardOutput, reference_of, task_of


@dataclass(eq=False)
class CompositeReward(WrapperReward):
    """Σ_k w_k · R_k; each R_k is also a part, unweighted, under its own name.

    A reward that is NaN for a completion ("not applicable") is left out of that completion's sum and of its
    success; so is, of the success, a reward that judges nothing, such as a format. A completion succeeds if there are
    other rewards and all of them succeed. If no reward is applicable the total is 0.

    Args:
        rewards: The terms R_k, all with different names.
        weights: The weights w_k, one for each reward.
    """

    name = "composite"

    rewards: list[Reward]
    weights: list[float]

    def __post_init__(self) -> None:
        names, num_weights = [reward.name for reward in self.rewards], len(self.weights)
        if not names or len(names) != num_weights:
            msg = f"a sum of rewards needs one weight for each reward: {len(names)} rewards, {num_weights} weights"
            raise ConfigError(msg)
        if not all(map(math.isfinite, self.weights)):
            msg = f"the weights {self.weights} of the rewards {', '.join(names)} must be finite numbers"
            raise ConfigError(msg)
        if len(set(names)) != len(names):
            msg = f"two rewards of one sum share a name, so one would hide the other in the metrics: {', '.join(names)}"
            raise ConfigError(msg)

    def score(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
    ) -> RewardOutput:
        """Score a flat list of B completions; see :meth:`Reward.__call__`."""
        outputs = [scored_by(reward, completions, questions, num_tokens) for reward in self.rewards]
        return self._sum(outputs, len(completions))

    def _sum(self, outputs: Sequence[RewardOutput], num_completions: int) -> RewardOutput:
        total = torch.zeros(num_completions)
        success = torch.ones(num_completions, dtype=torch.bool)
        judged = torch.zeros(num_completions, dtype=torch.bool)
        parts: dict[str, torch.Tensor] = {}
        for weight, output in zip(self.weights, outputs, strict=True):
            total = total + weight * torch.where(output.total.isnan(), 0.0, output.total)
            determines = output.verdicts & ~output.total.isnan()
            success, judged = success & (output.success | ~determines), judged | determines
            parts |= output.parts
        terms = [(weight, output.total) for weight, output in zip(self.weights, outputs, strict=True)]
        return RewardOutput(total=total, parts=parts, success=success & judged, weighted_terms=terms, judged=judged)


class ReMoTReward(CompositeReward):
    """R = 3.5·format + 3.5·accuracy + 1.3·conciseness + 1.7·logic, the reward of ReMoT.

    Weights as published (arXiv 2603.00461, section "Reward"); what each term is beyond its name is a reconstruction
    explained in its own class.

    Args:
        target_length: Words of reasoning that cost nothing; not published.
        scale: Surplus words that cost 1; not published.
        format_weight: Weight of :class:`FormatReward`.
        accuracy_weight: Weight of :class:`AccuracyReward`.
        conciseness_weight: Weight of :class:`ConcisenessReward`.
        logic_weight: Weight of :class:`LogicReward`.
    """

    name = "remot"

    def __init__(
        self,
        target_length: float = 200,
        scale: float = 200,
        format_weight: float = 3.5,
        accuracy_weight: float = 3.5,
        conciseness_weight: float = 1.3,
        logic_weight: float = 1.7,
    ) -> None:
        super().__init__(
            [FormatReward(), AccuracyReward(), ConcisenessReward(target_length, scale=scale), LogicReward()],
            [format_weight, accuracy_weight, conciseness_weight, logic_weight],
        )


@dataclass(eq=False)
class GatedReward(WrapperReward):
    """R where gate ≥ ``at_least``, else ``otherwise``; where the gate is not applicable it is open.

    Motion-o's published sum (arXiv 2603.18856) has the format for a gate.

    Args:
        reward: R.
        gate: The gate, such as a format.
        at_least: What the gate has to reach.
        otherwise: Value behind a closed gate.
        name: Metric key.
    """

    reward: Reward
    gate: Reward
    at_least: float = 1.0
    otherwise: float = 0.0
    name: str = "gated"

    def score(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
    ) -> RewardOutput:
        """Parts of both, and this reward's total. Behind a closed gate nothing succeeds."""
        inner = scored_by(self.reward, completions, questions, num_tokens)
        gate = scored_by(self.gate, completions, questions, num_tokens)
        is_open = gate.total.isnan() | (gate.total >= self.at_least)
        closed = torch.where(inner.total.isnan(), torch.nan, self.otherwise)
        total = torch.where(is_open, inner.total, closed)
        parts = {**gate.parts, **inner.parts, self.name: total}
        return RewardOutput(total, parts, inner.success & is_open, judged=inner.judged)


class PerTaskReward(WrapperReward):
    """The reward of each completion's task; VideoChat-R1 (arXiv 2504.06958) trains its tasks jointly in this way.

    Parts of other tasks are NaN ("not applicable"). Rewards of the same name in two tasks share one metric.

    Args:
        tasks: Reward by name of the task, which is a question's ``task``, or how it is asked if it has none.
        default: Reward of all other tasks; they are an error if None.
        same_as: Further tasks and the one of ``tasks`` whose reward they have, such as ``object_counting: numerical``.
        by: ``answer_type`` chooses by the type of the reference's answer instead, such as ``number`` or ``boxes``.
    """

    name = "per_task"

    def __init__(
        self,
        tasks: dict[str, Reward],
        default: Reward | None = None,
        same_as: dict[str, str] | None = None,
        by: Literal["task", "answer_type"] = "task",
    ) -> None:
        if not tasks and default is None:
            msg = "rewards by task need at least one task"
            raise ConfigError(msg)
        for task, other in (same_as or {}).items():
            if task in tasks or other not in tasks:
                msg = f"same_as has {task}: {other}; the first must be a new task, the second one of {', '.join(tasks)}"
                raise ConfigError(msg)
        self.tasks = tasks | {task: tasks[other] for task, other in (same_as or {}).items()}
        self.default = default
        self.by = by

    def score(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
    ) -> RewardOutput:
        """Score a flat list of B completions.

        Raises:
            ConfigError: If a question is of a task without a reward.
        """
        total = torch.full((len(completions),), torch.nan)
        success, judged = torch.zeros(2, len(completions), dtype=torch.bool)
        parts: dict[str, torch.Tensor] = {}
        terms: list[tuple[float, torch.Tensor]] = []
        rows_by_task: dict[str, list[int]] = {}
        for row, question in enumerate(questions):
            chosen = reference_of(question).answer_type if self.by == "answer_type" else task_of(question)
            rows_by_task.setdefault(chosen, []).append(row)
        for task, rows in rows_by_task.items():
            reward = self.tasks.get(task, self.default)
            if reward is None:
                kind = self.by.replace("_", " ")
                msg = f"there is no reward for the {kind} {task!r:.60}; the configuration has {', '.join(self.tasks)}"
                raise ConfigError(msg)
            output = scored_by(
                reward,
                [completions[row] for row in rows],
                [questions[row] for row in rows],
                None if num_tokens is None else [num_tokens[row] for row in rows],
            )
            total[rows], success[rows], judged[rows] = output.total, output.success, output.verdicts
            for name, part in output.parts.items():
                parts.setdefault(name, torch.full_like(total, torch.nan))[rows] = part
            for weight, term in output.weighted_terms or ((1.0, output.total),):
                spread = torch.full((len(completions),), torch.nan)
                spread[rows] = term
                terms.append((weight, spread))
        return RewardOutput(total=total, parts=parts, success=success, weighted_terms=terms, judged=judged)


@dataclass(eq=False)
class FunctionReward(Reward):
    """``function(completion, question)``, a number, or None where it is not applicable.

    Args:
        function: The function; in YAML its import path, such as my_rewards.brevity.
        name: Metric key; the function's own name if "".
        success_at: Value from which a completion succeeds; None for a function that does not determine success.
    """

    function: Callable[[str, Any], float | None]
    name: str = ""
    success_at: float | None = None

    def __post_init__(self) -> None:
        self.name = self.name or str(getattr(self.function, "__name__", "function"))

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """Call the function for each completion."""
        check_lengths(completions, questions)
        values = [self.function(text, question) for text, question in zip(completions, questions, strict=True)]
        total = as_column(f"from {self.name}", [torch.nan if value is None else value for value in values])
        success = ~total.isnan() if self.success_at is None else total >= self.success_at
        judged = ~total.isnan() & (self.success_at is not None)
        return RewardOutput(total, {self.name: total}, success, judged=judged)
