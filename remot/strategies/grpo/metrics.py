"""What is reported of the completions of a step: numbers for the logger, texts for people."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from remot.losses.advantages import all_equal
from remot.strategies.objective import ScoredCompletions
from remot.structures import Question, RewardOutput, Rollout


def frac_equal(rewards: Tensor) -> float:
    """Share of groups [P, G] whose rewards are all equal."""
    equal = all_equal(rewards)
    return float(equal.to(rewards.dtype).sum() / max(1, len(equal)))


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
        "rollout/seconds": seconds,
        "rollout/tokens_per_second": float(num_tokens.sum()) / max(seconds, 1e-9),
    }


def scored_samples(
    questions: Sequence[Question], rollout: Rollout, scores: RewardOutput, num_completions: int
) -> list[ScoredCompletions]:
    """The completions of each prompt beside what they earned, for people to look at."""
    columns = {"total": scores.total, **scores.parts}

    def parts(flat: int) -> Mapping[str, float]:
        return {name: float(column[flat]) for name, column in columns.items()}

    return [
        ScoredCompletions(
            prompt_index=p,
            question=question,
            completions=rollout.texts[p],
            rewards=[parts(p * num_completions + g) for g in range(num_completions)],
        )
        for p, question in enumerate(questions)
    ]
