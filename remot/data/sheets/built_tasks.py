"""Rows of a sheet for built prompts of tasks."""

from collections.abc import Sequence
from pathlib import Path

from remot.data.built_lines import BuiltLine
from remot.data.picture_files import read_picture
from remot.data.recorded import picture_in
from remot.data.records import BuiltPrompt
from remot.data.sheets.choose import SheetRow, drawn, triplet_row
from remot.data.sheets.picture import as_image
from remot.data.sheets.prompts import task_row
from remot.data.task_records import BuiltTaskPrompt
from remot.structures import task_of


def rows_of_built_tasks(
    folder: Path, prompts: Sequence[BuiltLine], num_rows: int, domain: str | None = None, task: str | None = None
) -> list[SheetRow]:
    """Prompts drawn at random, the same ones every time, sorted by task.

    Args:
        folder: Folder of the built prompts.
        prompts: All of them.
        num_rows: How many to show at most.
        domain: Show this domain only.
        task: Show this task only.

    Raises:
        ConfigError: If there is none of that kind.
        AnnotationError: If a picture lies outside the folder.
        DecodeError: If a picture is missing.
    """
    chosen = drawn(folder, prompts, num_rows, domain, ("tasks", task, lambda one: task_of(one.question)))
    return [triplet_row(folder, one) if isinstance(one, BuiltPrompt) else _row(folder, one) for one in chosen]


def _row(folder: Path, prompt: BuiltTaskPrompt) -> SheetRow:
    where = f"{folder}: {prompt.question.prompt_id}"
    pictures = [as_image(read_picture(picture_in(where, name, folder))) for name in prompt.images]
    return task_row(pictures, prompt.pts_seconds, prompt.question, prompt.clip_id, [])
