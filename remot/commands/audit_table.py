"""An audit for people: how far it is, and its table."""

from collections.abc import Mapping
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from remot.data.audit import Audit
from remot.data.audit.built import BUILT
from remot.evaluation import wide_console

#: Said of a figure that could not be had from other scenes.
_HALVED = {"scene": "", "prompt": " (one scene only)"}
#: Tuples of answers that are listed.
MAX_TUPLES = 16


class ProgressBars:
    """A bar on the standard error for each thing that is done, from the first report on.

    Nothing is shown before it, so that an error in the settings stays the only line.
    """

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "ProgressBars":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, what: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` are done."""
        if self._progress is None:
            self._progress = Progress(console=Console(stderr=True))
            self._progress.start()
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done)


def print_table(audit: Audit) -> None:
    """Write the figures of ``audit`` to the standard output."""
    title = f"{audit.num_prompts} prompts of the {audit.split} split"
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    table.add_column("check", overflow="fold")
    table.add_column("found", justify="right")
    for name, figure in _rows(audit):
        table.add_row(Text(name), Text(figure))
    wide_console().print(table)


def _rows(audit: Audit) -> list[tuple[str, str]]:
    rows = [*(_label_rows(audit) if audit.attributes else []), *_blind_rows(audit), *_tuple_rows(audit)]
    if not audit.attributes:
        return [("labels checked against the annotations", "none: there are no annotations"), *rows]
    return [*rows, *audit.overlap.rows()]


def _label_rows(audit: Audit) -> list[tuple[str, str]]:
    rows = [("labels checked against the annotations", str(sum(audit.attributes.values())))]
    rows += [(f"  {name}", str(count)) for name, count in audit.attributes.items()]
    rows += [
        ("wrong labels", str(len(audit.wrong))),
        ("wrong letters", str(len(audit.letters))),
        ("prompts whose answers cannot be true together", str(len(audit.impossible))),
    ]
    if audit.split != BUILT:
        return rows
    compared = f"wrong pictures, of {audit.num_pictures} compared with the source"
    return [*rows, ("wrong facts about clips", str(len(audit.facts))), (compared, str(len(audit.pictures)))]


def _tuple_rows(audit: Audit) -> list[tuple[str, str]]:
    """The most frequent tuples, in order where all fit."""
    seen = {answers: count for answers, count in audit.tuples.items() if count}
    of_possible = f", of {audit.num_possible} possible" if audit.num_possible else ""
    frequent = sorted(seen, key=lambda answers: -seen[answers])[:MAX_TUPLES]
    listed = audit.tuples if len(audit.tuples) <= MAX_TUPLES else {answers: seen[answers] for answers in frequent}
    return [
        (f"tuples of answers seen{of_possible}", str(len(seen))),
        ("  prompts with each" if listed is audit.tuples else "  the most frequent", _counted(listed)),
    ]


def _counted(tuples: Mapping[str, int]) -> str:
    """Short tuples side by side, long ones below each other."""
    between = "  " if all(len(answers) <= 3 for answers in tuples) else "\n"
    return between.join(f"{answers} {count}" for answers, count in tuples.items())


def _blind_rows(audit: Audit) -> list[tuple[str, str]]:
    """The best first; the best of several is a little too high."""
    blind = audit.blind
    if blind is None:
        return [("right letters without pictures", "not known: no two prompts with letters")]
    ranked = sorted(blind.by_model, key=lambda name: -blind.by_model[name])
    return [
        ("right letters by chance", f"{blind.chance:.3f}"),
        (f"right letters without pictures, best model{_HALVED[blind.halved_by]}", f"{blind.by_model[blind.best]:.3f}"),
        *((f"  {name}", f"{blind.by_model[name]:.3f} ± {blind.standard_errors[name]:.3f}") for name in ranked),
    ]
