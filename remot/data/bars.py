"""A progress bar on the standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def counting_bar(what: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told how much of how much is done, and vanishes at the end.

    Args:
        what: What is being done.
        shown: False shows none.
    """
    if not shown:
        yield lambda *_: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
