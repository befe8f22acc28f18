"""Metrics of the completions of a step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from remot.strategies.grpo.parts import KeptByCompletion, Part
from remot.structures import RewardOutput, Rollout


def reward_metrics(scores: RewardOutput) -> dict[str, float]:
    """Mean of the total and of each part; what does not apply to a completion is left out of its mean."""
    means = {f"reward/{name}": float(part.nanmean()) for name, part in scores.parts.items()}
    return {
        "reward/total": float(scores.total.nanmean()),
        **means,
        "reward/success": float(scores.successes.float().mean()),
    }


def rollout_metrics(rollout: Rollout, seconds: float) -> dict[str, float]:
    """Length, speed and how many completions ended by themselves."""
    num_tokens = rollout.num_tokens.float()
    return {
        "completion/num_tokens": float(num_tokens.mean()),
        "completion/frac_finished": float(rollout.finished.float().mean()),
        "rollout/num_tokens": float(num_tokens.sum()),
        "rollout/seconds": seconds,
        "rollout/tokens_per_second": float(num_tokens.sum()) / max(seconds, 1e-9),
    }


@dataclass(eq=False)
class LogprobMismatch:
    """How far the sampler's log-probabilities are from the scoring pass's, before the weights move.

    Both are of the same weights, computed in different orders: near 0 in float32, some hundredths in half precision. A
    large gap means that one of them is wrong. It costs nothing: the pass with gradient is made anyhow.

    Args:
        rollout: Completions with the sampler's log-probabilities.
    """

    rollout: Rollout

    def __post_init__(self) -> None:
        logprobs = self.rollout.logprobs
        #: [P, G, 3] sum, count and largest gap of a completion's tokens.
        self.gaps = KeptByCompletion((*logprobs.shape[:2], 3), logprobs.device)

    def update(self, part: Part, logprobs: Tensor, mask: Tensor) -> None:
        """Compare the tokens under ``mask`` [p, G, T] of a part; only once, as later the weights have moved."""

        def compute() -> Tensor:
            gaps = (logprobs - self.rollout.logprobs[part.rows]).abs().masked_fill(~mask, 0.0)
            return torch.stack([gaps.sum(-1), mask.sum(-1).to(gaps), gaps.amax(-1)], dim=-1)  # [p, G, 3]

        self.gaps.of(part, compute)

    def metrics(self) -> dict[str, float]:
        """Mean over tokens and the largest; nothing if nothing was compared."""
        if not bool(self.gaps.is_known.any()):
            return {}
        sums = self.gaps.values.flatten(0, 1)  # [P * G, 3]
        total, count, _ = sums.sum(0).tolist()
        largest = float(sums[:, 2].amax())
        return {"rollout/logprob_gap_mean": total / max(count, 1.0), "rollout/logprob_gap_max": largest}
