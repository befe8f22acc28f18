"""The order in which things come into view, orders to choose from, and which thing is the nearest."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, permutations

import numpy as np

from remot.data.tasks.shared.candidates import Refusal

#: Sets of a clip that are drawn.
MAX_DRAWS = 24
#: Fewest that are ordered; two have two orders, which are too few to choose from.
MIN_THINGS = 3


def clear_orders(
    entries: Mapping[str, tuple[int, int]], num_things: int, generator: np.random.Generator, too_few: str
) -> Iterator[list[str] | Refusal]:
    """Drawn sets of things, each in the order in which they come into view.

    ``entries`` are the first shown frame that may show a thing and the first that clearly does. Things come one after
    another if these stretches follow each other. A set that has no such order is refused and drawn again with one thing
    less, down to :data:`MIN_THINGS`.
    """
    names = sorted(entries)
    for _ in range(MAX_DRAWS):
        for size in range(num_things, MIN_THINGS - 1, -1):
            drawn = [names[k] for k in generator.permutation(len(names))[:size]]
            ordered = sorted(drawn, key=entries.__getitem__)
            if len(drawn) < size:
                yield Refusal(too_few)
            elif any(entries[one][1] >= entries[other][0] for one, other in pairwise(ordered)):
                yield Refusal("two may come into view together")
            else:
                yield ordered
                break


def clearly_nearest(metres: Mapping[str, float], min_gap_metres: float, min_ratio: float) -> list[str] | None:
    """Names from the nearest to the farthest; None unless the nearest is closer than the next by both margins."""
    nearest, following, *rest = sorted(metres, key=metres.__getitem__)
    gap = metres[following] - metres[nearest]
    is_clear = gap >= min_gap_metres and metres[following] >= min_ratio * metres[nearest]
    return [nearest, following, *rest] if is_clear else None


def order_options(
    ordered: Sequence[str], num_options: int, generator: np.random.Generator
) -> tuple[str, tuple[str, ...], str]:
    """Texts of the right order, of ``num_options`` - 1 drawn wrong ones, and of the things in a drawn order."""
    right, *others = [", ".join(order) for order in permutations(ordered)]
    wrong = generator.permutation(len(others))[: num_options - 1]
    listed = [ordered[k] for k in generator.permutation(len(ordered))]
    return right, tuple(others[k] for k in wrong), ", ".join(listed)
