"""Weights divided over processes: fully sharded data parallelism (FSDP2).

Every block of the language model and of the vision tower is a group of its own, gathered when it computes; what is left
(embeddings, output head, patch embedding) is one more. A rollout calls every block once a token, for as many tokens as
its completions happen to have. Weights are therefore gathered once for a whole rollout, see :meth:`Sharding.gathered`:
no token waits for another process, and processes need not sample equally many.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from remot.distributed import all_gather_objects
from remot.errors import ConfigError

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

#: Methods of a policy that compute with sharded weights; all others run where they are gathered.
PASSES = ("encode", "scored", "scored_with_entropies")


class Sharding:
    """Divides the weights of a policy over the processes of ``mesh``.

    Args:
        policy: Weights on every process, the same ones; its methods :data:`PASSES` gather what they need from now on.
        blocks: Modules that are gathered one by one.
        mesh: One dimension, whose processes have different prompts.

    Raises:
        ConfigError: If weights are quantised, or differ between processes.
    """

    def __init__(self, policy: nn.Module, blocks: list[nn.Module], mesh: "DeviceMesh") -> None:
        if any(not parameter.is_floating_point() for parameter in policy.parameters()):
            msg = "4-bit weights cannot be sharded: use LoRA instead of QLoRA, or trainer.strategy ddp"
            raise ConfigError(msg)
        # Each process keeps one shard of its own copy, so all copies must be equal.
        with torch.no_grad():
            sums = [float(parameter.double().sum()) for parameter in policy.parameters()]
        if any(other != sums for other in all_gather_objects(sums)):
            msg = "the processes begin with different weights: give all the same seed_everything and model folder"
            raise ConfigError(msg)
        for block in blocks:
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
        fully_shard(policy, mesh=mesh, reshard_after_forward=True)
        for name in PASSES:
            register_fsdp_forward_method(policy, name)
        self._modules = [module for module in policy.modules() if isinstance(module, FSDPModule)]
        self._is_gathered = False

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Within this context every process holds all weights; all must enter it, and nothing may be trained in it.

        Inside itself it does nothing.
        """
        if self._is_gathered:
            yield
            return
        self._set(is_gathered=True)
        try:
            yield
        finally:
            self._set(is_gathered=False)

    def _set(self, *, is_gathered: bool) -> None:
        self._is_gathered = is_gathered
        for module in self._modules:
            module.set_reshard_after_forward(not is_gathered, recurse=False)
            if is_gathered:
                module.unshard()
            else:
                module.reshard()


def full_state(model: nn.Module, *, trained_only: bool) -> dict[str, Tensor]:
    """Sharded weights by name, whole and on the CPU of the first process; the others get nothing. All must call it.

    Of weights that have several names (an output head that is the embedding) only the first is given.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=trained_only)
    state = cast("dict[str, Tensor]", get_model_state_dict(model, options=options))
    further = dict(model.named_parameters(remove_duplicate=False)).keys() - dict(model.named_parameters()).keys()
    return {name: tensor for name, tensor in state.items() if name not in further}
