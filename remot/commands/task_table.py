"""An audit of tasks for people."""

from collections.abc import Iterator, Mapping

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from remot.data.audit import TaskAudit
from remot.data.audit.tasks.guessing import Guesses
from remot.data.audit.tasks.report import TaskFigures
from remot.evaluation import wide_console

#: Answers and reasons that are listed of a task.
MAX_LISTED = 6
_MEASURES = {"right": "right", "relative_accuracy": "relative accuracy", "overlap": "overlap"}
_UNITS = {"scene": "", "prompt": " (one scene only)"}


def print_task_table(audit: TaskAudit) -> None:
    """Write the figures of ``audit`` to the standard output."""
    title = f"{audit.num_prompts} prompts of the {audit.split} split"
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    table.add_column("check", overflow="fold")
    table.add_column("found", justify="right", overflow="fold")
    for name, figure in _rows(audit):
        table.add_row(Text(name), Text(figure))
    wide_console().print(table)


def _rows(audit: TaskAudit) -> Iterator[tuple[str, str]]:
    yield "references checked against the annotations", str(audit.num_checked)
    yield "references not checked, of tasks without a second computation", str(audit.num_prompts - audit.num_checked)
    yield "prompts with a wrong reference, text or response", str(sum(task.num_wrong for task in audit.tasks))
    if audit.num_pictures:
        yield "wrong facts about clips", str(len(audit.facts))
        yield f"wrong pictures, of {audit.num_pictures} compared with the source", str(len(audit.pictures))
    for task in audit.tasks:
        yield from _task_rows(task)
    yield from audit.overlap.rows()


def _task_rows(task: TaskFigures) -> Iterator[tuple[str, str]]:
    told = f"{task.num_checked} checked, {task.num_wrong} wrong" if task.num_checked else "not checked"
    yield task.name, f"{task.num_prompts} prompts, {told}" if task.num_prompts else "no prompt"
    yield f"  clips with {task.needs}", f"{task.num_serving} of {task.num_clips}"
    if task.refusals:
        yield f"  asked and refused in {task.num_looked_at} of them", _counted(task.refusals)
    if task.answers:
        yield "  right answers", _counted(task.answers)
    if task.quantiles is not None:
        yield "  least, quarter, half, three quarters, most", ", ".join(f"{one:.3g}" for one in task.quantiles)
    for guesses in task.guesses:
        yield from _guess_rows(guesses)


def _guess_rows(guesses: Guesses) -> Iterator[tuple[str, str]]:
    """The best first; the best of several is a little too high."""
    measure = _MEASURES[guesses.measure]
    if guesses.chance is not None:
        yield f"  {measure} by chance", f"{guesses.chance:.3f}"
    for name in sorted(guesses.by_model, key=lambda name: -guesses.by_model[name]):
        score, error = guesses.by_model[name], guesses.standard_errors[name]
        yield f"  {measure} without pictures, {name}{_UNITS[guesses.halved_by]}", f"{score:.3f} ± {error:.3f}"


def _counted(counts: Mapping[str, int]) -> str:
    listed = [f"{name} {count}" for name, count in list(counts.items())[:MAX_LISTED]]
    return "\n".join([*listed, *(["…"] if len(counts) > MAX_LISTED else [])])
