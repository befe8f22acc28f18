"""A second, frozen set of the trained weights: the policy at an earlier step, which KL is measured against.

Until it is first captured it is the policy as loaded. It is made before weights are divided over processes, so that it
is divided with them, and is neither trained nor exported.
"""

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Names of the two sets of adapters inside of peft.
TRAINED, CAPTURED = "default", "snapshot"


def frozen_copy(model: "PreTrainedModel") -> "PreTrainedModel":
    """A copy without gradients, in evaluation mode."""
    return copy.deepcopy(model).requires_grad_(requires_grad=False).eval()


class ReferenceSnapshot(nn.Module, ABC):
    """A reference policy other than the base model.

    Attributes:
        step: Optimiser step at whose start it was captured, counted from 0; None while it is the policy as loaded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step: int | None = None

    @property
    def copies(self) -> "Sequence[PreTrainedModel]":
        """Whole models of its own."""
        return ()

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


class ModelSnapshot(ReferenceSnapshot):
    """A frozen copy of the policy's whole ``model``, for policies whose weights are trained themselves."""

    def __init__(self, model: "PreTrainedModel") -> None:
        super().__init__()
        self.core = frozen_copy(model)

    @property
    def copies(self) -> "Sequence[PreTrainedModel]":
        """One."""
        return (self.core,)

    def active(self, model: nn.Module) -> "AbstractContextManager[PreTrainedModel]":  # noqa: ARG002
        """The copy, which is the policy as loaded at first."""
        return contextlib.nullcontext(self.core)

    def pairs(self, model: nn.Module) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """By name."""
        own = dict(self.core.named_parameters())
        return ((own[name], trained) for name, trained in model.named_parameters() if trained.requires_grad)


class AdapterSnapshot(ReferenceSnapshot):
    """A second set of adapters beside the trained ones of ``model``, in the same layers; costs their memory."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 (peft has no types)
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # the numbers that peft draws for it are never used
            model.add_adapter(CAPTURED, copy.deepcopy(model.peft_config[TRAINED]))
        model.set_adapter(TRAINED)  # which freezes the others
        self.capture(model, None)

    @contextlib.contextmanager
    def active(self, model: Any) -> "Iterator[PreTrainedModel]":  # noqa: ANN401
        """The other set in place of the trained one; at first a copy of it, which is zero for new adapters."""
        model.set_adapter(CAPTURED)
        try:
            yield model.get_base_model()
        finally:
            model.set_adapter(TRAINED)

    def pairs(self, model: nn.Module) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """By the name of the set, whichever of the two is active."""
        named = dict(model.named_parameters())
        for name, trained in named.items():
            layer, _, rest = name.rpartition(f".{TRAINED}")
            frozen = named.get(f"{layer}.{CAPTURED}{rest}")
            if frozen is not None:
                yield frozen, trained
