"""One GRPO step, pass by pass in the order in which they run.

1. :func:`sample`: encode the prompts and generate G completions for each.
2. :func:`score`: the reward of every completion.
3. :func:`select`: leave out groups without a difference, or draw other prompts in their place.
4. :func:`prepare_step`: advantages of the groups that are left.
5. :class:`GroupLosses`: micro-batch by micro-batch the log-probabilities of the policy, of the policy before the first
   update and of the reference, and from them the loss, which the module differentiates.

Passes 1 to 4 run once a step and without gradient, pass 5 once for each optimizer update. The optimizer moves the
weights in ``PostTrainingModule._update``.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

import torch
from torch import Tensor

from remot.distributed import is_distributed, mean_over_processes
from remot.errors import ConfigError
from remot.losses import Advantages, ImportanceCorrection, PolicyLoss, masked_mean
from remot.losses.aggregate import token_count
from remot.losses.importance import ImportanceWeights
from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.rewards import Reward
from remot.rewards.base import require_applicable, scored_by
from remot.rollout.decoding.engine import RolloutEngine
from remot.rollout.generator import RolloutAddress, generate
from remot.rollout.sampling import SamplingSettings
from remot.rollout.servers.base import ExternalEngine, external_rollout
from remot.strategies.counterfactuals.base import Counterpart, questions_with_counterparts
from remot.strategies.grpo.dynamic_sampling import DynamicSampling, Selection, select_groups
from remot.strategies.grpo.groups import Draw
from remot.strategies.grpo.metrics import LogprobGap, frac_equal, reward_metrics, rollout_metrics
from remot.strategies.objective import (
    MicroBatchPrompts,
    PreparedStep,
    ScoredCompletions,
    StepAddress,
    micro_slices,
    planned_micro_batch,
)
from remot.structures import LossOutput, PromptBatch, Question, RewardOutput, Rollout


@dataclass(frozen=True)
class DrawSettings:
    """How groups are drawn and scored.

    Args:
        num_completions: G.
        max_new_tokens: Longest completion, end of turn included.
        sampling: How completions are drawn.
        reward: What they are scored with.
        counterparts: What the reward compares completions with: those for a changed input. None for nothing.
        engine: What decodes completions, which changes none of them.
        external: Another engine that samples; None for the policy itself.
    """

    num_completions: int
    max_new_tokens: int
    sampling: SamplingSettings
    reward: Reward
    counterparts: Counterpart | None = None
    engine: RolloutEngine = field(default_factory=RolloutEngine)
    external: ExternalEngine | None = None


@dataclass(frozen=True)
class StepSettings:
    """Everything that a step depends on besides its prompts and its address.

    Args:
        draw: How groups are drawn and scored.
        comparison: How completions are compared.
        criterion: The loss.
        correction: Weights for completions of another engine; None for none.
        dynamic_sampling: What happens to groups without a difference; None trains on them.
        mask_truncated: Do not train on completions that were cut off.
        num_updates: Optimizer updates made from one rollout.
    """

    draw: DrawSettings
    comparison: Advantages
    criterion: PolicyLoss
    correction: ImportanceCorrection | None
    dynamic_sampling: DynamicSampling | None
    mask_truncated: bool
    num_updates: int


def prepare_step(
    settings: StepSettings,
    policy: VLMPolicy,
    batch: PromptBatch,
    address: StepAddress,
    micro_batch_prompts: MicroBatchPrompts,
) -> PreparedStep:
    """All passes of a step that need no gradient, and what computes its losses.

    Raises:
        ConfigError: If prompts are to be drawn again and the data module has no ``redraw``.
        RewardError: If the reward returns something else than one number for each completion, or NaN for all.
    """
    counterparts = settings.draw.counterparts
    if settings.draw.external is not None:
        settings.draw.external.sync_weights(policy, address.step)
    with policy.gathered():
        first, scores = draw_groups(policy, batch, address.seed, address.step, settings.draw)
        require_applicable(settings.draw.reward, first.rewards)
        if counterparts is not None:
            counterparts.observe(first.questions, first.rollout.texts)
        selection = select(policy, first, address, settings)
    draw, is_kept = selection.draw, selection.is_kept  # [P] bool
    compared = settings.comparison(draw.rewards[is_kept], draw.terms[:, is_kept], draw.weights)  # [K, G] of K kept
    num_prompts, num_completions, num_tokens = draw.rollout.token_ids.shape
    num_columns = draw.encoded.prompts.input_ids.shape[1]
    size = planned_micro_batch(policy, micro_batch_prompts, num_columns, (num_prompts, num_completions, num_tokens))
    losses = GroupLosses(settings, policy, selection, compared.advantages, size)
    return PreparedStep(
        num_updates=settings.num_updates,
        micro_losses=losses,
        micro_batch_prompts=size,
        num_micro_losses=lambda size: len(losses.slices(size)),
        metrics=step_metrics(settings, first, scores, selection),
        samples=scored_samples(batch.questions, first.rollout, scores, settings.draw.num_completions),
        late_metrics=losses.gap.metrics,
    )


# -- 1. and 2. completions and their rewards -----------------------------------------------------------------------


def draw_groups(
    policy: VLMPolicy, batch: PromptBatch, seed: int, step: int, settings: DrawSettings
) -> tuple[Draw, RewardOutput]:
    """Encode the prompts once, sample and score.

    Returns:
        The groups, and the scores of all completions in one list.
    """
    started = time.perf_counter()
    encoded, rollout = sample(policy, batch, seed, step, settings)
    seconds = time.perf_counter() - started
    questions = _questions(policy, batch, StepAddress(seed, step, engine=settings.engine), settings)
    counterpart_seconds = time.perf_counter() - started - seconds
    scores = score(rollout, questions, settings)
    shape = len(batch), settings.num_completions
    weighted = scores.weighted_terms or ((1.0, scores.total),)
    draw = Draw(
        batch=batch,
        encoded=encoded,
        rollout=rollout,
        rewards=scores.total.view(shape),  # [P, G]
        success=scores.success.view(shape),  # [P, G]
        terms=torch.stack([term for _, term in weighted]).view(-1, *shape),  # [K, P, G]
        weights=tuple(weight for weight, _ in weighted),
        seconds=seconds,
        counterpart_seconds=counterpart_seconds,
        questions=questions,
    )
    return draw, scores


class SampledHow(TypedDict):
    """What the policy and other engines are given alike."""

    num_completions: int
    max_new_tokens: int
    sampling: SamplingSettings
    address: RolloutAddress


def sample(
    policy: VLMPolicy, batch: PromptBatch, seed: int, step: int, settings: DrawSettings
) -> tuple[EncodedPrompts, Rollout]:
    """Encode the prompts and generate G completions for each."""
    prompts = policy.process(batch)
    with torch.no_grad():
        encoded = policy.encode(prompts)
    how: SampledHow = {
        "num_completions": settings.num_completions,
        "max_new_tokens": settings.max_new_tokens,
        "sampling": settings.sampling,
        "address": RolloutAddress(seed, step, tuple(question.prompt_id for question in batch.questions)),
    }
    if settings.external is None:
        return encoded, generate(policy, encoded, **how, engine=settings.engine)
    return encoded, external_rollout(settings.external, policy, batch, encoded, **how)


def _questions(
    policy: VLMPolicy, batch: PromptBatch, address: StepAddress, settings: DrawSettings
) -> Sequence[Question]:
    """The questions that completions are scored against."""
    if settings.counterparts is None:
        return batch.questions
    return questions_with_counterparts(
        policy, batch, settings.counterparts, address, settings.sampling, settings.max_new_tokens
    )


def score(rollout: Rollout, questions: Sequence[Question], settings: DrawSettings) -> RewardOutput:
    """The reward of all P·G completions in one list, group after group."""
    texts = [text for group in rollout.texts for text in group]
    repeated = [question for question in questions for _ in range(settings.num_completions)]
    return scored_by(settings.reward, texts, repeated, rollout.num_tokens.flatten().tolist())


# -- 3. groups that are trained on ---------------------------------------------------------------------------------


def select(policy: VLMPolicy, first: Draw, address: StepAddress, settings: StepSettings) -> Selection:
    """The groups to train on; all that were drawn unless dynamic sampling is on."""
    dynamic, source = settings.dynamic_sampling, address.prompt_source
    if dynamic is None:
        everything = torch.ones(len(first.batch), dtype=torch.bool)  # [P]
        return Selection(first, everything, 0, len(first.batch), first.seconds)
    if dynamic.max_redraws > 0 and source is None:
        msg = (
            "grpo.dynamic_sampling draws prompts again, and the data module is no PromptSource (redraw, resampler, "
            "describe); set max_redraws to 0 to leave groups without a difference out"
        )
        raise ConfigError(msg)

    def draw_more(attempt: int, num_prompts: int) -> Draw:
        assert source is not None
        batch = source.redraw(address.step, attempt, num_prompts)
        return draw_groups(policy, batch, address.seed, address.step, settings.draw)[0]

    return select_groups(policy, first, draw_more, dynamic)


def trained_tokens(rollout: Rollout, is_kept: Tensor, *, mask_truncated: bool) -> Tensor:
    """[P, G, T] bool, True for tokens that are trained on.

    Args:
        rollout: The completions.
        is_kept: [P] bool, groups that are trained on.
        mask_truncated: Leave completions out that were cut off, whose reward says little of what would have followed.
    """
    mask = rollout.completion_mask & is_kept.to(rollout.completion_mask.device)[:, None, None]  # [P, G, T]
    return mask & rollout.finished[..., None] if mask_truncated else mask


def spread(advantages: Tensor, is_kept: Tensor) -> Tensor:
    """Advantages [K, G] of the kept groups as [P, G] of all, 0 for the others."""
    result = torch.zeros(len(is_kept), advantages.shape[-1], dtype=advantages.dtype, device=advantages.device)  # [P, G]
    result[is_kept] = advantages
    return result


# -- 5. losses -----------------------------------------------------------------------------------------------------


class GroupLosses:
    """Losses of one rollout; what does not change between updates is computed once.

    Args:
        settings: What is minimised.
        policy: The policy being trained.
        selection: P groups; those that are not kept count in no denominator.
        advantages: [K, G] of the K groups that are kept.
        micro_batch_prompts: Prompts of one forward and backward pass, unless a call says otherwise.
    """

    def __init__(
        self,
        settings: StepSettings,
        policy: VLMPolicy,
        selection: Selection,
        advantages: Tensor,
        micro_batch_prompts: int,
    ) -> None:
        is_kept, rollout = selection.is_kept, selection.draw.rollout
        self.settings = settings
        self.policy = policy
        self.encoded = selection.draw.encoded
        self.rollout = rollout
        self.advantages = spread(advantages, is_kept).to(policy.device)  # [P, G]
        self.mask = mask = trained_tokens(rollout, is_kept, mask_truncated=settings.mask_truncated)  # [P, G, T]
        self.micro_batch_prompts = micro_batch_prompts
        self.temperature = settings.draw.sampling.temperature
        counted = mask[is_kept.to(mask.device)]  # [K, G, T] of the K groups that are kept
        self.num_tokens = mean_over_processes(token_count(counted), mask.device) or 1.0
        normalizer = settings.criterion.normalizer(counted) if len(counted) else 0.0
        if settings.criterion.denominator_is_global:
            normalizer = mean_over_processes(normalizer, mask.device)
        self.normalizer = normalizer or 1.0
        # By prompt, as all that is kept between updates: micro-batches may become smaller.
        self.reference: dict[int, Tensor] = {}
        self.before: dict[int, Tensor] = {}
        self.gap = LogprobGap(rollout)

    def slices(self, micro_batch_prompts: int) -> list[slice]:
        """The micro-batches, at least one.

        One in which nothing is trained on is passed over, unless there are other processes: all of them must make the
        same number of backward passes.
        """
        slices = list(micro_slices(len(self.encoded), micro_batch_prompts))
        if is_distributed():
            return slices
        return [rows for rows in slices if bool(self.mask[rows].any())] or slices[:1]

    def __call__(self, micro_batch_prompts: int | None = None) -> Iterator[LossOutput]:
        """Yields losses of :meth:`slices` that add up to the loss of the batch."""
        for rows in self.slices(micro_batch_prompts or self.micro_batch_prompts):
            yield self.loss(rows)

    def loss(self, rows: slice) -> LossOutput:
        """The loss of the prompts ``rows``, p of them."""
        trained = self.policy.train_vision
        encoded = self.policy.encode(self.encoded.prompts.select(rows)) if trained else self.encoded.select(rows)
        token_ids, mask = self.rollout.token_ids[rows], self.mask[rows]  # [p, G, T] each
        logprobs = self.policy.completion_logprobs(encoded, token_ids, temperature=self.temperature)  # [p, G, T]
        self.gap.note(rows, logprobs.detach())
        # Of the first update, when nothing has moved. The sampler's own differ by rounding, in half precision by more
        # than the clip range of a sequence ratio.
        before = _of_rows(self.before, rows, logprobs.detach)  # [p, G, T]
        weights = self._importance(before, rows)
        output = self.settings.criterion(
            logprobs,
            before,
            self._reference(rows, encoded),
            self.advantages[rows],
            mask,
            normalizer=self.normalizer,
            weights=None if weights is None else weights.weights,
        )
        return output if weights is None else replace(output, metrics={**output.metrics, **self._logged(weights, mask)})

    def _importance(self, before: Tensor, rows: slice) -> ImportanceWeights | None:
        """What makes up for a sampler whose probabilities are not the policy's before the update."""
        correction = self.settings.correction
        return None if correction is None else correction(before, self.rollout.logprobs[rows], self.mask[rows])

    def _logged(self, importance: ImportanceWeights, mask: Tensor) -> dict[str, float]:
        values = {
            "importance/ratio_mean": importance.ratio,
            "importance/weight_mean": importance.weights,
            "importance/frac_bounded": importance.is_bounded.to(importance.ratio.dtype),
        }
        return {name: float(masked_mean(value, mask, self.num_tokens)) for name, value in values.items()}

    def _reference(self, rows: slice, encoded: EncodedPrompts) -> Tensor | None:
        """[p, G, T] log-probabilities of the reference; None if the loss needs none."""
        if not self.settings.criterion.needs_reference:
            return None

        def compute() -> Tensor:
            own = self.policy.train_vision
            seen = self.policy.encode(encoded.prompts, use_reference=True) if own else encoded
            return self.policy.completion_logprobs(
                seen, self.rollout.token_ids[rows], temperature=self.temperature, use_reference=True
            )

        return _of_rows(self.reference, rows, compute)


def _of_rows(kept: dict[int, Tensor], rows: slice, compute: Callable[[], Tensor]) -> Tensor:
    """[p, G, T] of some prompts: what is kept of them, computed and kept if one is missing."""
    numbers = range(rows.start, rows.stop)
    if any(number not in kept for number in numbers):
        kept.update(zip(numbers, compute(), strict=True))
    return torch.stack([kept[number] for number in numbers])


# -- reports -------------------------------------------------------------------------------------------------------


def step_metrics(settings: StepSettings, first: Draw, scores: RewardOutput, selection: Selection) -> dict[str, float]:
    """Numbers to log; those of what is off by default are left out of a plain run."""
    metrics = {
        **reward_metrics(scores),
        "reward/frac_zero_std": frac_equal(first.rewards),
        **rollout_metrics(first.rollout, first.seconds),
    }
    if settings.mask_truncated:
        metrics["completion/frac_masked"] = 1 - float(selection.draw.rollout.finished.float().mean())
    if settings.dynamic_sampling is not None:
        metrics |= {**selection.metrics, "rollout/seconds": selection.seconds}
    if settings.draw.counterparts is not None:
        metrics["rollout/counterpart_seconds"] = selection.draw.counterpart_seconds
        metrics |= settings.draw.counterparts.metrics()
    return metrics


def scored_samples(
    questions: Sequence[Question], rollout: Rollout, scores: RewardOutput, num_completions: int
) -> list[ScoredCompletions]:
    """The completions of each prompt and their rewards, for the page of samples."""
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
