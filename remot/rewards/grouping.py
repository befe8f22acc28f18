"""Which completions belong to one prompt."""

from collections.abc import Sequence

from remot.structures import Question


def groups_of(questions: Sequence[Question]) -> list[list[int]]:
    """Numbers of the completions with the same prompt id, groups in the order of their first completion."""
    groups: dict[str, list[int]] = {}
    for row, question in enumerate(questions):
        groups.setdefault(question.prompt_id, []).append(row)
    return list(groups.values())
