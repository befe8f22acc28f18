"""A reward that counts only if another one is high enough."""

from collections.abc import Sequence

import torch

from remot.rewards.base import Reward, WrapperReward, scored_by
from remot.structures import Question, RewardOutput


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

    def __init__(
        self, reward: Reward, gate: Reward, at_least: float = 1.0, otherwise: float = 0.0, name: str = "gated"
    ) -> None:
        self.reward = reward
        self.gate = gate
        self.at_least = at_least
        self.otherwise = otherwise
        self.name = name

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
