"""Weighted sums of rewards."""

from collections.abc import Sequence

import torch

from remot.errors import ConfigError
from remot.rewards.answers.accuracy import AccuracyReward
from remot.rewards.answers.format import FormatReward
from remot.rewards.answers.logic import LogicReward
from remot.rewards.base import Reward, WrapperReward, scored_by
from remot.rewards.length.conciseness import ConcisenessReward
from remot.structures import Question, RewardOutput


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

    def __init__(self, rewards: list[Reward], weights: list[float]) -> None:
        names = [reward.name for reward in rewards]
        if not rewards or len(rewards) != len(weights):
            msg = f"a sum of rewards needs one weight for each reward: {len(rewards)} rewards, {len(weights)} weights"
            raise ConfigError(msg)
        if len(set(names)) != len(names):
            msg = f"two rewards of one sum share a name, so one would hide the other in the metrics: {', '.join(names)}"
            raise ConfigError(msg)
        self.rewards = rewards
        self.weights = weights

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
