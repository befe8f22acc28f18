"""One audit of the prompts of tasks: figures of each task and of the splits, as a record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from remot.data.audit.clauses import folder_clauses
from remot.data.audit.overlap import SplitOverlap
from remot.data.audit.tasks.guessing import Guesses

#: How many of a kind are named in a record.
MAX_NAMED = 10


@dataclass(frozen=True)
class TaskFigures:
    """What was found of one task.

    Args:
        name: The task; a second one of the same name has a number behind it.
        num_prompts: Prompts of it.
        num_checked: Those of which a second computation exists.
        wrong: What is wrong with their references, texts or responses, one sentence for each fault.
        num_wrong: Prompts with a fault.
        needs: The annotation it needs, in words.
        num_clips: Clips of the split.
        num_serving: Those that have what it needs.
        refusals: How often something is ``asked`` or refused, by reason, over some of these clips.
        num_looked_at: How many of them.
        answers: How often each answer is right, the most frequent first: words of options, words or numbers.
        quantiles: Least, quarter, half, three quarters and greatest of numbers, of seconds, or of shares of the
            picture that boxes cover; None for letters and words.
        guesses: What can be guessed without pictures.
    """

    name: str
    num_prompts: int
    num_checked: int
    wrong: Sequence[str]
    num_wrong: int
    needs: str
    num_clips: int
    num_serving: int
    refusals: Mapping[str, int]
    num_looked_at: int
    answers: Mapping[str, int]
    quantiles: tuple[float, ...] | None
    guesses: Sequence[Guesses]

    def record(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return {
            "task": self.name,
            "num_prompts": self.num_prompts,
            "checked": self.num_checked,
            "not_checked": self.num_prompts - self.num_checked,
            "wrong_prompts": self.num_wrong,
            "wrong_examples": list(self.wrong[:MAX_NAMED]),
            "needs": self.needs,
            "clips": self.num_clips,
            "clips_with_what_it_needs": self.num_serving,
            "clips_looked_at_for_refusals": self.num_looked_at,
            "refusals": dict(self.refusals),
            "answers": dict(self.answers),
            "quantiles": None if self.quantiles is None else list(self.quantiles),
            "guesses": [
                {
                    "measure": one.measure,
                    "chance": one.chance,
                    "blind_score": one.by_model[one.best],
                    "blind_models": dict(one.by_model),
                    "blind_standard_errors": dict(one.standard_errors),
                    "blind_halved_by": one.halved_by,
                }
                for one in self.guesses
            ],
        }


@dataclass(frozen=True)
class TaskAudit:
    """What was found.

    Args:
        split: The split whose prompts were checked.
        num_prompts: How many.
        tasks: Figures of each task.
        overlap: What the splits have in common.
        facts: What built prompts say about their clips that is not so, one sentence each.
        pictures: Built pictures that are not what the source shows, one sentence each.
        num_pictures: Built pictures that were compared with the source.
    """

    split: str
    num_prompts: int
    tasks: Sequence[TaskFigures]
    overlap: SplitOverlap
    facts: Sequence[str] = ()
    pictures: Sequence[str] = ()
    num_pictures: int = 0

    @property
    def num_checked(self) -> int:
        """Prompts of which a second computation exists."""
        return sum(task.num_checked for task in self.tasks)

    @property
    def faults(self) -> list[str]:
        """What makes the data unfit, one clause for each kind, the first of the kind named."""
        found = [
            f"{task.num_wrong} prompts of {task.name} are wrong, such as {task.wrong[0]}"
            for task in self.tasks
            if task.wrong
        ]
        found += folder_clauses(self.facts, self.pictures)
        found += self.overlap.faults
        return found

    def with_folder(self, facts: Sequence[str], pictures: Sequence[str], num_pictures: int) -> "TaskAudit":
        """The same with what was found of a folder: wrong facts, wrong pictures, and how many were compared."""
        return replace(self, facts=facts, pictures=pictures, num_pictures=num_pictures)

    def record(self) -> dict[str, Any]:
        """Everything as JSON-ready values; what is not known is None."""
        return {
            "checked_references": self.num_checked,
            "not_checked_references": self.num_prompts - self.num_checked,
            "wrong_references": sum(task.num_wrong for task in self.tasks),
            "duplicate_frames_across_splits": len(self.overlap.duplicates),
            "split": self.split,
            "num_prompts": self.num_prompts,
            "tasks": [task.record() for task in self.tasks],
            "wrong_facts": len(self.facts),
            "wrong_pictures": len(self.pictures),
            "compared_pictures": self.num_pictures,
            **self.overlap.record(),
        }
