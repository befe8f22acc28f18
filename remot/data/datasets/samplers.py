"""Which addresses make which batch."""

from collections.abc import Callable, Iterator

from torch.utils.data import Sampler

from remot.data.datasets.revisits import RevisitedPrompts
from remot.errors import ConfigError


class AddressSampler(Sampler[list[int]]):
    """Batches of consecutive addresses: batch k holds ``k * batch_size`` up to ``(k + 1) * batch_size - 1``.

    Batches are numbered without end, over all epochs, and nothing is shuffled, because the addresses themselves name
    random prompts. A batch is chosen when it is asked for, and resuming is starting at another one. Each pass yields
    ``num_batches`` of them::

        batch_size=2, num_batches=3, start_batch=4   ->   [8, 9] [10, 11] [12, 13]

    With several processes batch k is cut into one piece of ``batch_size`` for each.

    Args:
        batch_size: Addresses in a batch (of one process).
        num_batches: Batches in one pass.
        start_batch: First batch of the next pass, or a function that returns it when the pass starts.
        rank: Which process this is.
        world_size: Number of processes.
        choose: From the number of a prompt to its address; numbers are addresses if None.
        revisited: Replaces some of the addresses of a batch by earlier ones; none if None.
    """

    def __init__(
        self,
        batch_size: int,
        num_batches: int,
        start_batch: int | Callable[[], int] = 0,
        rank: int = 0,
        world_size: int = 1,
        choose: Callable[[int], int] | None = None,
        revisited: RevisitedPrompts | None = None,
    ) -> None:
        if batch_size < 1 or num_batches < 1:
            msg = f"batch_size is {batch_size} and num_batches {num_batches}; both must be at least 1"
            raise ConfigError(msg)
        self.batch_size = batch_size
        self.num_batches = num_batches
        self.start_batch = start_batch
        self.rank = rank
        self.world_size = world_size
        self.choose = choose
        self.revisited = revisited

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        first = self.start_batch if isinstance(self.start_batch, int) else self.start_batch()
        for batch in range(first, first + self.num_batches):
            start = self.rank * self.batch_size
            yield self.addresses(batch)[start : start + self.batch_size]

    def addresses(self, batch: int) -> list[int]:
        """The addresses of a batch of all processes."""
        size = self.batch_size * self.world_size
        numbers = range(batch * size, (batch + 1) * size)
        chosen = list(numbers) if self.choose is None else [self.choose(number) for number in numbers]
        return chosen if self.revisited is None else self.revisited.batch(batch, chosen)
