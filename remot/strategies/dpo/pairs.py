"""Where pairs of a better and a worse response come from; none of them needs a judge."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from remot.answers import answer_char_span
from remot.errors import ConfigError
from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.models.tokenization import padded
from remot.rewards import Reward
from remot.rewards.base import require_applicable
from remot.rollout.sampling import GREEDY, SamplingSettings, require_lengths
from remot.seeding import numpy_generator
from remot.strategies.counterfactuals.base import Counterfactual, changed_batch
from remot.strategies.counterfactuals.inputs import FrozenFrames
from remot.strategies.grpo.groups import SampledGroups
from remot.strategies.grpo.objective import GRPOObjective
from remot.strategies.grpo.step import StepSettings, sample_groups, scored_samples
from remot.strategies.objective import ScoredCompletions, StepAddress
from remot.structures import PromptBatch, Question, Rollout


@dataclass(frozen=True, eq=False)
class ResponsePairs:
    """A chosen and a rejected response for each of P prompts.

    Args:
        encoded: The P prompts, images encoded without gradient.
        token_ids: [P, 2, T], chosen first.
        mask: [P, 2, T] bool, True where the token is part of the response.
        is_pair: [P] bool, False for a prompt without a pair.
        samples: Completions to show.
        metrics: Numbers to log.
    """

    encoded: EncodedPrompts
    token_ids: Tensor
    mask: Tensor
    is_pair: Tensor
    samples: Sequence[ScoredCompletions] = ()
    metrics: dict[str, float] = field(default_factory=dict)


class PairSource(ABC):
    """Makes the pairs of a batch; all randomness comes from the address."""

    @abstractmethod
    def __call__(self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress) -> ResponsePairs:
        """The pairs of P prompts."""

    def with_defaults(self, grpo: GRPOObjective) -> Self:  # noqa: ARG002
        """The same with what is left open as ``model.grpo`` has it."""
        return self


@dataclass(frozen=True)
class WrongLetters(PairSource):
    """The right response against the same one with wrong letters; nothing is sampled.

    The reasoning is the same in both, so that all that is preferred is the answer. Prompts whose answer is not letters,
    or has no response in the annotations, have no pair.

    Args:
        num_wrong: Letters that are replaced by another of the question's, at most; those of a shorter answer all.
    """

    num_wrong: int = 1

    def __post_init__(self) -> None:
        if self.num_wrong < 1:
            msg = f"num_wrong is at least 1, got {self.num_wrong}"
            raise ConfigError(msg)

    def __call__(self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress) -> ResponsePairs:
        """Tokenise both responses."""
        pairs = [self._pair(question, address) for question in batch.questions]
        # Prompts without a pair hold two end-of-turn tokens, which count nowhere.
        texts = [("", "") if pair is None else pair for pair in pairs]
        tokens = [[policy.texts.tokens_of_response(text)[0] for text in both] for both in texts]
        token_ids, mask = padded(tokens, policy.pad_token_id, policy.device)
        with torch.no_grad():
            encoded = policy.encode(policy.process(batch))
        is_pair = torch.tensor([pair is not None for pair in pairs], device=policy.device)
        return ResponsePairs(encoded, token_ids, mask, is_pair)

    def _pair(self, question: Question, address: StepAddress) -> tuple[str, str] | None:
        """Response and wrong response; None where the answer is not letters."""
        open_slots = [place for place, slot in enumerate(question.slots) if len(slot.options) > 1]
        if not question.response or question.asks_numbers or question.target or not open_slots:
            return None
        start, end = answer_char_span(question.response)
        letters = list(question.response[start:end])
        generator = numpy_generator(address.seed, "wrong_letters", address.step, question.prompt_id)
        for place in generator.permutation(open_slots)[: self.num_wrong]:
            slot = question.slots[place]
            others = [letter for letter in slot.letters[: len(slot.options)] if letter != slot.gold]
            letters[place] = others[generator.integers(len(others))]
        return question.response, question.response[:start] + "".join(letters) + question.response[end:]


@dataclass(frozen=True)
class OwnCompletions(PairSource):
    """The best of the policy's own completions against the worst, by a reward.

    Args:
        num_completions: Completions G sampled for each prompt.
        max_new_tokens: Longest completion, end of turn included; that of ``model.grpo`` if None.
        sampling: How they are drawn; as ``model.grpo`` does if None.
        reward: What they are scored with; that of ``model.grpo`` if None.
        least_gap: Smallest difference of the two rewards; a prompt with less has no pair.
    """

    num_completions: int = 4
    max_new_tokens: int | None = None
    sampling: SamplingSettings | None = None
    reward: Reward | None = None
    least_gap: float = 1e-6

    def __post_init__(self) -> None:
        if (
            self.num_completions < 2
            or (self.max_new_tokens is not None and self.max_new_tokens < 1)
            or not self.least_gap > 0
        ):
            msg = "OwnCompletions needs 2 or more completions, 1 or more new tokens and a least_gap above 0"
            raise ConfigError(msg)
        require_lengths("OwnCompletions", self.num_completions, self.max_new_tokens or 1)

    def __call__(self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress) -> ResponsePairs:
        """Sample, score, and take the two ends."""
        groups, samples = self._groups(policy, batch, address, self.num_completions)
        return self._pairs(policy, groups, groups, range(len(batch)), samples)

    def with_defaults(self, grpo: GRPOObjective) -> Self:
        """The same with what is left open as ``model.grpo`` has it."""
        return replace(
            self,
            max_new_tokens=grpo.max_new_tokens if self.max_new_tokens is None else self.max_new_tokens,
            sampling=grpo.sampling if self.sampling is None else self.sampling,
            reward=grpo.scorer if self.reward is None else self.reward,
        )

    def _groups(
        self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress, count: int, *, greedy: bool = False
    ) -> tuple[SampledGroups, Sequence[ScoredCompletions]]:
        """``count`` completions of each prompt with their rewards, and the same to show."""
        whole = self.with_defaults(GRPOObjective())
        assert whole.max_new_tokens is not None
        assert whole.sampling is not None
        assert whole.reward is not None
        settings = StepSettings(count, whole.max_new_tokens, GREEDY if greedy else whole.sampling, whole.reward)
        groups, scores = sample_groups(policy, batch, address, settings)
        require_applicable(whole.reward, groups.rewards)
        return groups, scored_samples(batch.questions, groups.rollout, scores)

    def _pairs(
        self,
        policy: VLMPolicy,
        better: SampledGroups,
        worse: SampledGroups | None,
        rows: Sequence[int],
        samples: Sequence[ScoredCompletions],
    ) -> ResponsePairs:
        """The best completion of each group of ``better`` against the worst of its group in ``worse``.

        ``rows`` are the prompts that ``worse`` holds a group of, in its order; the others have no pair.
        """
        best = torch.where(better.rewards.isnan(), -torch.inf, better.rewards).max(-1)  # [P]
        lowest = torch.full_like(best.values, torch.inf)  # [P]
        chosen = _tokens_of(better.rollout)
        tokens = [[group[k].tolist(), [policy.pad_token_id]] for group, k in zip(chosen, best.indices, strict=True)]
        if worse is not None:
            worst = torch.where(worse.rewards.isnan(), torch.inf, worse.rewards).min(-1)  # [W]
            lowest[list(rows)] = worst.values
            for row, group, k in zip(rows, _tokens_of(worse.rollout), worst.indices, strict=True):
                tokens[row][1] = group[k].tolist()
        token_ids, mask = padded(tokens, policy.pad_token_id, policy.device)
        return ResponsePairs(
            encoded=better.encoded,
            token_ids=token_ids,
            mask=mask,
            is_pair=(best.values - lowest >= self.least_gap).to(policy.device),
            samples=samples,
            metrics={
                "reward/total": float(better.rewards.nanmean()),
                "rollout/seconds": sum({id(one): one.seconds for one in (better, worse) if one is not None}.values()),
            },
        )


@dataclass(frozen=True)
class ChangedInputs(OwnCompletions):
    """A completion for the frames as they are against one for changed frames (TPO, arXiv 2501.13919).

    Both are scored behind the unchanged prompt: the policy learns to prefer what it says when it sees. TPO removes the
    relevant segment of a video, or drops frames; here :class:`remot.strategies.FrozenFrames` shows one frame in their
    place, which is a reconstruction. The completion for the changed frames has to have the lower reward, or the prompt
    has no pair.

    Args:
        counterfactual: How frames are changed, and how many completions are drawn for them; one frame over and over,
            answered once by sampling, if None.
    """

    counterfactual: Counterfactual | None = None

    def __call__(self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress) -> ResponsePairs:
        """Sample for both inputs."""
        counterfactual = self.counterfactual if self.counterfactual is not None else FrozenFrames(greedy=False)
        groups, samples = self._groups(policy, batch, address, self.num_completions)
        rows, _, changed = changed_batch(batch, counterfactual, address)
        worse, count = None, counterfactual.num_completions
        if rows:
            worse, _ = self._groups(policy, changed, address, count, greedy=counterfactual.greedy)
        return self._pairs(policy, groups, worse, rows, samples)


def _tokens_of(rollout: Rollout) -> list[list[Tensor]]:
    """The tokens of each completion [its length], P lists of G."""
    groups = zip(rollout.token_ids, rollout.completion_mask, strict=True)
    return [[ids[mask] for ids, mask in zip(*group, strict=True)] for group in groups]
