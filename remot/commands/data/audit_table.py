"""An audit for people: how far it is, and its table."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from remot.terminal import console

if TYPE_CHECKING:
    from remot.datatools.audit import Audit
    from remot.datatools.audit.blind import Guesses
    from remot.datatools.audit.report import LabelFigures, TaskFigures


#: Said of a figure that could not be had from other scenes.
_HALVED = {"scene": "", "prompt": " (one scene only)"}
#: Tuples of answers that are listed.
MAX_TUPLES = 16
#: Answers and reasons that are listed of a task.
MAX_LISTED = 6
_MEASURES = {"right": "right", "relative_accuracy": "relative accuracy", "overlap": "overlap"}


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
            self._progress = Progress(console=console(stderr=True))
            self._progress.start()
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done)


def print_table(audit: "Audit") -> None:
    """Write the figures of ``audit`` to the standard output."""
    from remot.evaluation import wide_console

    title = f"{audit.num_prompts} prompts of the {audit.split} split"
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    table.add_column("check", overflow="fold")
    table.add_column("found", justify="right", overflow="fold")
    for name, figure in _rows(audit):
        table.add_row(Text(name), Text(figure))
    wide_console().print(table)


def _rows(audit: "Audit") -> Iterator[tuple[str, str]]:
    yield "prompts checked against the annotations", str(audit.num_checked)
    yield "prompts not checked, of tasks without a second computation", str(audit.num_prompts - audit.num_checked)
    yield "prompts with a wrong label, reference, text or response", str(sum(task.num_wrong for task in audit.tasks))
    if audit.num_images:
        yield "wrong facts about clips", str(len(audit.facts))
        yield f"wrong images, of {audit.num_images} compared with the source", str(len(audit.images))
    for task in audit.tasks:
        yield from _task_rows(task)
    if audit.overlap.scenes:
        yield from audit.overlap.rows()


def _task_rows(task: "TaskFigures") -> Iterator[tuple[str, str]]:
    checked = f"{task.num_checked} checked, {task.num_wrong} wrong" if task.num_checked else "not checked"
    yield task.name, f"{task.num_prompts} prompts, {checked}" if task.num_prompts else "no prompt"
    clips = task.clips
    if clips.num_clips:
        yield f"  clips with {task.needs}", f"{clips.num_serving} of {clips.num_clips}"
    if clips.refusals:
        yield f"  asked and refused in {clips.num_looked_at} of them", _counted(clips.refusals)
    if task.answers and task.labels is None:
        yield "  right answers", _counted(task.answers)
    if task.quantiles is not None:
        yield "  least, quarter, half, three quarters, most", ", ".join(f"{one:.3g}" for one in task.quantiles)
    if task.labels is not None:
        yield from _label_rows(task.labels)
    if task.labels is not None and not task.guesses:
        yield "  right without images", "not known: no two prompts with letters"
    for guesses in task.guesses:
        yield from _guess_rows(guesses)


def _label_rows(labels: "LabelFigures") -> Iterator[tuple[str, str]]:
    if labels.attributes:
        yield "  labels checked against the annotations", str(sum(labels.attributes.values()))
        for name, count in labels.attributes.items():
            yield f"    {name}", str(count)
        yield "  wrong labels", str(len(labels.wrong))
        yield "  wrong letters", str(len(labels.letters))
        yield "  prompts whose answers cannot be true together", str(len(labels.impossible))
    else:
        yield "  labels checked against the annotations", "none: there are no annotations"
    seen = {answers: count for answers, count in labels.tuples.items() if count}
    of_possible = f", of {labels.num_possible} possible" if labels.num_possible else ""
    yield f"  tuples of answers seen{of_possible}", str(len(seen))
    if len(labels.tuples) <= MAX_TUPLES:
        yield "    prompts with each", _side_by_side(labels.tuples)
    else:
        frequent = sorted(seen, key=lambda answers: -seen[answers])[:MAX_TUPLES]
        yield "    the most frequent", _side_by_side({answers: seen[answers] for answers in frequent})


def _side_by_side(tuples: Mapping[str, int]) -> str:
    """Short tuples side by side, long ones below each other."""
    between = "  " if all(len(answers) <= 3 for answers in tuples) else "\n"
    return between.join(f"{answers} {count}" for answers, count in tuples.items())


def _guess_rows(guesses: "Guesses") -> Iterator[tuple[str, str]]:
    """The best first; the best of several is a little too high."""
    measure = _MEASURES[guesses.measure]
    if guesses.chance is not None:
        yield f"  {measure} by chance", f"{guesses.chance:.3f}"
    for name in sorted(guesses.by_model, key=lambda name: -guesses.by_model[name]):
        score, error = guesses.by_model[name], guesses.standard_errors[name]
        yield f"  {measure} without images, {name}{_HALVED[guesses.halved_by]}", f"{score:.3f} ± {error:.3f}"


def _counted(counts: Mapping[str, int]) -> str:
    listed = [f"{name} {count}" for name, count in list(counts.items())[:MAX_LISTED]]
    return "\n".join([*listed, *(["…"] if len(counts) > MAX_LISTED else [])])
