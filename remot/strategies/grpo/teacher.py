"""A teacher of tokens: the policy itself, or the average over its steps, with the right answer in its prompt."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from remot.distributed import is_distributed
from remot.errors import ConfigError
from remot.losses import Distillation
from remot.losses.credit import teacher_credit
from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.structures import PromptBatch, Question

#: Where the right response stands in :attr:`PrivilegedTeacher.hint`.
PLACE = "{response}"


@dataclass(frozen=True)
class PrivilegedTeacher:
    """Teaches the tokens of a completion by what a policy that knows the answer would have said.

    Credit (VISD, 2605.06094) multiplies the advantage of a token, distillation pulls the whole distribution behind it
    towards the teacher's; either or both. The teacher computes without gradient, its question followed by the right
    response that the annotations give; no judge is asked. VISD's hint is the feedback of a judge. A prompt without a
    response in the annotations is trained on with equal weights and without distillation.

    Args:
        strength: λ of the credit at the first step: 0 weighs all tokens alike, 1 by the teacher alone. VISD has 0.5.
        decay_steps: Optimizer steps after which λ is 0, linearly; None keeps it. VISD has 600.
        clip: ε, bounds of a weight. VISD has 0.2.
        hint: Follows the question; ``{response}`` stands for the right response. Ours.
        average: Rate at which the teacher, an exponential average of the policy, moves to it before each step. VISD has
            0.01, SDPO in TRL 0.05. None for the policy as it is.
        distillation: The divergence to minimise; None for credit alone.
    """

    strength: float = 0.5
    decay_steps: int | None = 600
    clip: float = 0.2
    hint: str = "\nThe right response is: {response}"
    average: float | None = None
    distillation: Distillation | None = None

    def __post_init__(self) -> None:
        least = self.strength >= 0 if self.distillation is not None else self.strength > 0
        if not (
            least and self.strength <= 1 and 0 < self.clip < 1 and (self.decay_steps is None or self.decay_steps >= 1)
        ):
            msg = (
                "grpo.teacher: strength is above 0 and at most 1, or 0 with a distillation, clip between 0 and 1, "
                "decay_steps at least 1"
            )
            raise ConfigError(msg)
        if self.average is not None and not 0 < self.average < 1:
            msg = f"grpo.teacher.average is the rate of an average, between 0 and 1, got {self.average}"
            raise ConfigError(msg)
        if PLACE not in self.hint:
            msg = f"grpo.teacher.hint has to hold {PLACE}, which stands for the right response"
            raise ConfigError(msg)

    def strength_at(self, step: int) -> float:
        """λ at an optimizer step."""
        return self.strength if self.decay_steps is None else self.strength * max(0.0, 1 - step / self.decay_steps)

    def is_needed(self, step: int) -> bool:
        """Whether it changes anything at an optimizer step."""
        return self.distillation is not None or self.strength_at(step) > 0

    def hinted(self, question: Question) -> Question:
        """``question`` with the hint."""
        return replace(question, text=question.text + self.hint.replace(PLACE, question.response))


class TaughtRollout:
    """What the teacher says of the completions of one rollout; its credit is computed once, with the rollout.

    Args:
        teacher: Its settings.
        policy: The policy being trained.
        batch: P prompts.
        token_ids: [P, G, T].
        wanted: [P, G, T] bool, True for tokens that count.
        step: Optimizer step.
        temperature: Of the rollout.
        slices: Prompts that are computed together.

    Attributes:
        known: [P, G, T] bool, True for wanted tokens of the prompts that have a right response.
        logprobs: [P, G, T] of the tokens that are known; None for no credit.
    """

    def __init__(
        self,
        teacher: PrivilegedTeacher,
        policy: VLMPolicy,
        batch: PromptBatch,
        token_ids: Tensor,
        wanted: Tensor,
        step: int,
        temperature: float,
        slices: Iterable[slice],
    ) -> None:
        self.teacher, self.policy, self.batch, self.token_ids = teacher, policy, batch, token_ids
        self.strength, self.temperature = teacher.strength_at(step), temperature
        knows = torch.tensor([bool(question.response) for question in batch.questions], device=wanted.device)
        self.known = wanted & knows[:, None, None]
        self.logprobs = self._logprobs(slices) if self.strength > 0 else None

    def acting(self) -> contextlib.AbstractContextManager[None]:
        """Context in which passes without gradient are the teacher's."""
        return contextlib.nullcontext() if self.teacher.average is None else self.policy.averaged()

    def encoded(self, rows: slice) -> EncodedPrompts:
        """The prompts ``rows`` with the hint."""
        questions = [self.teacher.hinted(question) for question in self.batch.questions[rows]]
        part = PromptBatch(self.batch.images[rows], questions, self.batch.clip_ids[rows], self.batch.videos[rows])
        with torch.no_grad(), self.acting():
            return self.policy.encode(self.policy.process(part))

    def _logprobs(self, slices: Iterable[slice]) -> Tensor:
        """Log-probabilities [P, G, T] behind the prompts with the hint, computed for tokens that are known."""
        found, known = torch.zeros(self.token_ids.shape, device=self.token_ids.device), self.known
        for rows in slices:
            if not (bool(known[rows].any()) or is_distributed()):  # processes make the same passes
                continue
            encoded = self.encoded(rows)
            with torch.no_grad(), self.acting():
                scored = self.policy.completion_logprobs(
                    encoded, self.token_ids[rows], known[rows], temperature=self.temperature
                )
            found[rows] = scored.float()
        return found

    def credit(self, rows: slice, advantages: Tensor, before: Tensor) -> Tensor | None:
        """Weights [p, G, T] of tokens, 1 for those that are not known; None for no credit.

        Args:
            rows: Which prompts, p of them.
            advantages: [p, G].
            before: [p, G, T] log-probabilities of the policy before the first update.
        """
        if self.logprobs is None:
            return None
        options: dict[str, Any] = {"strength": self.strength, "clip": self.teacher.clip}
        return teacher_credit(advantages, self.logprobs[rows], before, self.known[rows], **options)

    def divergences(self, encoded: EncodedPrompts, rows: slice, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the policy and its divergence from the teacher, [p, G, T] each, with gradient.

        Args:
            encoded: The prompts ``rows`` as the policy is shown them.
            rows: Which prompts.
            wanted: [p, G, T] bool with a True.
        """
        assert self.teacher.distillation is not None
        return self.policy.scored_with_divergences(
            encoded,
            self.encoded(rows),
            self.token_ids[rows],
            wanted,
            self.teacher.distillation.divergence,
            use_average=self.teacher.average is not None,
            temperature=self.temperature,
        )
