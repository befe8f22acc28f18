"""Training prompts that taught something are asked again, at addresses that a resumed run repeats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remot.errors import ConfigError
from remot.seeding import numpy_generator

#: Batches that each data worker and the trainer may have asked for ahead of the one that is trained on.
BATCHES_AHEAD_OF_A_WORKER, BATCHES_AHEAD = 2, 2


@dataclass(frozen=True)
class Revisits:
    """A share of each training batch asks earlier prompts again whose completions had different rewards.

    A prompt comes again with new completions, until those of its last visit all earn the same or it has become too old.
    Batches whose groups are not known yet have none. Ours.

    Args:
        share: Of the prompts of a batch, above 0 and below 1; fewer where there are not that many to ask again.
        after: Batches that lie between a visit and the next at least, so that data workers can read ahead of the
            training: 2 and 2 for each worker, or more. It does not depend on them, so nor do the prompts.
        within: A prompt is asked again within this many batches more.
    """

    share: float = 0.25
    after: int = 8
    within: int = 64

    def __post_init__(self) -> None:
        if not (0 < self.share < 1 and self.after >= BATCHES_AHEAD and self.within >= 1):
            given = f"{self.share}, {self.after} and {self.within}"
            msg = (
                f"data.options.revisits: share is between 0 and 1, after at least {BATCHES_AHEAD} and within at least "
                f"1, got {given}"
            )
            raise ConfigError(msg)

    def require_known_in_time(self, num_workers: int) -> None:
        """Refuse data workers that read batches before their prompts can be known."""
        least = BATCHES_AHEAD + BATCHES_AHEAD_OF_A_WORKER * num_workers
        if self.after < least:
            msg = f"data.options.revisits.after is {self.after}; {num_workers} data workers take {least} or more"
            raise ConfigError(msg)

    def describe(self) -> str:
        """What happens, in one line."""
        return f"revisits: up to {self.share:.0%} of a batch are prompts whose completions differed before"


class RevisitedPrompts:
    """Chooses the addresses of a batch: a function of the seed, its number and the groups of earlier batches.

    Args:
        settings: Which prompts, and when.
        seed: Of the training prompts.
    """

    def __init__(self, settings: Revisits, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        #: By the number of a batch the address of each prompt, and whether its completions had different rewards.
        self._groups: dict[int, list[tuple[int, bool]]] = {}

    def batch(self, number: int, addresses: Sequence[int]) -> list[int]:
        """The addresses of a batch of all processes, some of them replaced.

        Args:
            number: Of the batch, over all epochs.
            addresses: Those it has without revisits.
        """
        chosen, candidates = list(addresses), self._candidates(number, addresses)
        count = min(round(self.settings.share * len(chosen)), len(candidates))
        generator = numpy_generator(self.seed, "revisits", number)
        places = generator.permutation(len(chosen))[:count].tolist()
        for place, candidate in zip(places, generator.permutation(len(candidates)).tolist(), strict=False):
            chosen[place] = candidates[candidate]
        return chosen

    def _candidates(self, number: int, addresses: Sequence[int]) -> list[int]:
        """Addresses whose last visit within the settings' window had a difference, and that the batch has not."""
        latest: dict[int, bool] = {}
        newest = number - self.settings.after
        for earlier in range(newest - self.settings.within + 1, newest + 1):
            latest |= dict(self._groups.get(earlier, ()))
        return [address for address, differed in latest.items() if differed and address not in set(addresses)]

    def observe(self, number: int, addresses: Sequence[int], differed: Sequence[bool]) -> None:
        """Remember the groups of a batch, and forget those that are too old for it and all later ones."""
        self._groups[number] = list(zip(addresses, differed, strict=True))
        oldest = number - self.settings.after - self.settings.within
        self._groups = {batch: groups for batch, groups in self._groups.items() if batch >= oldest}

    def state_dict(self) -> dict[str, Any]:
        """The groups that are remembered, as plain numbers."""
        return {str(batch): [[address, int(one)] for address, one in held] for batch, held in self._groups.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self._groups = {
            int(batch): [(int(address), bool(one)) for address, one in held] for batch, held in state.items()
        }
