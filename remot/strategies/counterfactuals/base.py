"""Counterfactual inputs: the same question about a changed input, answered by the same policy.

Rewards compare the completions with these counterfactuals, which are never trained on. Each change is seeded by seed,
step and prompt, so that a resumed run repeats it, and the completions have noise of their own.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.models.policy import VLMPolicy
from remot.rollout.decoding.engine import generate
from remot.rollout.sampling import GREEDY, RolloutAddress, RolloutRequest, SamplingSettings, require_lengths
from remot.seeding import numpy_generator
from remot.strategies.objective import StepAddress
from remot.structures import PromptBatch, Question, Video, with_counterfactuals


@dataclass(frozen=True, eq=False)
class PromptInput:
    """Input of one prompt."""

    images: Sequence[Tensor]  # uint8 tensors [3, H, W]
    videos: Sequence[Video]
    text: str  # of the question
    question: Question | None = None  # what is asked, for changes that depend on it
    #: What a change makes of the right answer, if it is known: see :class:`remot.structures.Reference`.
    answer_map: Mapping[str, str] | None = None
    change: str = ""  # name of the change, if there are several


class Counterfactual(ABC):
    """A counterfactual: how an input is changed, and how completions for it are sampled.

    Attributes:
        name: Part of the names of changed prompts.
        num_completions: Completions for each changed prompt.
        greedy: Take the most likely tokens instead of drawing them as the group's.
    """

    name: str

    def __init__(self, num_completions: int, *, greedy: bool = False) -> None:
        if num_completions < 1 or (greedy and num_completions > 1):
            given = f"{num_completions}{' greedy ones, which would all be the same' if greedy else ''}"
            msg = f"counterfactuals.num_completions must be at least 1, and 1 if they are greedy, got {given}"
            raise ConfigError(msg)
        require_lengths("counterfactuals", num_completions, 1)
        self.num_completions = num_completions
        self.greedy = greedy

    @abstractmethod
    def change(self, shown: PromptInput, generator: np.random.Generator) -> PromptInput | None:
        """The changed input, None if there is nothing to change: such a prompt gets no counterfactuals.

        ``shown`` must not be changed in place; all randomness comes from ``generator``.
        """

    def observe(self, questions: Sequence[Question], completions: Sequence[Sequence[str]]) -> None:  # noqa: B027
        """Update from the outcome, once a step and in all processes; most changes do not.

        Args:
            questions: P questions, their counterfactuals in their references.
            completions: Texts of the unchanged prompts, P lists of G.
        """

    def metrics(self) -> dict[str, float]:
        """Numbers to log."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State of a run to continue, as plain numbers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Continue from :meth:`state_dict`."""


def changed_batch(
    batch: PromptBatch, counterfactual: Counterfactual, address: StepAddress
) -> tuple[list[int], list[PromptInput], PromptBatch]:
    """The prompts that can be changed, changed.

    Returns:
        Their rows in ``batch``, their inputs, and the changed prompts with ids of their own.
    """
    rows, changed, questions = [], [], []
    prompts = zip(batch.images, batch.videos, batch.questions, strict=True)
    for row, (images, videos, question) in enumerate(prompts):
        generator = numpy_generator(
            address.seed, "counterfactual", counterfactual.name, address.step, question.prompt_id
        )
        other = counterfactual.change(PromptInput(images, videos, question.text, question), generator)
        if other is not None:
            rows.append(row)
            changed.append(other)
            prompt_id = f"{question.prompt_id}/{counterfactual.name}"
            questions.append(replace(question, text=other.text, prompt_id=prompt_id))
    prompts_changed = PromptBatch(
        images=[other.images for other in changed],
        questions=questions,
        clip_ids=[batch.clip_ids[row] for row in rows],
        videos=[other.videos for other in changed],
    )
    return rows, changed, prompts_changed


def questions_with_counterfactuals(
    policy: VLMPolicy,
    batch: PromptBatch,
    counterfactual: Counterfactual,
    address: StepAddress,
    sampling: SamplingSettings,
    max_new_tokens: int,
) -> list[Question]:
    """The questions of a batch with the policy's completions for the changed input in their references."""
    rows, inputs, changed = changed_batch(batch, counterfactual, address)
    questions = list(batch.questions)
    if not rows:
        return questions
    with torch.no_grad():
        encoded = policy.encode(policy.process(changed))
    noise = RolloutAddress(address.seed, address.step, tuple(question.prompt_id for question in changed.questions))
    request = RolloutRequest(
        counterfactual.num_completions, max_new_tokens, GREEDY if counterfactual.greedy else sampling, noise
    )
    rollout = generate(policy, encoded, request, address.engine)
    for row, other, texts in zip(rows, inputs, rollout.texts, strict=True):
        questions[row] = with_counterfactuals(questions[row], texts, other.answer_map, other.change)
    return questions
