"""A teacher for the credit of tokens: the policy itself, with the right answer in its prompt."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.models.policy import VLMPolicy
from remot.structures import PromptBatch, Question

#: Where the right response stands in :attr:`PrivilegedTeacher.hint`.
PLACE = "{response}"


@dataclass(frozen=True)
class PrivilegedTeacher:
    """Weighs the tokens of a completion by what a teacher that knows the answer would have said (VISD, 2605.06094).

    The teacher is the policy as it samples, without gradient, its question followed by the right response that the
    annotations give; no judge is asked. VISD's teacher is an exponential average of the policy and its hint the
    feedback of a judge. A prompt without a response in the annotations is trained on with equal weights.

    Args:
        strength: λ at the first step: 0 weighs all tokens alike, 1 by the teacher alone. VISD has 0.5.
        decay_steps: Optimizer steps after which λ is 0, linearly; None keeps it. VISD has 600.
        clip: ε, bounds of a weight. VISD has 0.2.
        hint: Follows the question; ``{response}`` stands for the right response. Ours.
    """

    strength: float = 0.5
    decay_steps: int | None = 600
    clip: float = 0.2
    hint: str = "\nThe right response is: {response}"

    def __post_init__(self) -> None:
        if not (0 < self.strength <= 1 and 0 < self.clip < 1 and (self.decay_steps is None or self.decay_steps >= 1)):
            msg = "grpo.teacher: strength is above 0 and at most 1, clip between 0 and 1, decay_steps at least 1"
            raise ConfigError(msg)
        if PLACE not in self.hint:
            msg = f"grpo.teacher.hint has to hold {PLACE}, which stands for the right response"
            raise ConfigError(msg)

    def strength_at(self, step: int) -> float:
        """λ at an optimizer step."""
        return self.strength if self.decay_steps is None else self.strength * max(0.0, 1 - step / self.decay_steps)

    def hinted(self, question: Question) -> Question:
        """``question`` with the hint."""
        return replace(question, text=question.text + self.hint.replace(PLACE, question.response))

    def logprobs(
        self, policy: VLMPolicy, batch: PromptBatch, token_ids: Tensor, temperature: float, rows: Iterable[slice]
    ) -> Tensor:
        """Log-probabilities [P, G, T] of completions behind the prompts with the hint; NaN for those without one.

        Args:
            policy: The policy that sampled.
            batch: P prompts.
            token_ids: [P, G, T].
            temperature: Of the rollout.
            rows: Slices of prompts that are computed together.
        """
        found = torch.full(token_ids.shape, torch.nan, device=token_ids.device)
        with torch.no_grad():
            for part in rows:
                questions = [self.hinted(question) for question in batch.questions[part]]
                hinted = PromptBatch(batch.images[part], questions, batch.clip_ids[part], batch.videos[part])
                encoded = policy.encode(policy.process(hinted))
                found[part] = policy.completion_logprobs(encoded, token_ids[part], temperature=temperature).float()
        knows = torch.tensor([bool(question.response) for question in batch.questions], device=found.device)
        return found.masked_fill(~knows[:, None, None], torch.nan)
