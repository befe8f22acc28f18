"""A line of built prompts of tasks, where triplets may stand among them as one task."""

from collections.abc import Mapping
from typing import Any

from remot.data.record_lines import from_record
from remot.data.records import BuiltPrompt, to_line
from remot.data.task_lines import from_task_record
from remot.data.task_records import BuiltTaskPrompt, to_task_line

#: What a line holds.
BuiltLine = BuiltPrompt | BuiltTaskPrompt


def to_built_line(prompt: BuiltLine) -> str:
    """The JSON of one prompt, without a line break.

    Raises:
        ConfigError: If the prompt holds what a line cannot.
    """
    return to_task_line(prompt) if isinstance(prompt, BuiltTaskPrompt) else to_line(prompt)


def from_built_record(where: str, record: Mapping[str, Any]) -> BuiltLine:
    """The prompt in a line.

    Args:
        where: File and line, for messages.
        record: The JSON object.

    Raises:
        AnnotationError: Naming the key at fault.
    """
    return from_task_record(where, record) if "reference" in _facts(record) else from_record(where, record)


def names_a_task(record: Mapping[str, object]) -> bool:
    """Whether a line was built of tasks, be it a triplet or not."""
    return "task" in _facts(record)


def _facts(record: Mapping[str, object]) -> Mapping[str, object]:
    facts = record.get("remot")
    return facts if isinstance(facts, dict) else {}
