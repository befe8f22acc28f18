"""The gradients of one update: backward passes of micro-batches, fewer prompts at a time if memory runs out."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from remot.distributed import is_distributed
from remot.models.memory import halving
from remot.strategies.objective import PreparedStep

_SETTING = "model.micro_batch_prompts"
#: Back-propagates the loss of a micro-batch; the second argument is True for the last one of the update.
Backward = Callable[[Tensor, bool], None]


@dataclass(eq=False)
class GradientAccumulator:
    """Adds up the gradients of an update; remembers how many prompts have fitted into memory."""

    most_micro_batch_prompts: int | None = field(default=None, init=False)  # once memory has run out

    def __call__(self, prepared: PreparedStep, clear: Callable[[], None], backward: Backward) -> dict[str, float]:
        """Backward passes of all micro-batches, smaller ones from the start again if memory runs out.

        ``clear`` sets gradients to none, ``backward`` adds those of a micro-batch.

        Returns:
            The loss and the metrics of the update, which are sums over its micro-batches.
        """

        def attempt(micro_batch_prompts: int) -> dict[str, float]:
            clear()
            totals: dict[str, float] = {"loss": 0.0}
            num_micro_losses, num_done = prepared.num_micro_losses(micro_batch_prompts), 0
            for num_done, output in enumerate(prepared.micro_losses(micro_batch_prompts), start=1):
                backward(output.loss, num_done == num_micro_losses)
                totals["loss"] += float(output.loss.detach())
                for name, number in output.metrics.items():
                    totals[name] = totals.get(name, 0.0) + number
            assert num_done == num_micro_losses, "processes exchange gradients with the last micro-batch"
            return totals

        size = self._size(prepared)
        # Other processes would wait for backward passes that one makes twice.
        totals, used = halving(attempt, size, "training on", _SETTING, may_retry=not is_distributed())
        if used < size:
            self.most_micro_batch_prompts = used
        return totals

    @torch.no_grad()
    def loss_without_gradient(self, prepared: PreparedStep) -> float:
        """The loss with the weights as they are now."""

        def attempt(micro_batch_prompts: int) -> float:
            return sum(float(output.loss) for output in prepared.micro_losses(micro_batch_prompts))

        return halving(attempt, self._size(prepared), "computing the loss of", _SETTING)[0]

    def _size(self, prepared: PreparedStep) -> int:
        return min(prepared.micro_batch_prompts, self.most_micro_batch_prompts or prepared.micro_batch_prompts)
