"""Parts of a rollout that one forward and backward pass takes, and what is computed once for each completion."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Part:
    """Some completions of some prompts."""

    rows: slice
    completions: slice

    def of(self, values: Tensor) -> Tensor:
        """[p, G, ...] bool of the prompts, from [P, G, ...], False for completions that are not in this part."""
        chosen = torch.zeros(values.shape[1], dtype=torch.bool, device=values.device)  # [G]
        chosen[self.completions] = True
        return values[self.rows] & chosen.view(-1, *[1] * (values.ndim - 2))


class KeptByCompletion:
    """Numbers of completions that are computed once, in whatever parts they are asked for.

    Parts may become smaller, and divide completions in other places, when memory runs out.

    Args:
        shape: P prompts, G completions, and what there is of each.
        device: Where they are.
    """

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        self.values = torch.zeros(shape, dtype=torch.float32, device=device)  # whatever torch's default is
        self.is_known = torch.zeros(shape[:2], dtype=torch.bool, device=device)  # [P, G]

    def of(self, part: Part, compute: Callable[[], Tensor]) -> Tensor:
        """[p, G, ...] of a part, 0 for completions that are not in it.

        ``compute`` gives [p, G, ...], and is asked if a completion of the part is missing; others stay as they are.
        """
        chosen = part.of(torch.ones_like(self.is_known))  # [p, G]
        missing = chosen & ~self.is_known[part.rows]
        if bool(missing.any()):
            self.values[part.rows][missing] = compute().to(self.values)[missing]  # a slice is a view
            self.is_known[part.rows] |= missing
        return self.values[part.rows].masked_fill(~chosen.view(*chosen.shape, *[1] * (self.values.ndim - 2)), 0.0)
