"""The same question about a changed input, answered by the same policy, for rewards that compare the two.

Counterparts are scored against, never trained on. What they are changed by has an address, so a resumed run changes
in the same way, and their completions have noise of their own.
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
from remot.rollout.sampling import GREEDY, RolloutAddress, RolloutRequest, SamplingSettings
from remot.seeding import numpy_generator
from remot.strategies.objective import StepAddress
from remot.structures import PromptBatch, Question, Video, with_counterparts


@dataclass(frozen=True, eq=False)
class Shown:
    """Input of one prompt."""

    images: Sequence[Tensor]  # uint8 tensors [3, H, W]
    videos: Sequence[Video]
    text: str  # of the question
    question: Question | None = None  # what is asked, for changes that depend on it
    #: What a change makes of the right answer, if it is known: see :class:`remot.structures.Reference`.
    answer_map: Mapping[str, str] | None = None
    change: str = ""  # name of the change, if there are several


class Counterpart(ABC):
    """How an input is changed, and how it is answered.

    Attributes:
        name: Part of the names of changed prompts.
        num_completions: Completions for each changed prompt.
        greedy: Take the most likely tokens instead of drawing them as the group's.
    """

    name: str

    def __init__(self, num_completions: int, *, greedy: bool = False) -> None:
        if num_completions < 1 or (greedy and num_completions > 1):
            given = f"{num_completions}{' greedy ones, which would all be the same' if greedy else ''}"
            msg = f"counterparts.num_completions must be at least 1, and 1 if they are greedy, got {given}"
            raise ConfigError(msg)
        self.num_completions = num_completions
        self.greedy = greedy

    @abstractmethod
    def change(self, shown: Shown, generator: np.random.Generator) -> Shown | None:
        """The changed input, None if there is nothing to change: such a prompt gets no counterparts.

        Args:
            shown: The input; not to be changed in place.
            generator: The only source of chance.
        """

    def observe(self, questions: Sequence[Question], completions: Sequence[Sequence[str]]) -> None:  # noqa: B027
        """See what came of it, once a step and in all processes; most changes do not learn from that.

        Args:
            questions: P questions, their counterparts in their references.
            completions: Texts [P][G] of the unchanged prompts.
        """

    def metrics(self) -> dict[str, float]:
        """Numbers to log."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a continued run must know; plain numbers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Continue from :meth:`state_dict`."""


def changed_batch(
    batch: PromptBatch, counterpart: Counterpart, address: StepAddress
) -> tuple[list[int], list[Shown], PromptBatch]:
    """The prompts that can be changed, changed.

    Args:
        batch: P prompts.
        counterpart: How to change them.
        address: Names the randomness.

    Returns:
        Their rows in ``batch``, their inputs, and the prompts, with names of their own.
    """
    rows, changed = [], []
    prompts = zip(batch.images, batch.videos, batch.questions, strict=True)
    for row, (images, videos, question) in enumerate(prompts):
        generator = numpy_generator(address.seed, "counterpart", counterpart.name, address.step, question.prompt_id)
        other = counterpart.change(Shown(images, videos, question.text, question), generator)
        if other is not None:
            rows.append(row)
            changed.append(other)
    questions = [
        replace(batch.questions[row], text=other.text, prompt_id=f"{batch.questions[row].prompt_id}/{counterpart.name}")
        for row, other in zip(rows, changed, strict=True)
    ]
    shown = [other.images for other in changed], questions, [batch.clip_ids[row] for row in rows]
    return rows, changed, PromptBatch(*shown, videos=[other.videos for other in changed])


def questions_with_counterparts(
    policy: VLMPolicy,
    batch: PromptBatch,
    counterpart: Counterpart,
    address: StepAddress,
    sampling: SamplingSettings,
    max_new_tokens: int,
) -> list[Question]:
    """The questions of a batch with completions for the changed input in their references.

    Args:
        policy: Who answers.
        batch: P prompts.
        counterpart: How they are changed.
        address: Names the randomness.
        sampling: How completions are drawn, unless they are greedy.
        max_new_tokens: Longest completion.
    """
    rows, inputs, changed = changed_batch(batch, counterpart, address)
    questions = list(batch.questions)
    if not rows:
        return questions
    with torch.no_grad():
        encoded = policy.encode(policy.process(changed))
    noise = RolloutAddress(address.seed, address.step, tuple(question.prompt_id for question in changed.questions))
    request = RolloutRequest(
        counterpart.num_completions, max_new_tokens, GREEDY if counterpart.greedy else sampling, noise
    )
    rollout = generate(policy, encoded, request, address.engine)
    for row, other, texts in zip(rows, inputs, rollout.texts, strict=True):
        questions[row] = with_counterparts(questions[row], texts, other.answer_map, other.change)
    return questions
