"""What all policy losses share: from an objective for each token to one number that adds up over micro-batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from remot.errors import ConfigError
from remot.losses.aggregate import Aggregation, aggregate, normalizer_of, zero_where_masked
from remot.losses.kl import K3, KL
from remot.losses.surrogate import Surrogate
from remot.structures import LossOutput

#: Values [P, G, T] to a scalar.
Reduction = Callable[[Tensor], Tensor]


def require_shapes(logprobs: Tensor, others: dict[str, Tensor | None], advantages: Tensor) -> None:
    """Refuse what would broadcast.

    Raises:
        ValueError: Unless ``logprobs`` and ``others`` are all [P, G, T] and ``advantages`` is [P, G].
    """
    for name, other in others.items():
        if other is not None and other.shape != logprobs.shape:
            msg = f"{name} has shape {tuple(other.shape)}, logprobs {tuple(logprobs.shape)}"
            raise ValueError(msg)
    if logprobs.ndim != 3 or advantages.shape != logprobs.shape[:2]:
        msg = (
            f"expected logprobs [P, G, T] and advantages [P, G], got {tuple(logprobs.shape)}, {tuple(advantages.shape)}"
        )
        raise ValueError(msg)


def penalised(
    surrogate: Surrogate,
    distance: Tensor | None,
    *,
    beta: float,
    reduce: Reduction,
    average: Reduction,
    weights: Tensor | None = None,
) -> LossOutput:
    """−reduce(w·objective) + β·reduce(KL).

    Args:
        surrogate: The objective of every token.
        distance: [P, G, T] estimates of the KL to the reference, or None.
        beta: β.
        reduce: Aggregation of the loss.
        average: Aggregation of what is only logged.
        weights: [P, G, T] importance weights w of the sampler's tokens; the KL is not weighted. None for 1.

    Returns:
        The loss, and ``policy_loss``, ``clip_fraction``, ``ratio_mean`` and, with a distance, ``kl``, so that
        loss = policy_loss + beta · kl.
    """
    objective = surrogate.objective if weights is None else surrogate.objective * weights
    loss = policy_loss = -reduce(objective)
    metrics = {
        "policy_loss": policy_loss.item(),
        "clip_fraction": average(surrogate.is_clipped.to(objective.dtype)).item(),
        "ratio_mean": average(surrogate.ratio.detach()).item(),
    }
    if distance is not None:
        kl = reduce(distance)
        metrics["kl"] = kl.item()
        loss = policy_loss + beta * kl
    return LossOutput(loss=loss, metrics=metrics)


class PolicyLoss(ABC):
    """A loss that moves the policy towards completions with a positive advantage.

    Subclasses say in :meth:`surrogate` what a token contributes, and by :attr:`aggregation` or :meth:`normalizer` how
    tokens become one number.

    Args:
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.

    Attributes:
        aggregation: ``sequence_mean`` weighs completions alike, ``token_mean`` tokens alike.
        denominator_is_global: The denominator counts the completions of all processes, not only of this one.
    """

    aggregation: Aggregation = "sequence_mean"
    denominator_is_global: bool = True

    def __init__(self, beta: float, kl: KL | None) -> None:
        if not beta >= 0:
            msg = f"{type(self).__name__} needs beta >= 0, got {beta}"
            raise ConfigError(msg)
        self.beta = beta
        self.kl: KL = kl if kl is not None else K3()

    @property
    def needs_reference(self) -> bool:
        """True if the loss cannot be computed without log-probabilities of the reference."""
        return self.beta > 0

    @abstractmethod
    def surrogate(self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Surrogate:
        """What each token contributes.

        Args:
            logprobs: [P, G, T] of the policy, with gradient, 0 where masked.
            old_logprobs: [P, G, T] of the policy that is improved on, without gradient, 0 where masked.
            advantages: [P, G, 1] without gradient.
            mask: [P, G, T] bool, True where a token counts.
        """

    def normalizer(self, completion_mask: Tensor) -> float:
        """The denominator for a whole batch with ``completion_mask`` [P, G, T], to pass with its micro-batches."""
        return normalizer_of(completion_mask, self.aggregation)

    def reduce(self, values: Tensor, mask: Tensor, normalizer: float) -> Tensor:
        """Aggregation of the loss."""
        return aggregate(values, mask, self.aggregation, normalizer)

    def average(self, values: Tensor, mask: Tensor, normalizer: float) -> Tensor:
        """Aggregation of numbers that are only logged: a mean, whatever the loss is."""
        return self.reduce(values, mask, normalizer)

    def __call__(
        self,
        logprobs: Tensor,
        old_logprobs: Tensor,
        ref_logprobs: Tensor | None,
        advantages: Tensor,
        completion_mask: Tensor,
        *,
        normalizer: float | None = None,
        weights: Tensor | None = None,
    ) -> LossOutput:
        """The loss of a batch, or of a micro-batch of it.

        Args:
            logprobs: [P, G, T] of the policy, with gradient.
            old_logprobs: [P, G, T] of the policy that is improved on, without gradient.
            ref_logprobs: [P, G, T] of the reference, or None if ``beta`` is 0.
            advantages: [P, G].
            completion_mask: [P, G, T] bool, True where a token counts. What stands elsewhere, even NaN, is ignored.
            normalizer: :meth:`normalizer` of the whole batch if this is a micro-batch of it; losses and metrics then
                *add up* over the micro-batches to those of the batch.
            weights: [P, G, T] importance weights of the sampled tokens, see :mod:`remot.losses.importance`.

        Raises:
            ValueError: If shapes differ, or ``beta`` asks for a reference that is not given.
        """
        tensors = {"old_logprobs": old_logprobs, "ref_logprobs": ref_logprobs, "completion_mask": completion_mask}
        require_shapes(logprobs, {**tensors, "weights": weights}, advantages)
        if self.beta != 0 and ref_logprobs is None:
            msg = f"beta = {self.beta} penalises the distance to a reference, but there are no ref_logprobs"
            raise ValueError(msg)
        denominator = self.normalizer(completion_mask) if normalizer is None else normalizer
        policy, old, reference, weight = (
            None if tensor is None else zero_where_masked(tensor, completion_mask)
            for tensor in (logprobs, *map(_detached, (old_logprobs, ref_logprobs, weights)))
        )
        assert policy is not None
        assert old is not None
        return penalised(
            self.surrogate(policy, old, advantages.detach()[..., None], completion_mask),
            None if reference is None else self.kl(policy, reference, old),
            beta=self.beta,
            reduce=lambda values: self.reduce(values, completion_mask, denominator),
            average=lambda values: self.average(values, completion_mask, denominator),
            weights=weight,
        )


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
