"""The trained weights in a checkpoint, independent of the number of processes."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from torch import Tensor

from remot.errors import CheckpointError


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """Shapes by name of the tensors of a state dict."""
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def require_same(base: str, held: Mapping[str, list[int]], base_here: str, wanted: Mapping[str, list[int]]) -> None:
    """Refuse a checkpoint of another base model or of other trained shapes than this run's.

    Raises:
        CheckpointError: If they differ.
    """
    if base != base_here:
        msg = f"the checkpoint was made from {base}, not from {base_here}; set policy.source to what it was"
        raise CheckpointError(msg)
    differing = set(held) ^ set(wanted) | {name for name in set(held) & set(wanted) if held[name] != wanted[name]}
    if differing:
        msg = (
            f"the checkpoint of {base} holds other parameters than are trained here: {len(differing)} differ, such "
            f"as {min(differing)}; use the policy settings it was trained with"
        )
        raise CheckpointError(msg)


def require_finite(checkpoint: Mapping[str, Any]) -> None:
    """Refuse a checkpoint whose weights or optimiser's moments would spoil, or silently stop, the training.

    Raises:
        CheckpointError: Naming the first number that is NaN or infinite.
    """
    for name, tensor in chain(checkpoint.get("state_dict", {}).items(), _moments(checkpoint)):
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            msg = (
                f"the checkpoint of step {checkpoint.get('global_step')} holds a number that is not finite in {name}; "
                "continue from an earlier one, such as previous.ckpt"
            )
            raise CheckpointError(msg)


def _moments(checkpoint: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for optimizer in checkpoint.get("optimizer_states", []):
        for parameter, held in optimizer.get("state", {}).items():
            yield from ((f"{key} of {parameter}", value) for key, value in held.items())


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
