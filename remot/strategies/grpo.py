"""The reinforced objective: sample a group of completions for each prompt, score them, prefer the better ones."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.losses import GRPOLoss, group_advantages
from remot.models.encoding import EncodedPrompts, ProcessedPrompts
from remot.models.policy import VLMPolicy
from remot.rewards import ReMoTReward, Reward
from remot.rollout.generator import RolloutAddress, generate
from remot.rollout.sampling import SamplingSettings
from remot.strategies.objective import Objective, PreparedStep, ScoredCompletions, StepAddress, micro_slices
from remot.structures import LossOutput, PromptBatch, Question, RewardOutput, Rollout


@dataclass(frozen=True)
class GRPOObjective(Objective):
    """Group-relative policy optimisation (arXiv 2402.03300) with a KL term to the reference policy.

    Args:
        num_completions: Completions G sampled for each prompt.
        max_new_tokens: Longest completion, end of turn included.
        sampling: How completions are drawn.
        reward: What they are scored with; ReMoT's with its defaults if None.
        loss: Clip range, KL weight and aggregation; the paper's if None.
        updates_per_rollout: Optimiser updates made from one rollout. With 1 the ratio is exactly 1.
    """

    num_completions: int = 8
    max_new_tokens: int = 64
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    reward: Reward | None = None
    loss: GRPOLoss | None = None
    updates_per_rollout: int = 1

    def __post_init__(self) -> None:
        if self.num_completions < 2:
            msg = f"grpo.num_completions must be at least 2 to compare completions, got {self.num_completions}"
            raise ConfigError(msg)
        if self.updates_per_rollout < 1 or self.max_new_tokens < 1:
            msg = "grpo.updates_per_rollout and grpo.max_new_tokens must be at least 1"
            raise ConfigError(msg)
        if self.sampling.is_greedy:
            msg = "grpo.sampling.temperature is 0: every completion of a group would be the same"
            raise ConfigError(msg)

    @cached_property
    def scorer(self) -> Reward:
        """What completions are scored with."""
        return self.reward if self.reward is not None else ReMoTReward()

    @cached_property
    def criterion(self) -> GRPOLoss:
        """The loss to minimise."""
        return self.loss if self.loss is not None else GRPOLoss()

    @property
    def needs_reference(self) -> bool:
        """True unless beta is 0."""
        return self.criterion.needs_reference

    def prepare(
        self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress, micro_batch_prompts: int
    ) -> PreparedStep:
        """Encode the prompts once, sample, score, and compare within each group."""
        started = time.perf_counter()
        prompts = policy.process(batch)
        with torch.no_grad():
            encoded = policy.encode(prompts)
        rollout = generate(
            policy,
            encoded,
            num_completions=self.num_completions,
            max_new_tokens=self.max_new_tokens,
            sampling=self.sampling,
            address=RolloutAddress(address.seed, address.step, tuple(q.prompt_id for q in batch.questions)),
        )
        rollout_seconds = time.perf_counter() - started
        scores = self._score(rollout, batch.questions)
        group = group_advantages(scores.total.view(len(batch), self.num_completions))
        group_step = _GroupStep(self, policy, prompts, encoded, rollout, group.advantages.to(policy.device))
        return PreparedStep(
            num_updates=self.updates_per_rollout,
            micro_losses=lambda: group_step.micro_losses(micro_batch_prompts),
            metrics={
                **reward_metrics(scores),
                "reward/frac_zero_std": float(group.frac_zero_std),
                **rollout_metrics(rollout, rollout_seconds),
            },
            samples=_samples(batch.questions, rollout, scores, self.num_completions),
        )

    def _score(self, rollout: Rollout, questions: Sequence[Question]) -> RewardOutput:
        texts = [text for group in rollout.texts for text in group]
        repeated = [question for question in questions for _ in range(self.num_completions)]
        return self.scorer(texts, repeated)


class _GroupStep:
    """Losses of one rollout, micro-batch by micro-batch; reference log-probabilities are computed once."""

    def __init__(
        self,
        objective: GRPOObjective,
        policy: VLMPolicy,
        prompts: ProcessedPrompts,
        encoded: EncodedPrompts,
        rollout: Rollout,
        advantages: Tensor,
    ) -> None:
        self.objective = objective
        self.policy = policy
        self.prompts = prompts
        self.encoded = encoded
        self.rollout = rollout
        self.advantages = advantages
        self.normalizer = objective.criterion.normalizer(rollout.completion_mask)
        self.reference: dict[int, Tensor] = {}

    def micro_losses(self, micro_batch_prompts: int) -> Iterator[LossOutput]:
        """Yields losses that add up to the loss of the batch."""
        for rows in micro_slices(len(self.prompts), micro_batch_prompts):
            yield self._loss(rows)

    def _loss(self, rows: slice) -> LossOutput:
        trained = self.policy.train_vision
        encoded = self.policy.encode(self.prompts.select(rows)) if trained else self.encoded.select(rows)
        token_ids = self.rollout.token_ids[rows]
        temperature = self.objective.sampling.temperature
        logprobs = self.policy.completion_logprobs(encoded, token_ids, temperature=temperature)
        on_policy = self.objective.updates_per_rollout == 1
        return self.objective.criterion(
            logprobs,
            logprobs.detach() if on_policy else self.rollout.logprobs[rows],
            self._reference(rows, encoded),
            self.advantages[rows],
            self.rollout.completion_mask[rows],
            normalizer=self.normalizer,
        )

    def _reference(self, rows: slice, encoded: EncodedPrompts) -> Tensor | None:
        if not self.objective.needs_reference:
            return None
        if rows.start not in self.reference:
            if self.policy.train_vision:
                encoded = self.policy.encode(encoded.prompts, use_reference=True)
            self.reference[rows.start] = self.policy.completion_logprobs(
                encoded,
                self.rollout.token_ids[rows],
                temperature=self.objective.sampling.temperature,
                use_reference=True,
            )
        return self.reference[rows.start]


def reward_metrics(scores: RewardOutput) -> dict[str, float]:
    """Mean of the total and of each part; what does not apply to a completion is left out of its mean."""
    means = {f"reward/{name}": float(part.nanmean()) for name, part in scores.parts.items()}
    return {"reward/total": float(scores.total.mean()), **means, "reward/success": float(scores.success.float().mean())}


def rollout_metrics(rollout: Rollout, seconds: float) -> dict[str, float]:
    """Length, speed and how many completions ended by themselves."""
    num_tokens = rollout.num_tokens.float()
    return {
        "completion/num_tokens": float(num_tokens.mean()),
        "completion/frac_finished": float(rollout.finished.float().mean()),
        "rollout/seconds": seconds,
        "rollout/tokens_per_second": float(num_tokens.sum()) / max(seconds, 1e-9),
    }


def _samples(
    questions: Sequence[Question], rollout: Rollout, scores: RewardOutput, num_completions: int
) -> list[ScoredCompletions]:
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
