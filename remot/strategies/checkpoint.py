"""The trained weights in a checkpoint, independent of the number of processes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from remot.errors import CheckpointError


def trained_shapes(module: nn.Module, trained: Collection[str]) -> dict[str, list[int]]:
    """Shapes by name of the parameters that are ``trained``, of all shards together."""
    return {name: list(parameter.shape) for name, parameter in module.named_parameters() if name in trained}


def names_of(module: nn.Module, parameters: Iterable[nn.Parameter]) -> set[str]:
    """Names of the parameters in ``module``."""
    wanted = {id(parameter) for parameter in parameters}
    return {name for name, parameter in module.named_parameters() if id(parameter) in wanted}


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """Shapes by name of the tensors of a state dict."""
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def differing_names(held: Mapping[str, list[int]], wanted: Mapping[str, list[int]]) -> set[str]:
    """Names that only one of the two has, or that have different shapes."""
    return set(held) ^ set(wanted) | {name for name in set(held) & set(wanted) if held[name] != wanted[name]}


def require_same(base: str, held: Mapping[str, list[int]], base_here: str, wanted: Mapping[str, list[int]]) -> None:
    """Refuse a checkpoint of another base model or of other trained shapes than this run's.

    Raises:
        CheckpointError: If they differ.
    """
    if base != base_here:
        msg = f"the checkpoint was made from {base}, not from {base_here}; set policy.source to what it was"
        raise CheckpointError(msg)
    differing = differing_names(held, wanted)
    if differing:
        msg = (
            f"the checkpoint of {base} holds other parameters than are trained here: {len(differing)} differ, such "
            f"as {min(differing)}; use the policy settings it was trained with"
        )
        raise CheckpointError(msg)


def keep_trained(checkpoint: dict[str, Any], kept: Collection[str], numbered: Sequence[str]) -> None:
    """Keep only the weights ``kept`` in Lightning's checkpoint, and key optimizer states by parameter name.

    The checkpoint is changed in place; ``numbered`` are parameter names in the order of the optimizer.
    """
    checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in kept}
    states = checkpoint.get("optimizer_states", [])
    states[:] = [named_optimizer_state(state, numbered) for state in states]


def named_optimizer_state(state: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """An optimiser's state with parameter names as keys; the numbers differ for sharded weights.

    PyTorch matches groups by their order when it loads, so a single process reads both. ``state`` is empty in processes
    that save nothing.
    """
    if not state:
        return {}

    def name(key: int | str) -> str:
        return names[key] if isinstance(key, int) else key

    groups = [{**group, "params": [name(key) for key in group["params"]]} for group in state["param_groups"]]
    return {**state, "state": {name(key): held for key, held in state["state"].items()}, "param_groups": groups}
