"""One GRPO step, pass by pass in the order in which they run.

1. :func:`sample`: encode the prompts and generate G completions for each.
2. :func:`sample_groups`: also the reward of every completion.
3. :func:`select`: leave out groups without a difference, or sample other prompts in their place.
4. :func:`prepare_step`: advantages of the groups that are left.
5. :class:`GroupLosses`: micro-batch by micro-batch the log-probabilities of the policy, of the policy before the first
   update and of the reference, and from them the loss, which the module differentiates.

Passes 1 to 4 run once a step and without gradient, pass 5 once for each optimizer update. The optimizer moves the
weights in ``PostTrainingModule._update``.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from remot.distributed import is_distributed, mean_over_processes
from remot.errors import ConfigError
from remot.losses import (
    Advantages,
    Entropy,
    GroupAdvantages,
    GRPOLoss,
    ImportanceCorrection,
    PolicyLoss,
    entropy_bonus,
    masked_mean,
    top_entropy_mask,
)
from remot.losses.advantages import all_equal
from remot.losses.aggregate import token_count
from remot.losses.distillation import distillation_loss
from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.rewards import Reward
from remot.rewards.base import require_applicable, scored_by
from remot.rollout.sampling import RolloutAddress, RolloutRequest, SamplingSettings
from remot.rollout.sources import PolicyRollouts, RolloutSource, SampledPrompts
from remot.strategies.counterfactuals.base import Counterfactual, questions_with_counterfactuals
from remot.strategies.grpo.dynamic_sampling import DynamicSampling, Selection, select_groups, source_that_redraws
from remot.strategies.grpo.groups import SampledGroups
from remot.strategies.grpo.metrics import LogprobMismatch, reward_metrics, rollout_metrics
from remot.strategies.grpo.parts import KeptByCompletion, Part
from remot.strategies.grpo.teacher import PrivilegedTeacher, TaughtRollout
from remot.strategies.grpo.turns import ScoredTurns, ScoreTurn
from remot.strategies.objective import (
    MicroBatchPrompts,
    PreparedStep,
    ScoredCompletions,
    StepAddress,
    UpcomingPrompts,
    clips_of,
    micro_slices,
    planned_micro_batch,
)
from remot.structures import LossOutput, PromptBatch, Question, RewardOutput, Rollout, task_of


@dataclass(frozen=True)
class StepSettings:
    """Everything that a step depends on besides its prompts and its address."""

    num_completions: int
    max_new_tokens: int  # longest completion, end of turn included
    sampling: SamplingSettings
    reward: Reward
    #: Changes the input for rewards that compare completions with those for the changed input.
    counterfactuals: Counterfactual | None = None
    rollouts: RolloutSource = field(default_factory=PolicyRollouts)  # where completions come from
    comparison: Advantages = field(default_factory=GroupAdvantages)
    criterion: PolicyLoss = field(default_factory=GRPOLoss)
    correction: ImportanceCorrection | None = None  # weights for completions of another engine; None for none
    entropy: Entropy | None = None  # what it is used for; None computes none
    dynamic_sampling: DynamicSampling | None = None  # what happens to groups without a difference; None trains on them
    mask_truncated: bool = False  # do not train on completions that were cut off
    teacher: PrivilegedTeacher | None = None  # teaches tokens; None weighs those of a completion alike
    num_updates: int = 1  # optimizer updates made from one rollout
    #: Completion tokens of one backward pass at most, unless a single completion has more; None for no limit.
    micro_batch_tokens: int | None = None


def prepare_step(
    settings: StepSettings,
    policy: VLMPolicy,
    batch: PromptBatch,
    address: StepAddress,
    micro_batch_prompts: MicroBatchPrompts,
) -> PreparedStep:
    """All passes of a step that need no gradient, and what computes its losses.

    Raises:
        ConfigError: If other prompts are to be sampled and the data module has no ``redraw``.
        RewardError: If the reward returns something else than one number for each completion, or NaN for all.
    """
    settings.rollouts.synchronise(policy, address.step)
    with policy.gathered():
        first, scores = sample_groups(policy, batch, address, settings)
        begin_next(policy, address, settings)
        require_applicable(settings.reward, first.rewards)
        if settings.counterfactuals is not None:
            settings.counterfactuals.observe(first.questions, first.rollout.texts)
        selection = select(policy, first, address, settings)
    groups, is_kept = selection.groups, selection.is_kept  # is_kept: [P] bool
    # Advantages [K, G] of the K groups that are kept.
    tasks = [task_of(question) for question, kept in zip(groups.questions, is_kept.tolist(), strict=True) if kept]
    compared = settings.comparison(groups.rewards[is_kept], groups.terms[:, is_kept], groups.weights, tasks)
    num_columns = groups.encoded.prompts.input_ids.shape[1] + groups.conversations.num_prompt_columns
    num_prompts, num_completions, num_tokens = groups.rollout.token_ids.shape
    shape = (num_prompts, num_columns, num_completions, num_tokens)
    shares = policy.shares_prompts(groups.encoded)
    size = planned_micro_batch(policy, micro_batch_prompts, shape, shares_prompts=shares)
    losses = GroupLosses(settings, policy, selection, compared.advantages, size, address.step)
    return PreparedStep(
        num_updates=settings.num_updates,
        micro_losses=losses,
        micro_batch_prompts=size,
        shape=shape,
        shares_prompts=shares,
        num_micro_losses=lambda size: len(losses.parts(size)),
        metrics=step_metrics(settings, first, scores, selection),
        samples=scored_samples(batch.questions, first.rollout, scores),
        has_signal=(~all_equal(first.rewards)).tolist(),
        late_metrics=losses.mismatch.metrics,
    )


# -- 1. and 2. completions and their rewards -----------------------------------------------------------------------


def sample_groups(
    policy: VLMPolicy, batch: PromptBatch, address: StepAddress, settings: StepSettings
) -> tuple[SampledGroups, RewardOutput]:
    """Encode the prompts once, sample and score.

    Returns:
        The groups, and the scores of all completions in one list.
    """
    started = time.perf_counter()
    sampled = sample(policy, batch, address, settings)
    rollout = sampled.rollout
    seconds = time.perf_counter() - started
    questions: Sequence[Question] = batch.questions
    if settings.counterfactuals is not None:
        questions = questions_with_counterfactuals(
            policy, batch, settings.counterfactuals, address, settings.sampling, settings.max_new_tokens
        )
    counterfactual_seconds = time.perf_counter() - started - seconds
    # All P·G completions in one list, group after group.
    texts = [text for group in sampled.conversations.answers for text in group]
    repeated = [question for question in questions for _ in range(settings.num_completions)]
    asked = sampled.conversations.questions(repeated)
    scores = scored_by(settings.reward, texts, asked, rollout.num_tokens.flatten().tolist())
    shape = len(batch), settings.num_completions
    weighted = scores.weighted_terms or ((1.0, scores.total),)
    groups = SampledGroups(
        batch=batch,
        encoded=sampled.encoded,
        rollout=rollout,
        conversations=sampled.conversations,
        rewards=scores.total.view(shape),  # [P, G]
        success=scores.success.view(shape),  # [P, G]
        terms=torch.stack([term for _, term in weighted]).view(-1, *shape),  # [K, P, G]
        weights=tuple(weight for weight, _ in weighted),
        seconds=seconds,
        counterfactual_seconds=counterfactual_seconds,
        questions=questions,
    )
    return groups, scores


def sample(policy: VLMPolicy, batch: PromptBatch, address: StepAddress, settings: StepSettings) -> SampledPrompts:
    """Encode the prompts and generate G completions for each, or G conversations."""
    request = request_of(batch, address, settings)
    return settings.rollouts.sample(policy, batch, request, clips_of(address.prompt_source), address.engine)


def request_of(batch: PromptBatch, address: StepAddress, settings: StepSettings) -> RolloutRequest:
    """What is sampled for a batch."""
    noise = RolloutAddress(address.seed, address.step, tuple(question.prompt_id for question in batch.questions))
    return RolloutRequest(settings.num_completions, settings.max_new_tokens, settings.sampling, noise)


def source_that_looks_ahead(source: object) -> UpcomingPrompts:
    """The data module, if it knows the batch after the one that is trained on.

    Raises:
        ConfigError: If it does not.
    """
    if isinstance(source, UpcomingPrompts):
        return source
    msg = (
        "grpo.engine.one_step_ahead asks for the next batch early, and the data module does not know it (`upcoming`); "
        "leave one_step_ahead out"
    )
    raise ConfigError(msg)


def begin_next(policy: VLMPolicy, address: StepAddress, settings: StepSettings) -> None:
    """Begin to sample the completions of the next step, if another engine does that and the next step needs them."""
    following = replace(address, step=address.step + settings.num_updates)
    if not settings.rollouts.one_step_ahead or not address.is_due(following.step):
        return
    batch = source_that_looks_ahead(address.prompt_source).upcoming()
    settings.rollouts.begin(policy, batch, request_of(batch, following, settings))


# -- 3. groups that are trained on ---------------------------------------------------------------------------------


def select(policy: VLMPolicy, first: SampledGroups, address: StepAddress, settings: StepSettings) -> Selection:
    """The groups to train on; all that were sampled unless dynamic sampling is on."""
    dynamic = settings.dynamic_sampling
    if dynamic is None:
        everything = torch.ones(len(first.batch), dtype=torch.bool)  # [P]
        return Selection(first, everything, 0, len(first.batch), first.seconds)
    if dynamic.max_redraws > 0:
        source_that_redraws(address.prompt_source)

    def sample_more(attempt: int, num_prompts: int) -> SampledGroups:
        batch = source_that_redraws(address.prompt_source).redraw(address.step, attempt, num_prompts)
        return sample_groups(policy, batch, address, settings)[0]

    return select_groups(policy, first, sample_more, dynamic)


# -- 5. losses -----------------------------------------------------------------------------------------------------


class GroupLosses:
    """Losses of one rollout; what does not change between updates is computed once.

    Args:
        settings: What is minimised.
        policy: The policy being trained.
        selection: P groups; those that are not kept count in no denominator.
        advantages: [K, G] of the K groups that are kept.
        micro_batch_prompts: Prompts of one forward and backward pass, unless a call gives another number.
        step: Optimizer step.
    """

    def __init__(
        self,
        settings: StepSettings,
        policy: VLMPolicy,
        selection: Selection,
        advantages: Tensor,
        micro_batch_prompts: int,
        step: int = 0,
    ) -> None:
        is_kept, rollout = selection.is_kept, selection.groups.rollout
        self.settings = settings
        self.policy = policy
        self.encoded = selection.groups.encoded
        self.prompt_ids = [question.prompt_id for question in selection.groups.batch.questions]
        self.rollout = rollout
        of_all = advantages.new_zeros(len(is_kept), advantages.shape[-1])  # [P, G], 0 for the others
        of_all[is_kept] = advantages
        self.advantages = of_all.to(policy.device)
        mask = rollout.completion_mask & is_kept.to(rollout.completion_mask.device)[:, None, None]  # [P, G, T]
        # The reward of a completion that was cut off does not rate what would have followed.
        self.mask = mask = mask & rollout.finished[..., None] if settings.mask_truncated else mask
        self.micro_batch_prompts = micro_batch_prompts
        self.scored = self._scored()
        counted = mask[is_kept.to(mask.device)]  # [K, G, T] of the K groups that are kept
        self.num_tokens = mean_over_processes(token_count(counted), mask.device) or 1.0
        normalizer = settings.criterion.normalizer(counted) if len(counted) else 0.0
        if settings.criterion.denominator_is_global:
            normalizer = mean_over_processes(normalizer, mask.device)
        self.normalizer = normalizer or 1.0
        # Log-probabilities [P, G, T] that updates share.
        self.reference, self.before = (KeptByCompletion(mask.shape, policy.device) for _ in range(2))
        self.mismatch = LogprobMismatch(rollout)
        self.conversations = selection.groups.conversations
        self.taught: TaughtRollout | None = None
        if (teacher := settings.teacher) is not None and teacher.is_needed(step):
            self.taught = TaughtRollout(
                teacher=teacher,
                policy=policy,
                batch=selection.groups.batch,
                token_ids=rollout.token_ids,
                wanted=self.scored & mask,
                step=step,
                temperature=settings.sampling.temperature,
                slices=list(micro_slices(len(self.encoded), micro_batch_prompts)),
            )

    def parts(self, micro_batch_prompts: int) -> list[Part]:
        """The micro-batches, at least one.

        Prompts whose completions are too long to be taken at once are computed again for each part of them. A part in
        which nothing is scored is passed over, unless there are other processes: all of them must make the same number
        of backward passes.
        """
        rows = micro_slices(len(self.encoded), micro_batch_prompts)
        parts = [Part(some, completions) for some in rows for completions in self._divided(some)]
        if is_distributed():
            return parts
        return [part for part in parts if bool(part.of(self.scored).any())] or parts[:1]

    def _divided(self, rows: slice) -> Iterator[slice]:
        """The G completions of some prompts, as few parts of them as the limit of tokens allows."""
        limit, num_completions = self.settings.micro_batch_tokens, self.scored.shape[1]
        entropy = self.settings.entropy
        is_whole = not self.settings.criterion.adds_up_over_completions or (entropy and entropy.top_share < 1)
        if limit is None or is_whole:
            return micro_slices(num_completions, num_completions)
        # Lengths differ between processes, the longest they may have does not.
        longest = self.scored[rows].shape[:2].numel() * self.settings.max_new_tokens
        num_parts = math.ceil((longest if is_distributed() else int(self.scored[rows].sum())) / limit)
        return micro_slices(num_completions, math.ceil(num_completions / max(1, num_parts)))

    def _scored(self) -> Tensor:
        """[P, G, T] bool, True for tokens whose log-probabilities the loss and its gradient depend on.

        Without a KL term that is no token of a group whose advantages are all 0. Several processes score all: they
        must make the same passes.
        """
        if is_distributed():
            return self.rollout.completion_mask
        teacher = self.settings.teacher
        is_plain = (
            self.settings.correction is None
            and self.settings.entropy is None
            and (teacher is None or teacher.distillation is None)
            and not self.settings.criterion.needs_reference
        )
        if is_plain and self.settings.criterion.is_zero_without_advantage:
            return self.mask & self.advantages.any(-1)[:, None, None]
        return self.mask

    def __call__(self, micro_batch_prompts: int | None = None) -> Iterator[LossOutput]:
        """Yields losses of :meth:`parts` that add up to the loss of the batch."""
        for part in self.parts(micro_batch_prompts or self.micro_batch_prompts):
            yield self.loss(part)

    def loss(self, part: Part) -> LossOutput:
        """The loss of a part, which has p prompts."""
        rows = part.rows
        trained = self.policy.train_vision
        encoded = self.policy.encode(self.encoded.prompts.select(rows)) if trained else self.encoded.select(rows)
        mask = part.of(self.mask)  # [p, G, T]
        logprobs, entropies, gaps = self._with_extras(encoded, part)  # [p, G, T] each, with gradient
        self.mismatch.update(part, logprobs.detach(), part.of(self.scored))
        # The policy's own before the first update, not the sampler's: those differ by rounding, in half precision by
        # more than the clip range of a sequence ratio.
        before = self.before.of(part, logprobs.detach)  # [p, G, T]
        correction = self.settings.correction
        importance = None if correction is None else correction(before, self.rollout.logprobs[rows], mask)
        weights = None if importance is None else importance.weights
        credit = None if self.taught is None else self.taught.credit(rows, self.advantages[rows], before)  # [p, G, T]
        if credit is not None:
            weights = credit if weights is None else weights * credit
        output = self.settings.criterion(
            logprobs,
            before,
            self._reference(part, encoded),
            self.advantages[rows],
            mask,
            normalizer=self.normalizer,
            weights=self._weights(weights, entropies, mask),
        )
        if entropies is not None:
            output = self._with_bonus(output, entropies, mask)
        if gaps is not None:
            output = self._with_distillation(output, gaps, part)
        if importance is None:
            return output
        values = {
            "importance/ratio_mean": importance.ratio,
            "importance/weight_mean": importance.weights,
            "importance/frac_bounded": importance.is_bounded.to(importance.ratio.dtype),
        }
        means = {name: float(masked_mean(value, mask, self.num_tokens)) for name, value in values.items()}
        return replace(output, metrics={**output.metrics, **means})

    def _logprobs(self, encoded: EncodedPrompts, part: Part, *, use_reference: bool = False) -> Tensor:
        """[p, G, T] log-probabilities of the policy or of the reference, 0 for tokens that are not scored."""
        temperature = self.settings.sampling.temperature
        score = partial(self.policy.completion_logprobs, temperature=temperature, use_reference=use_reference)
        return self._scored_by(score, encoded, part.rows, part.of(self.scored), use_reference=use_reference)

    def _with_extras(self, encoded: EncodedPrompts, part: Part) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """[p, G, T] log-probabilities of the policy, and its entropies and divergences from the teacher if used."""
        scored = part.of(self.scored)
        if self.taught is not None and self.taught.teacher.distillation is not None and bool(scored.any()):
            logprobs, gaps = self.taught.divergences(encoded, part.rows, scored)
            return logprobs, None, gaps
        if self.settings.entropy is None:
            return self._logprobs(encoded, part), None, None
        temperature = self.settings.sampling.temperature

        def score(*turn: Any) -> Tensor:  # noqa: ANN401
            return torch.stack(self.policy.scored_with_entropies(*turn, temperature=temperature))

        logprobs, entropies = self._scored_by(score, encoded, part.rows, part.of(self.rollout.completion_mask))
        return logprobs, entropies, None

    def _scored_by(
        self, score: ScoreTurn, encoded: EncodedPrompts, rows: slice, wanted: Tensor, *, use_reference: bool = False
    ) -> Tensor:
        """[..., p, G, T] what ``score`` computes of the completions, or of the turns of the conversations."""
        turns = ScoredTurns(self.policy, self.conversations, use_reference=use_reference)
        return turns(score, encoded, rows, self.rollout.token_ids[rows], wanted)

    def _weights(self, importance: Tensor | None, entropies: Tensor | None, mask: Tensor) -> Tensor | None:
        """[p, G, T] what the objective of each token is multiplied with; None for 1."""
        entropy = self.settings.entropy
        if entropies is None or entropy is None or entropy.top_share == 1:
            return importance
        kept = top_entropy_mask(entropies.detach(), mask, entropy.top_share).to(entropies.dtype)
        return kept if importance is None else importance * kept

    def _with_bonus(self, output: LossOutput, entropies: Tensor, mask: Tensor) -> LossOutput:
        """The loss with the bonus for entropy, and the mean entropy of a token as a metric."""
        assert self.settings.entropy is not None
        metrics = {**output.metrics, "entropy": float(masked_mean(entropies.detach(), mask, self.num_tokens))}
        bonus = self.settings.entropy.bonus
        if not bonus:
            return replace(output, metrics=metrics)
        added = entropy_bonus(entropies, mask, bonus, self.settings.criterion.aggregation, self.normalizer)
        return replace(output, loss=output.loss + added, metrics=metrics)

    def _with_distillation(self, output: LossOutput, gaps: Tensor, part: Part) -> LossOutput:
        """The loss with the divergence from the teacher, and its mean as a metric."""
        assert self.taught is not None
        assert self.taught.teacher.distillation is not None
        known, weight = part.of(self.taught.known), self.taught.teacher.distillation.weight
        added = distillation_loss(gaps, known, weight, self.settings.criterion.aggregation, self.normalizer)
        mean = float(masked_mean(gaps.detach(), known, self.num_tokens))
        return replace(output, loss=output.loss + added, metrics={**output.metrics, "divergence": mean})

    def _reference(self, part: Part, encoded: EncodedPrompts) -> Tensor | None:
        """[p, G, T] log-probabilities of the reference; None if the loss needs none."""
        if not self.settings.criterion.needs_reference:
            return None

        def compute() -> Tensor:
            has_own_vision = self.policy.train_vision
            seen = self.policy.encode(encoded.prompts, use_reference=True) if has_own_vision else encoded
            return self._logprobs(seen, part, use_reference=True)

        return self.reference.of(part, compute)


# -- reports -------------------------------------------------------------------------------------------------------


def step_metrics(
    settings: StepSettings, first: SampledGroups, scores: RewardOutput, selection: Selection
) -> dict[str, float]:
    """Numbers to log; those of what is off by default are left out of a plain run."""
    without_difference = all_equal(first.rewards).to(first.rewards.dtype)  # [P]
    metrics = {
        **reward_metrics(scores),
        "reward/frac_zero_std": float(without_difference.sum() / max(1, len(without_difference))),
        **rollout_metrics(first.rollout, first.seconds),
    }
    if settings.mask_truncated:
        metrics["completion/frac_masked"] = 1 - float(selection.groups.rollout.finished.float().mean())
    if settings.dynamic_sampling is not None:
        metrics["rollout/seconds"] = selection.seconds
        metrics["dynamic_sampling/redraws"] = float(selection.num_redraws)
        metrics["dynamic_sampling/prompts_drawn"] = float(selection.num_drawn)
        metrics["dynamic_sampling/frac_kept"] = float(selection.is_kept.float().mean())
    metrics |= first.conversations.metrics()
    if settings.counterfactuals is not None:
        metrics["rollout/counterfactual_seconds"] = selection.groups.counterfactual_seconds
        metrics |= settings.counterfactuals.metrics()
    return metrics


def scored_samples(questions: Sequence[Question], rollout: Rollout, scores: RewardOutput) -> list[ScoredCompletions]:
    """The completions of each prompt and their rewards, for the page of samples."""
    columns = {"total": scores.total, **scores.parts}  # each [P*G]
    rewards = [{name: float(column[flat]) for name, column in columns.items()} for flat in range(len(scores.total))]
    group = rollout.finished.shape[1]  # G
    return [
        ScoredCompletions(p, question, rollout.texts[p], rewards[p * group : (p + 1) * group])
        for p, question in enumerate(questions)
    ]
