"""Counterfactuals by operations with a known effect on the answer, drawn from a pool that prefers unmastered ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from remot.answers import parse_response
from remot.distributed import all_gather_objects
from remot.errors import ConfigError
from remot.rewards.counterfactual.operation_pool import OperationPool
from remot.rewards.functional.text import agrees
from remot.strategies.counterfactuals.base import Counterfactual, PromptInput
from remot.strategies.counterfactuals.operations import ALL_OPERATIONS, Operation
from remot.structures import Question, reference_of


class DualityOperations(Counterfactual):
    """Each prompt is changed by one operation of a pool (SAGE, arXiv 2605.18162); for ``DualityReward``.

    The pool prefers operations under which answers are not consistent yet, and retires mastered ones. The paper's list
    of operations and its thresholds are not published: reconstruction. Operations apply to questions about motion with
    letters; a prompt none applies to has no counterfactuals.

    Args:
        operations: What may be drawn; a mirrored view, reversed images and exchanged options if None.
        num_completions: Completions for each changed prompt.
        greedy: Take the most likely tokens.
        decay: Weight of the earlier value in the running mean of the consistency.
        mastered_at: Consistency from which an operation is mastered.
        min_seen: Prompts it has to be seen with before.
        floor: Weight that is left to a wholly consistent operation.
    """

    name = "duality"

    def __init__(
        self,
        operations: Sequence[Operation] | None = None,
        num_completions: int = 1,
        *,
        greedy: bool = False,
        decay: float = 0.95,
        mastered_at: float = 0.95,
        min_seen: int = 32,
        floor: float = 0.05,
    ) -> None:
        super().__init__(num_completions, greedy=greedy)
        chosen = list(ALL_OPERATIONS.values() if operations is None else operations)
        self.operations = {operation.name: operation for operation in chosen}
        if len(self.operations) != len(chosen):
            msg = (
                f"counterfactuals.operations needs operations with different names, got {[one.name for one in chosen]}"
            )
            raise ConfigError(msg)
        self.pool = OperationPool(list(self.operations), decay, mastered_at, min_seen, floor)

    def change(self, shown: PromptInput, generator: np.random.Generator) -> PromptInput | None:
        """See :meth:`Counterfactual.change`; operations that do not apply are drawn only once."""
        chances = self.pool.chances()
        while chances and shown.question is not None:
            weights = np.array(list(chances.values()))
            name = str(generator.choice(list(chances), p=weights / weights.sum()))
            changed = self.operations[name].apply(shown, shown.question)
            if changed is not None:
                return changed
            del chances[name]
        return None

    def observe(self, questions: Sequence[Question], completions: Sequence[Sequence[str]]) -> None:
        """See :meth:`Counterfactual.observe`; the pools of all processes get the shares of all."""
        shares = [
            (reference_of(question).change, share)
            for question, texts in zip(questions, completions, strict=True)
            if (share := agreement(question, texts)) is not None
        ]
        for part in all_gather_objects(shares):
            for name, share in part:
                self.pool.observe(name, share)

    def metrics(self) -> dict[str, float]:
        """Consistency and chance of each operation that was seen."""
        chances = self.pool.chances()
        seen = [name for name, count in self.pool.num_seen.items() if count]
        consistency = {f"duality/{name}/consistency": self.pool.consistency[name] for name in seen}
        return consistency | {f"duality/{name}/chance": chances.get(name, 0.0) for name in seen}

    def state_dict(self) -> dict[str, Any]:
        """The pool's statistics."""
        return self.pool.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.pool.load_state_dict(state)


def agreement(question: Question, completions: Sequence[str]) -> float | None:
    """Share of agreeing pairs of a completion and a counterfactual; None without counterfactuals or an answer map."""
    reference = reference_of(question)
    if not reference.counterfactuals or reference.answer_map is None or not completions:
        return None
    others = [parse_response(text).answer for text in reference.counterfactuals]
    answers = [parse_response(text).answer for text in completions]
    pairs = [agrees(answer, other, reference.answer_map) for answer in answers for other in others]
    return sum(pairs) / len(pairs)
