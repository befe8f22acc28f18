"""Metrics of the completions of a step."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

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
    #: By prompt and first completion of a part, [3]: sum, count and largest, on the device.
    of_parts: dict[tuple[int, int], Tensor] = field(default_factory=dict, init=False)

    def update(self, rows: slice, first: int, logprobs: Tensor, mask: Tensor) -> None:
        """Compare the tokens under ``mask`` of some prompts [p, G, T]; only once, as later the weights have moved.

        ``first`` is the first of those completions of each that the part holds.
        """
        if (rows.start, first) in self.of_parts:
            return
        gaps = (logprobs - self.rollout.logprobs[rows]).abs().masked_fill(~mask, 0.0).flatten(1)
        sums = torch.stack([gaps.sum(-1), mask.flatten(1).sum(-1).to(gaps), gaps.amax(-1)], dim=-1)
        names = [(number, first) for number in range(rows.start, rows.stop)]
        self.of_parts.update(zip(names, sums, strict=True))

    def metrics(self) -> dict[str, float]:
        """Mean over tokens and the largest; nothing if nothing was compared."""
        if not self.of_parts:
            return {}
        sums = torch.stack(list(self.of_parts.values()))  # [parts, 3]
        total, count, _ = sums.sum(0).tolist()
        largest = float(sums[:, 2].amax())
        return {"rollout/logprob_gap_mean": total / max(count, 1.0), "rollout/logprob_gap_max": largest}
