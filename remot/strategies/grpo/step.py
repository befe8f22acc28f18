"""The losses of one rollout, micro-batch by micro-batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from remot.distributed import is_distributed, mean_over_processes
from remot.losses import ImportanceCorrection, PolicyLoss, masked_mean
from remot.losses.aggregate import token_count
from remot.losses.importance import ImportanceWeights
from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.strategies.objective import micro_slices
from remot.structures import LossOutput, Rollout


@dataclass(frozen=True)
class LossSettings:
    """What is minimised.

    Args:
        criterion: The loss.
        correction: Weights for completions of another engine; None for none.
        temperature: The one the completions were sampled with.
        micro_batch_prompts: Prompts of one forward and backward pass.
    """

    criterion: PolicyLoss
    correction: ImportanceCorrection | None
    temperature: float
    micro_batch_prompts: int


class GroupStep:
    """Losses of one rollout; what does not change between updates is computed once.

    Args:
        settings: What is minimised.
        policy: The policy being trained.
        encoded: P prompts.
        rollout: Their completions.
        advantages: [P, G].
        is_kept: [P] bool, True for groups that are trained on; the others count in no denominator.
        mask: [P, G, T] bool, True for tokens that are trained on.
    """

    def __init__(
        self,
        settings: LossSettings,
        policy: VLMPolicy,
        encoded: EncodedPrompts,
        rollout: Rollout,
        advantages: Tensor,
        is_kept: Tensor,
        mask: Tensor,
    ) -> None:
        self.settings = settings
        self.policy = policy
        self.encoded = encoded
        self.rollout = rollout
        self.advantages = advantages
        self.mask = mask
        counted = mask[is_kept.to(mask.device)]
        self.num_tokens = mean_over_processes(token_count(counted), mask.device) or 1.0
        normalizer = settings.criterion.normalizer(counted) if len(counted) else 0.0
        if settings.criterion.denominator_is_global:
            normalizer = mean_over_processes(normalizer, mask.device)
        self.normalizer = normalizer or 1.0
        self.reference: dict[int, Tensor] = {}  # by prompt, as all that is kept: micro-batches may become smaller
        self.before: dict[int, Tensor] = {}
        self.gap = LogprobGap(rollout)

    def late_metrics(self) -> dict[str, float]:
        """What is known once the first update has been made."""
        return self.gap.metrics()

    def slices(self, micro_batch_prompts: int) -> list[slice]:
        """The micro-batches, at least one.

        One in which nothing is trained on is passed over, unless there are other processes: all of them must make the
        same number of backward passes.
        """
        slices = list(micro_slices(len(self.encoded), micro_batch_prompts))
        if is_distributed():
            return slices
        return [rows for rows in slices if bool(self.mask[rows].any())] or slices[:1]

    def micro_losses(self, micro_batch_prompts: int | None = None) -> Iterator[LossOutput]:
        """Yields losses of :meth:`slices` that add up to the loss of the batch."""
        for rows in self.slices(micro_batch_prompts or self.settings.micro_batch_prompts):
            yield self._loss(rows)

    def _loss(self, rows: slice) -> LossOutput:
        trained = self.policy.train_vision
        encoded = self.policy.encode(self.encoded.prompts.select(rows)) if trained else self.encoded.select(rows)
        token_ids, temperature = self.rollout.token_ids[rows], self.settings.temperature
        logprobs = self.policy.completion_logprobs(encoded, token_ids, temperature=temperature)
        self.gap.note(rows, logprobs.detach())
        # Of the first update, when nothing has moved. The sampler's own differ by rounding, in half precision by more
        # than the clip range of a sequence ratio.
        before = _of_rows(self.before, rows, logprobs.detach)
        weights = self._importance(before, rows)
        output = self.settings.criterion(
            logprobs,
            before,
            self._reference(rows, encoded),
            self.advantages[rows],
            self.mask[rows],
            normalizer=self.normalizer,
            weights=None if weights is None else weights.weights,
        )
        return output if weights is None else replace(output, metrics={**output.metrics, **self._logged(weights, rows)})

    def _importance(self, before: Tensor, rows: slice) -> ImportanceWeights | None:
        """What makes up for a sampler whose probabilities are not the policy's before the update."""
        correction = self.settings.correction
        return None if correction is None else correction(before, self.rollout.logprobs[rows], self.mask[rows])

    def _logged(self, importance: ImportanceWeights, rows: slice) -> dict[str, float]:
        values = {
            "importance/ratio_mean": importance.ratio,
            "importance/weight_mean": importance.weights,
            "importance/frac_bounded": importance.is_bounded.to(importance.ratio.dtype),
        }
        return {name: float(masked_mean(value, self.mask[rows], self.num_tokens)) for name, value in values.items()}

    def _reference(self, rows: slice, encoded: EncodedPrompts) -> Tensor | None:
        if not self.settings.criterion.needs_reference:
            return None

        def ask() -> Tensor:
            own = self.policy.train_vision
            seen = self.policy.encode(encoded.prompts, use_reference=True) if own else encoded
            return self.policy.completion_logprobs(
                seen, self.rollout.token_ids[rows], temperature=self.settings.temperature, use_reference=True
            )

        return _of_rows(self.reference, rows, ask)


def _of_rows(kept: dict[int, Tensor], rows: slice, compute: Callable[[], Tensor]) -> Tensor:
    """[P, G, T] of some prompts: what is kept of them, computed and kept if one is missing."""
    numbers = range(rows.start, rows.stop)
    if any(number not in kept for number in numbers):
        kept.update(zip(numbers, compute(), strict=True))
    return torch.stack([kept[number] for number in numbers])


class LogprobGap:
    """How far the sampler's log-probabilities are from the scoring pass's, before the weights move.

    Both are of the same weights, computed in different orders: near 0 in float32, some hundredths in half precision. A
    large gap means that one of them is wrong. It costs nothing: the pass with gradient is made anyhow.

    Args:
        rollout: Completions with the sampler's log-probabilities.
    """

    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout
        self.of_prompts: dict[int, Tensor] = {}  # [3]: sum, number, largest; on the device until asked for

    def note(self, rows: slice, logprobs: Tensor) -> None:
        """Compare some prompts [P, G, T]; only the first time, as later the weights have moved."""
        if rows.start in self.of_prompts:
            return
        mask = self.rollout.completion_mask[rows]
        gaps = (logprobs - self.rollout.logprobs[rows]).abs().masked_fill(~mask, 0.0).flatten(1)
        sums = torch.stack([gaps.sum(-1), mask.flatten(1).sum(-1).to(gaps), gaps.amax(-1)], dim=-1)
        self.of_prompts.update(zip(range(rows.start, rows.stop), sums, strict=True))

    def metrics(self) -> dict[str, float]:
        """Mean over tokens and the largest; nothing if nothing was compared."""
        if not self.of_prompts:
            return {}
        total, number, _ = torch.stack(list(self.of_prompts.values())).sum(0).tolist()
        largest = float(torch.stack(list(self.of_prompts.values()))[:, 2].amax())
        return {"rollout/logprob_gap_mean": total / max(number, 1.0), "rollout/logprob_gap_max": largest}


def trained_tokens(rollout: Rollout, is_kept: Tensor, *, mask_truncated: bool) -> Tensor:
    """[P, G, T] bool, True for tokens that are trained on.

    Args:
        rollout: The completions.
        is_kept: [P] bool, groups that are trained on.
        mask_truncated: Leave completions out that were cut off, whose reward says little of what they would have said.
    """
    mask = rollout.completion_mask & is_kept.to(rollout.completion_mask.device)[:, None, None]
    return mask & rollout.finished[..., None] if mask_truncated else mask


def spread(advantages: Tensor, is_kept: Tensor) -> Tensor:
    """Advantages [K, G] of the kept groups as [P, G] of all, 0 for the others."""
    result = torch.zeros(len(is_kept), advantages.shape[-1], dtype=advantages.dtype, device=advantages.device)
    result[is_kept] = advantages
    return result
