"""Several tasks in one run, each with its own rewards."""

from collections.abc import Sequence

import torch

from remot.errors import ConfigError
from remot.rewards.base import Reward, WrapperReward, scored_by
from remot.structures import Question, RewardOutput, task_of


class PerTaskReward(WrapperReward):
    """The reward of each completion's task; VideoChat-R1 (arXiv 2504.06958) trains its tasks jointly in this way.

    Parts of other tasks are NaN ("not applicable"). Rewards of the same name in two tasks share one metric.

    Args:
        tasks: Reward by name of the task, which is a question's ``task``, or how it is asked if it has none.
        default: Reward of all other tasks; they are an error if None.
        same_as: Further tasks and the one of ``tasks`` whose reward they have, such as ``object_counting: numerical``.
    """

    name = "per_task"

    def __init__(
        self, tasks: dict[str, Reward], default: Reward | None = None, same_as: dict[str, str] | None = None
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
        for task, rows in self._rows_by_task(questions).items():
            output = scored_by(
                self._reward(task),
                [completions[row] for row in rows],
                [questions[row] for row in rows],
                None if num_tokens is None else [num_tokens[row] for row in rows],
            )
            total[rows], success[rows], judged[rows] = output.total, output.success, output.verdicts
            for name, part in output.parts.items():
                parts.setdefault(name, torch.full_like(total, torch.nan))[rows] = part
            for weight, term in output.weighted_terms or ((1.0, output.total),):
                terms.append((weight, _spread(term, rows, len(completions))))
        return RewardOutput(total=total, parts=parts, success=success, weighted_terms=terms, judged=judged)

    def _rows_by_task(self, questions: Sequence[Question]) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for row, question in enumerate(questions):
            rows.setdefault(task_of(question), []).append(row)
        return rows

    def _reward(self, task: str) -> Reward:
        reward = self.tasks.get(task, self.default)
        if reward is None:
            msg = f"there is no reward for the task {task!r:.60}; the configuration has {', '.join(self.tasks)}"
            raise ConfigError(msg)
        return reward


def _spread(column: torch.Tensor, rows: list[int], num_rows: int) -> torch.Tensor:
    """A column [num_rows] with ``column`` in its rows and NaN in the others."""
    spread = torch.full((num_rows,), torch.nan)
    spread[rows] = column
    return spread
