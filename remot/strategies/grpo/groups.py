"""Prompts with the completions drawn for them and their rewards."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import torch
from torch import Tensor

from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.rewards import Reward
from remot.rewards.base import scored_by
from remot.rollout.decoding.engine import RolloutEngine
from remot.rollout.generator import RolloutAddress, generate
from remot.rollout.sampling import SamplingSettings
from remot.rollout.servers.base import ExternalEngine, external_rollout
from remot.strategies.counterfactuals.base import Counterpart, questions_with_counterparts
from remot.strategies.objective import StepAddress
from remot.structures import PromptBatch, Question, RewardOutput, Rollout


class SampledHow(TypedDict):
    """Fields common to requests for every engine."""

    num_completions: int
    max_new_tokens: int
    sampling: SamplingSettings
    address: RolloutAddress


@dataclass(frozen=True, eq=False)
class Draw:
    """P groups of G completions.

    Args:
        batch: P prompts.
        encoded: The same for the model, pictures encoded without gradient.
        rollout: Their completions.
        rewards: [P, G] totals.
        success: [P, G] bool.
        terms: [K, P, G] rewards behind the totals, NaN where one does not apply.
        weights: Their K weights.
        seconds: Time to process, encode and sample.
        counterpart_seconds: Time to do so for the changed inputs that rewards compare with.
        questions: What completions were scored against: the batch's, with counterparts if there are any.
    """

    batch: PromptBatch
    encoded: EncodedPrompts
    rollout: Rollout
    rewards: Tensor
    success: Tensor
    terms: Tensor
    weights: tuple[float, ...]
    seconds: float
    counterpart_seconds: float = 0.0
    questions: Sequence[Question] = ()


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


def draw_groups(
    policy: VLMPolicy, batch: PromptBatch, seed: int, step: int, settings: DrawSettings
) -> tuple[Draw, RewardOutput]:
    """Encode the prompts once, sample and score.

    Returns:
        The groups, and the scores of all completions in one list.
    """
    started = time.perf_counter()
    prompts = policy.process(batch)
    with torch.no_grad():
        encoded = policy.encode(prompts)
    address = RolloutAddress(seed, step, tuple(question.prompt_id for question in batch.questions))
    rollout = _sampled(policy, batch, encoded, settings, address)
    seconds = time.perf_counter() - started
    questions = _questions(policy, batch, StepAddress(seed, step, engine=settings.engine), settings)
    counterpart_seconds = time.perf_counter() - started - seconds
    scores = _scores(rollout, questions, settings)
    shape = len(batch), settings.num_completions
    weighted = scores.weighted_terms or ((1.0, scores.total),)
    draw = Draw(
        batch=batch,
        encoded=encoded,
        rollout=rollout,
        rewards=scores.total.view(shape),
        success=scores.success.view(shape),
        terms=torch.stack([term for _, term in weighted]).view(-1, *shape),
        weights=tuple(weight for weight, _ in weighted),
        seconds=seconds,
        counterpart_seconds=counterpart_seconds,
        questions=questions,
    )
    return draw, scores


def _sampled(
    policy: VLMPolicy, batch: PromptBatch, encoded: EncodedPrompts, settings: DrawSettings, address: RolloutAddress
) -> Rollout:
    how: SampledHow = {
        "num_completions": settings.num_completions,
        "max_new_tokens": settings.max_new_tokens,
        "sampling": settings.sampling,
        "address": address,
    }
    if settings.external is None:
        return generate(policy, encoded, **how, engine=settings.engine)
    return external_rollout(settings.external, policy, batch, encoded, **how)


def _questions(
    policy: VLMPolicy, batch: PromptBatch, address: StepAddress, settings: DrawSettings
) -> Sequence[Question]:
    """The questions that completions are scored against."""
    if settings.counterparts is None:
        return batch.questions
    return questions_with_counterparts(
        policy, batch, settings.counterparts, address, settings.sampling, settings.max_new_tokens
    )


def _scores(rollout: Rollout, questions: Sequence[Question], settings: DrawSettings) -> RewardOutput:
    texts = [text for group in rollout.texts for text in group]
    repeated = [question for question in questions for _ in range(settings.num_completions)]
    return scored_by(settings.reward, texts, repeated, rollout.num_tokens.flatten().tolist())


def merged(policy: VLMPolicy, sources: Sequence[tuple[Draw, int]]) -> Draw:
    """One draw of groups from several.

    Args:
        policy: Processes and encodes the prompts once more: padding and pictures are laid out for a batch as a whole.
        sources: For each group the draw it is from and its row there.
    """
    draws = {id(draw): draw for draw, _ in sources}.values()
    batch = PromptBatch(
        images=[draw.batch.images[row] for draw, row in sources],
        questions=[draw.batch.questions[row] for draw, row in sources],
        clip_ids=[draw.batch.clip_ids[row] for draw, row in sources],
        videos=[draw.batch.videos[row] for draw, row in sources],
    )
    with torch.no_grad():
        encoded = policy.encode(policy.process(batch))
    return Draw(
        batch=batch,
        encoded=encoded,
        rollout=_merged_rollout([(draw.rollout, row) for draw, row in sources], policy.pad_token_id),
        rewards=torch.stack([draw.rewards[row] for draw, row in sources]),
        success=torch.stack([draw.success[row] for draw, row in sources]),
        terms=torch.stack([draw.terms[:, row] for draw, row in sources], dim=1),
        weights=sources[0][0].weights,
        seconds=sum(draw.seconds for draw in draws),
        counterpart_seconds=sum(draw.counterpart_seconds for draw in draws),
        questions=[draw.questions[row] for draw, row in sources],
    )


def _merged_rollout(sources: Sequence[tuple[Rollout, int]], pad_token_id: int) -> Rollout:
    """Groups of several rollouts, padded to the longest completion."""
    num_tokens = max(rollout.token_ids.shape[-1] for rollout, _ in sources)

    def rows(name: str, padding: float) -> Tensor:
        tensors = [getattr(rollout, name)[row] for rollout, row in sources]  # each [G, T of its rollout]
        pad = torch.nn.functional.pad
        return torch.stack([pad(tensor, (0, num_tokens - tensor.shape[-1]), value=padding) for tensor in tensors])

    return Rollout(
        token_ids=rows("token_ids", pad_token_id),
        completion_mask=rows("completion_mask", 0),
        logprobs=rows("logprobs", 0.0),
        texts=[rollout.texts[row] for rollout, row in sources],
        finished=torch.stack([rollout.finished[row] for rollout, row in sources]),
    )
