"""Several tasks in one run, each with its own rewards."""

from collections.abc import Sequence

import torch

from remot.errors import ConfigError
from remot.rewards.base import Reward, check_lengths
from remot.structures import Question, RewardOutput, task_of


class PerTaskReward(Reward):
    """The reward of each completion's task; VideoChat-R1 (arXiv 2504.06958) trains its tasks jointly in this way.

    Parts of other tasks are NaN ("not applicable"). Rewards of the same name in two tasks share one metric.

    Args:
        tasks: Reward by name of the task, which is a question's ``task``, or how it is asked if it has none.
        default: Reward of all other tasks; they are an error if None.
    """

    name = "per_task"

    def __init__(self, tasks: dict[str, Reward], default: Reward | None = None) -> None:
        if not tasks and default is None:
            msg = "rewards by task need at least one task"
            raise ConfigError(msg)
        self.tasks = tasks
        self.default = default

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """Score a flat list of B completions.

        Raises:
            ConfigError: If a question is of a task without a reward.
        """
        check_lengths(completions, questions)
        total = torch.full((len(completions),), torch.nan)
        success = torch.zeros(len(completions), dtype=torch.bool)
        parts: dict[str, torch.Tensor] = {}
        for task, rows in self._rows_by_task(questions).items():
            output = self._reward(task)([completions[row] for row in rows], [questions[row] for row in rows])
            total[rows], success[rows] = output.total, output.success
            for name, part in output.parts.items():
                parts.setdefault(name, torch.full_like(total, torch.nan))[rows] = part
        return RewardOutput(total=total, parts=parts, success=success)

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
