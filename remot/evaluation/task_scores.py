"""What answers to tasks are worth by the reward of their task."""

import math
from collections.abc import Sequence
from dataclasses import replace

from remot.evaluation.scores import JudgedCompletion
from remot.rewards import Reward
from remot.rewards.base import scored_by
from remot.structures import Question


def with_rewards(
    judged: Sequence[JudgedCompletion], questions: Sequence[Question], reward: Reward | None
) -> list[JudgedCompletion]:
    """The same completions, those of tasks with the total and the parts of their reward and whether they succeed.

    Args:
        judged: P x G completions, those of one prompt one after another.
        questions: The P questions.
        reward: What tasks are scored with; None leaves everything as it is.

    Raises:
        ConfigError: If the reward has none for one of the tasks.
    """
    group = len(judged) // max(1, len(questions))
    rows = [row for row, one in enumerate(judged) if one.task]
    if reward is None or not rows:
        return list(judged)
    output = scored_by(
        reward,
        [judged[row].completion for row in rows],
        [questions[row // group] for row in rows],
        [judged[row].num_tokens for row in rows],
    )
    scored = list(judged)
    for place, row in enumerate(rows):
        parts = {name: float(part[place]) for name, part in output.parts.items() if not math.isnan(float(part[place]))}
        total, success = float(output.total[place]), float(output.successes[place])
        scored[row] = replace(judged[row], total=total, success=success, rewards={"total": total, **parts})
    return scored
