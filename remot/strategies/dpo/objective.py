"""The preferred objective: of two responses to a prompt the better one becomes more likely."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from remot.distributed import mean_over_processes
from remot.errors import ConfigError
from remot.losses.preference import dpo_loss
from remot.models.policy import VLMPolicy
from remot.strategies.dpo.pairs import OwnCompletions, PairSource, ResponsePairs
from remot.strategies.grpo.objective import GRPOObjective
from remot.strategies.objective import (
    MicroBatchPrompts,
    Objective,
    PreparedStep,
    StepAddress,
    micro_slices,
    planned_micro_batch,
)
from remot.structures import LossOutput, PromptBatch


@dataclass(frozen=True)
class DPOObjective(Objective):
    """Direct preference optimisation (arXiv 2305.18290) over pairs that are made on the fly.

    Args:
        pairs: Where the two responses of a prompt come from.
        beta: Strength of the tie to the reference; 0.1 as in the paper's code.
        label_smoothing: Assumed share of pairs that are the wrong way round, below 0.5.
    """

    pairs: PairSource = field(default_factory=OwnCompletions)
    beta: float = 0.1
    label_smoothing: float = 0.0

    needs_reference = True

    def __post_init__(self) -> None:
        if not self.beta > 0 or not 0 <= self.label_smoothing < 0.5:
            given = f"{self.beta} and {self.label_smoothing}"
            msg = f"dpo.beta is above 0 and dpo.label_smoothing from 0 to below 0.5, got {given}"
            raise ConfigError(msg)

    def with_defaults(self, grpo: GRPOObjective) -> "DPOObjective":
        """The same with what its pairs leave open as ``model.grpo`` has it."""
        return replace(self, pairs=self.pairs.with_defaults(grpo))

    def prepare(
        self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress, micro_batch_prompts: MicroBatchPrompts
    ) -> PreparedStep:
        """Make the pairs, and what computes their losses."""
        with policy.gathered():
            pairs = self.pairs(policy, batch, address)
        shape = (len(batch), pairs.encoded.prompts.input_ids.shape[1], 2, pairs.token_ids.shape[-1])
        shares = policy.shares_prompts(pairs.encoded)
        size = planned_micro_batch(policy, micro_batch_prompts, shape, shares_prompts=shares)
        num_pairs = mean_over_processes(float(pairs.is_pair.sum()), policy.device) or 1.0

        def micro_losses(micro_batch_prompts: int | None = None) -> Iterator[LossOutput]:
            for rows in micro_slices(len(batch), micro_batch_prompts or size):
                yield self._loss(policy, pairs, rows, num_pairs)

        return PreparedStep(
            num_updates=1,
            micro_losses=micro_losses,
            micro_batch_prompts=size,
            shape=shape,
            shares_prompts=shares,
            num_micro_losses=lambda size: len(list(micro_slices(len(batch), size))),
            metrics={**pairs.metrics, "frac_pairs": float(pairs.is_pair.float().mean())},
            samples=pairs.samples,
        )

    def _loss(self, policy: VLMPolicy, pairs: ResponsePairs, rows: slice, num_pairs: float) -> LossOutput:
        """The loss of the prompts ``rows``."""
        wanted = pairs.mask & pairs.is_pair[:, None, None]  # [P, 2, T]

        def logprobs(*, use_reference: bool) -> Tensor:  # [p, 2, T]
            part = pairs.encoded.select(rows)
            if policy.train_vision:
                part = policy.encode(part.prompts, use_reference=use_reference)
            return policy.completion_logprobs(part, pairs.token_ids[rows], wanted[rows], use_reference=use_reference)

        with torch.no_grad():
            reference = logprobs(use_reference=True)
        return dpo_loss(
            logprobs(use_reference=False),
            reference,
            pairs.mask[rows],
            pairs.is_pair[rows],
            beta=self.beta,
            label_smoothing=self.label_smoothing,
            normalizer=num_pairs,
        )
