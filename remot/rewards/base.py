"""What a reward is: completions and their questions in, totals and named parts out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch

from remot.answers import ParsedAnswer, parse_response
from remot.rewards.functional import all_right
from remot.structures import Question, RewardOutput


class Reward(ABC):
    """Scores completions. Subclass :class:`PointwiseReward` unless a score depends on the other completions.

    Attributes:
        name: Metric key.
    """

    name: str

    @abstractmethod
    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """Score a flat list of B completions.

        Args:
            completions: B texts; hostile, nothing in them may raise.
            questions: B questions, the question of a prompt repeated for each of its completions.

        Returns:
            Totals, parts and successes, each [B].
        """

    def rate(
        self,
        completions: Sequence[str],
        questions: Sequence[Question],
        num_tokens: Sequence[int],  # noqa: ARG002 - for rewards that look at it
    ) -> RewardOutput:
        """As :meth:`__call__`, for callers that know how many tokens each of the B completions has.

        Args:
            completions: B texts.
            questions: B questions.
            num_tokens: B numbers of tokens, the end of turn included.
        """
        return self(completions, questions)


class PointwiseReward(Reward):
    """A reward that looks at one completion at a time: subclasses say in :meth:`score` what it is worth."""

    @abstractmethod
    def score(self, parsed: ParsedAnswer, question: Question) -> Mapping[str, float]:
        """Parts of one completion, among them the total under :attr:`name`; NaN marks "not applicable".

        Must not raise, whatever the completion says, and must return the same keys for every completion.
        """

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """Score a flat list of B completions; one succeeds if its answer is exactly the solution."""
        if len(completions) != len(questions):
            msg = f"{len(completions)} completions but {len(questions)} questions; repeat the question per completion"
            raise ValueError(msg)
        answers = [parse_response(completion) for completion in completions]
        rows = [self.score(parsed, question) for parsed, question in zip(answers, questions, strict=True)]
        keys = rows[0] if rows else (self.name,)
        parts = {key: torch.tensor([row[key] for row in rows], dtype=torch.float32) for key in keys}
        successes = [all_right(parsed.answer, q) for parsed, q in zip(answers, questions, strict=True)]
        return RewardOutput(total=parts[self.name], parts=parts, success=torch.tensor(successes, dtype=torch.bool))
