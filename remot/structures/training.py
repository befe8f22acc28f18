"""What training passes on: completions, their rewards, and losses.

Notation: P prompts, G completions of each prompt, T tokens of the longest completion, B completions in one list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from remot.errors import RewardError

#: Draws of prompts in place of others in one step that data modules and objectives distinguish.
MAX_REDRAWS = 100


@dataclass(frozen=True, eq=False)
class Rollout:
    """G completions for each of P prompts.

    Args:
        token_ids: [P, G, T] int64, end-of-turn token included, padded.
        completion_mask: [P, G, T] bool, True where the token is part of the completion.
        logprobs: [P, G, T] float32 log-probabilities the sampler drew them with, 0 where masked.
        texts: Decoded completions without special tokens, P lists of G.
        finished: [P, G] bool, True if the completion ended by itself.
    """

    token_ids: Tensor
    completion_mask: Tensor
    logprobs: Tensor
    texts: Sequence[Sequence[str]]
    finished: Tensor

    def __post_init__(self) -> None:
        if not self.token_ids.shape == self.completion_mask.shape == self.logprobs.shape or self.token_ids.ndim != 3:
            msg = f"rollout shapes differ: {self.token_ids.shape}, {self.completion_mask.shape}, {self.logprobs.shape}"
            raise ValueError(msg)

    @property
    def num_tokens(self) -> Tensor:
        """[P, G] length of each completion."""
        return self.completion_mask.sum(-1)

    def __repr__(self) -> str:
        return f"Rollout(shape={tuple(self.token_ids.shape)})"


#: The largest magnitude of a reward: squares of larger ones overflow in float32.
MAX_REWARD = 1e18
#: ``reason`` of a RewardError that does not name the reward's class yet.
UNNAMED = "reward output"


def _require_vector(name: str, value: object, dtype: torch.dtype) -> None:
    """Refuse what is not one number of this type for each completion."""
    expected = f"expected a [B] tensor of {dtype}"
    if not isinstance(value, Tensor):
        came = f"{name} of type {type(value).__name__}"
    elif value.ndim != 1:
        came = f"{name} of shape {tuple(value.shape)}"
    elif value.dtype != dtype:
        came = f"{name} of {value.dtype}"
    elif value.requires_grad:
        came, expected = f"{name} that requires a gradient", "expected it detached"
    elif dtype.is_floating_point and bool((value.abs() > MAX_REWARD).any()):  # NaN is "not applicable"
        row = int((value.abs() > MAX_REWARD).nonzero()[0])
        came = f"{name} {float(value[row]):g} for completion {row}"
        expected = f"expected numbers of at most {MAX_REWARD:g}, or NaN for not applicable"
    else:
        return
    msg = f"{came}, {expected}"
    raise RewardError(msg, reason=UNNAMED)


@dataclass(frozen=True, eq=False)
class RewardOutput:
    """Scores of a flat list of completions.

    Args:
        total: [B] float32, the number the advantage is computed from.
        parts: Named [B] float32 components, each logged as a metric; NaN marks "not applicable".
        success: [B] bool, True where the answer is right altogether.
        weighted_terms: The sum behind ``total``: weights and [B] rewards, NaN where one does not apply. Empty if
            ``total`` is no sum.
        judged: [B] bool, True where ``success`` is a verdict, False where nothing says whether the answer is right;
            None stands for a verdict on all.

    Raises:
        RewardError: If a tensor has another type or shape, requires a gradient, or holds an infinite or huge number.
    """

    total: Tensor
    parts: Mapping[str, Tensor]
    success: Tensor
    weighted_terms: Sequence[tuple[float, Tensor]] = ()
    judged: Tensor | None = None

    def __post_init__(self) -> None:
        _require_vector("total", self.total, torch.float32)
        parts: object = self.parts
        if not isinstance(parts, Mapping):
            msg = f"parts of type {type(parts).__name__}, expected a mapping of names to [B] float32 tensors"
            raise RewardError(msg, reason=UNNAMED)
        terms = {f"term {k}": term for k, (_, term) in enumerate(self.weighted_terms)}
        for name, part in {**self.parts, **terms}.items():
            _require_vector(f"part {name}", part, torch.float32)
        for name, verdict in {"success": self.success, "judged": self.judged}.items():
            if verdict is not None or name == "success":
                _require_vector(name, verdict, torch.bool)
        for name, part in {"success": self.success, "judged": self.verdicts, **self.parts, **terms}.items():
            if part.shape != self.total.shape:
                msg = f"reward part {name} has shape {tuple(part.shape)}, the total {tuple(self.total.shape)}"
                raise RewardError(msg, reason=UNNAMED)

    @property
    def verdicts(self) -> Tensor:
        """:attr:`judged`, written out if it is None."""
        return torch.ones_like(self.success) if self.judged is None else self.judged

    @property
    def successes(self) -> Tensor:
        """[B] bool, True where there is a verdict, and it is success."""
        return self.success & self.verdicts


@dataclass(frozen=True, eq=False)
class LossOutput:
    """A scalar loss with gradient and detached numbers to log."""

    loss: Tensor
    metrics: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.loss.ndim != 0 or not torch.is_floating_point(self.loss):
            msg = f"a loss is a floating-point scalar, this one has shape {tuple(self.loss.shape)}"
            raise ValueError(msg)
