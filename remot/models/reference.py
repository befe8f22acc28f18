"""Further, frozen sets of the trained weights: the policy at an earlier step, or the average over its steps.

KL is measured against the first, a teacher answers with the second. Until it is first captured a set is the policy as
loaded. It is made before weights are divided over processes, so that it is divided with them, and is neither trained
nor exported.
"""

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from remot.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Names of the sets of adapters inside of peft: the trained one, that of an earlier step, the average.
TRAINED, CAPTURED, AVERAGED = "default", "snapshot", "average"


def frozen_copy(model: "PreTrainedModel") -> "PreTrainedModel":
    """A copy without gradients, in evaluation mode."""
    return copy.deepcopy(model).requires_grad_(requires_grad=False).eval()


class ReferenceSnapshot(nn.Module, ABC):
    """A frozen set of what is trained.

    Attributes:
        step: Optimiser step at whose start it was last captured or moved, counted from 0; None while it is the policy
            as loaded.
        copies: Whole models of its own.
    """

    copies: "tuple[PreTrainedModel, ...]" = ()

    def __init__(self) -> None:
        super().__init__()
        self.step: int | None = None

    @abstractmethod
    def active(self, model: nn.Module) -> "AbstractContextManager[PreTrainedModel]":
        """Context that gives the transformers model to ask; ``model`` is the policy's, adapters included."""

    @abstractmethod
    def pairs(self, model: nn.Module) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """Pairs of a frozen parameter and the trained parameter of ``model`` that it is a copy of."""

    @torch.no_grad()
    def capture(self, model: nn.Module, step: int | None) -> None:
        """Keep the trained weights of ``model`` as they are at the start of optimiser step ``step``."""
        for frozen, trained in self.pairs(model):
            frozen.copy_(trained)
        self.step = step

    @torch.no_grad()
    def average(self, model: nn.Module, rate: float, step: int) -> None:
        """Move by ``rate`` to the trained weights of ``model``, once for each step; the first time take them.

        A step that is begun again finds its average as it is.

        Raises:
            ConfigError: If weights are in half precision, which rounds such small changes away.
        """
        if self.step is None:
            self.capture(model, step)
        if self.step == step:
            return
        for frozen, trained in self.pairs(model):
            if frozen.dtype.itemsize < 4:
                msg = (
                    f"an average of weights needs float32, they are {frozen.dtype}: leave grpo.teacher.average out, or "
                    "use a trainer.precision that keeps them, such as bf16-mixed"
                )
                raise ConfigError(msg)
            frozen.mul_(1 - rate).add_(trained, alpha=rate)
        self.step = step


class ModelSnapshot(ReferenceSnapshot):
    """A frozen copy of the policy's whole ``model``, for policies whose weights are trained themselves."""

    def __init__(self, model: "PreTrainedModel") -> None:
        super().__init__()
        self.core = frozen_copy(model)
        self.copies = (self.core,)

    def active(self, model: nn.Module) -> "AbstractContextManager[PreTrainedModel]":  # noqa: ARG002
        """The copy, which is the policy as loaded at first."""
        return contextlib.nullcontext(self.core)

    def pairs(self, model: nn.Module) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """By name."""
        own = dict(self.core.named_parameters())
        return ((own[name], trained) for name, trained in model.named_parameters() if trained.requires_grad)


class AdapterSnapshot(ReferenceSnapshot):
    """A set of adapters beside the trained ones of ``model``, in the same layers; costs their memory."""

    def __init__(self, model: Any, name: str = CAPTURED) -> None:  # noqa: ANN401 (peft has no types)
        super().__init__()
        self.name = name
        with torch.random.fork_rng(devices=[]):  # the numbers that peft draws for it are never used
            model.add_adapter(name, copy.deepcopy(model.peft_config[TRAINED]))
        model.set_adapter(TRAINED)  # which freezes the others
        self.capture(model, None)

    @contextlib.contextmanager
    def active(self, model: Any) -> "Iterator[PreTrainedModel]":  # noqa: ANN401
        """The other set in place of the trained one; at first a copy of it, which is zero for new adapters."""
        model.set_adapter(self.name)
        try:
            yield model.get_base_model()
        finally:
            model.set_adapter(TRAINED)

    def pairs(self, model: nn.Module) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """By the name of the set, whichever of the two is active."""
        named = dict(model.named_parameters())
        for name, trained in named.items():
            layer, _, rest = name.rpartition(f".{TRAINED}")
            frozen = named.get(f"{layer}.{self.name}{rest}")
            if frozen is not None:
                yield frozen, trained
