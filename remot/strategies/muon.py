"""Muon for the matrices of a small model and AdamW for everything else, as one optimizer with one schedule.

PyTorch's own Muon takes matrices only, so that biases, norms and filters need a second optimizer.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import AdamW, Muon, Optimizer

from remot.errors import ConfigError

#: What schedules and resumed runs change; each of the two takes those that it has.
_SETTINGS = ("lr", "weight_decay", "betas", "momentum")


class MuonAdamW(Optimizer):
    """``torch.optim.Muon`` for matrices, ``torch.optim.AdamW`` for other parameters.

    Muon moves a matrix along its momentum with all singular values made equal (https://kellerjordan.github.io/posts/muon).
    Its updates are scaled to the size of Adam's (arXiv 2502.16982), so that one learning rate fits both.

    Args:
        params: What is trained, without groups.
        lr: Learning rate.
        weight_decay: Decoupled decay of all parameters.
        betas: Of AdamW.
        momentum: Of Muon.
        least_side: Matrices with a shorter side than this take AdamW.
        most_ratio: So do those whose longer side is more than this many times the shorter one, as embeddings of
            large vocabularies and adapters are.

    Raises:
        ConfigError: If weights are divided over processes, where no product has the whole matrix.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.95),
        momentum: float = 0.95,
        least_side: int = 8,
        most_ratio: float = 4.5,
    ) -> None:
        parameters = list(params)
        if any(isinstance(one, DTensor) for one in parameters):
            msg = "model.optimizer: Muon needs whole matrices, not those that FSDP2 divides; choose AdamW"
            raise ConfigError(msg)
        # one group in the order given, by which checkpoints name what is kept of each parameter
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "betas": betas, "momentum": momentum})
        matrices = [one for one in parameters if _is_matrix(one, least_side, most_ratio)]
        chosen = {id(one) for one in matrices}
        others = [one for one in parameters if id(one) not in chosen]
        self._parts: list[Optimizer] = []
        if matrices:
            muon = Muon(matrices, lr, weight_decay=weight_decay, momentum=momentum, adjust_lr_fn="match_rms_adamw")
            self._parts.append(muon)
        if others:
            self._parts.append(AdamW(others, lr, betas, weight_decay=weight_decay))

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update by both, with the settings and the state that this optimizer has now."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        (group,) = self.param_groups
        for part in self._parts:
            (own,) = part.param_groups
            own.update({name: group[name] for name in _SETTINGS if name in own})
            part.state = self.state
            part.step()
        return loss


def _is_matrix(parameter: nn.Parameter, least_side: int, most_ratio: float) -> bool:
    shape: Any = parameter.shape
    return parameter.ndim == 2 and min(shape) >= least_side and max(shape) <= most_ratio * min(shape)
