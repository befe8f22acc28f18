"""Scoring conversations: each turn behind its own prompt, put together along time."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from remot.models.inputs.conversations import joined_rows
from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.rollout.sources import Conversations, LaterTurn

#: From P prompts, token ids [P, G, T] and what is wanted [P, G, T] to numbers [..., P, G, T].
ScoreTurn = Callable[[EncodedPrompts, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class ScoredTurns:
    """What a policy, or its reference, says of the tokens that it sampled in conversations.

    The first turn is scored as any rollout, its prompt shared by the group. Later turns have a prompt for each
    completion; those without a wanted token are not computed.

    Args:
        policy: The policy being trained.
        conversations: P x G of them.
        use_reference: Vision features are those of the reference policy.
    """

    policy: VLMPolicy
    conversations: Conversations
    use_reference: bool = False

    def __call__(
        self, score: ScoreTurn, first: EncodedPrompts, rows: slice, token_ids: Tensor, wanted: Tensor
    ) -> Tensor:
        """Numbers [..., p, G, T], 0 for tokens that are not wanted.

        Args:
            score: Computes one turn.
            first: The first prompts of ``rows``, p of them.
            rows: Which prompts of the step.
            token_ids: [p, G, T] of all turns one after another.
            wanted: [p, G, T] bool.
        """
        if not self.conversations.later:
            return score(first, token_ids, wanted)
        num_first = self.conversations.num_first
        parts = [score(first, token_ids[..., :num_first], wanted[..., :num_first])]
        parts += [
            self._later(score, turn, rows, token_ids[..., turn.columns], wanted[..., turn.columns])
            for turn in self.conversations.later
        ]
        return torch.cat([part.expand(*parts[0].shape[:-1], -1) for part in parts], dim=-1)

    def _later(self, score: ScoreTurn, turn: LaterTurn, rows: slice, token_ids: Tensor, wanted: Tensor) -> Tensor:
        """Numbers [..., p, G, T_k] of one turn."""
        # Places among the p prompts of those conversations that have a wanted token in this turn.
        has_wanted = wanted.any(-1).tolist()  # [p, G]
        held = [(row - rows.start, column) for row, column in turn.prompts if rows.start <= row < rows.stop]
        places = [(row, column) for row, column in held if has_wanted[row][column]]
        if not places:
            return torch.zeros_like(wanted, dtype=torch.float32)
        prompts = joined_rows(
            [turn.prompts[rows.start + row, column] for row, column in places], self.policy.pad_token_id
        )
        if self.policy.train_vision:
            prompts = self.policy.encode(prompts.prompts, use_reference=self.use_reference)
        of_rows, of_columns = (list(part) for part in zip(*places, strict=True))
        ids, chosen = (tensor[of_rows, of_columns][:, None] for tensor in (token_ids, wanted))  # [N, 1, T_k]
        scored = score(prompts, ids, chosen)  # [..., N, 1, T_k]
        spread = scored.new_zeros(*scored.shape[:-3], *wanted.shape)
        spread[..., of_rows, of_columns, :] = scored[..., 0, :]
        return spread
