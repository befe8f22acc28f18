"""The figures of an audit, of each task and of the splits, and their record."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from remot.datatools.audit.blind import Guesses
from remot.datatools.audit.overlap import SplitOverlap
from remot.datatools.audit.triplets.label_check import WrongLabel

#: How many of a kind are named in a record.
MAX_NAMED = 10


@dataclass(frozen=True)
class LabelFigures:
    """What was found of the labels and answers of motion-contrast prompts.

    Args:
        tuples: Prompts with each tuple of answers, such as ``+0-``; the possible ones also where there are none.
        num_possible: Number of tuples that can be true together.
        attributes: Labels checked of each attribute; empty where there are no annotations to check them against.
        wrong: Labels that the annotations contradict.
        letters: What is wrong with the letters in the text, one sentence each.
        impossible: Prompts whose answers cannot be true together.
    """

    tuples: Mapping[str, int]
    num_possible: int = 0
    attributes: Mapping[str, int] = field(default_factory=dict)
    wrong: Sequence[WrongLabel] = ()
    letters: Sequence[str] = ()
    impossible: Sequence[str] = ()

    @property
    def faults(self) -> list[str]:
        """What is wrong, one clause for each kind, the first of the kind named."""
        found = []
        if self.wrong:
            found.append(f"{len(self.wrong)} labels are wrong, such as {describe(self.wrong[0])}")
        if self.letters:
            found.append(f"{len(self.letters)} letters are wrong, such as {self.letters[0]}")
        if self.impossible:
            found.append(f"the answers of {len(self.impossible)} prompts cannot be true together: {self.impossible[0]}")
        return found

    def record(self) -> dict[str, Any]:
        """Everything as JSON-ready values; what cannot be measured is None, since JSON has no NaN."""
        examples = [
            asdict(one) | {"measured": None if math.isnan(one.measured) else one.measured}
            for one in self.wrong[:MAX_NAMED]
        ]
        return {
            "checked_labels": sum(self.attributes.values()),
            "labels_by_attribute": dict(self.attributes),
            "wrong_labels": len(self.wrong),
            "wrong_examples": examples,
            "wrong_letters": len(self.letters),
            "wrong_letter_examples": list(self.letters[:MAX_NAMED]),
            "impossible_answers": len(self.impossible),
            "answer_tuples": dict(self.tuples),
            "possible_answer_tuples": self.num_possible,
        }


@dataclass(frozen=True)
class ClipCounts:
    """How many clips of a split there are, and how many have what a task needs.

    ``refusals`` is how often something is ``asked`` or refused, by reason, over ``num_looked_at`` clips.
    """

    num_clips: int = 0
    num_serving: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
    num_looked_at: int = 0


@dataclass(frozen=True)
class TaskFigures:
    """What was found of one task.

    Args:
        name: The task; a second one of the same name has a number behind it.
        num_prompts: Prompts of it.
        needs: The annotation it needs, in words.
        num_checked: Prompts of which a second computation exists.
        wrong: What is wrong with their labels, references, texts or responses, one sentence for each fault.
        num_wrong: Prompts with a fault.
        clips: What the clips of the split allow it to ask.
        answers: How often each answer is right, the most frequent first: words of options, words or numbers.
        quantiles: Least, quarter, half, three quarters and greatest of numbers, of seconds, or of shares of the
            image that boxes cover; None for letters and words.
        guesses: What can be guessed without images.
        labels: Labels and letters, of motion-contrast prompts.
    """

    name: str
    num_prompts: int
    needs: str
    num_checked: int = 0
    wrong: Sequence[str] = ()
    num_wrong: int = 0
    clips: ClipCounts = field(default_factory=ClipCounts)
    answers: Mapping[str, int] = field(default_factory=dict)
    quantiles: tuple[float, ...] | None = None
    guesses: Sequence[Guesses] = ()
    labels: LabelFigures | None = None

    @property
    def faults(self) -> list[str]:
        """What is wrong, one clause for each kind."""
        if self.labels is not None:
            return self.labels.faults
        wrong = f"{self.num_wrong} prompts of {self.name} are wrong, such as {self.wrong[0]}" if self.wrong else ""
        return [wrong] if wrong else []

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
            "clips": self.clips.num_clips,
            "clips_with_what_it_needs": self.clips.num_serving,
            "clips_looked_at_for_refusals": self.clips.num_looked_at,
            "refusals": dict(self.clips.refusals),
            "answers": dict(self.answers),
            "quantiles": None if self.quantiles is None else list(self.quantiles),
            "guesses": [one.record() for one in self.guesses],
            "labels": None if self.labels is None else self.labels.record(),
        }


@dataclass(frozen=True)
class Audit:
    """What was found.

    Args:
        split: The split whose prompts were checked.
        tasks: Figures of each task.
        overlap: What the splits have in common.
        facts: What built prompts say about their clips that is not so, one sentence each.
        images: Built images that are not what the source shows, one sentence each.
        num_images: Built images that were compared with the source.
    """

    split: str
    tasks: Sequence[TaskFigures]
    overlap: SplitOverlap
    facts: Sequence[str] = ()
    images: Sequence[str] = ()
    num_images: int = 0

    @property
    def num_prompts(self) -> int:
        """How many prompts were looked at."""
        return sum(task.num_prompts for task in self.tasks)

    @property
    def num_checked(self) -> int:
        """Prompts of which a second computation exists."""
        return sum(task.num_checked for task in self.tasks)

    @property
    def labels(self) -> list[LabelFigures]:
        """The labels of each task that labels pairs of frames."""
        return [task.labels for task in self.tasks if task.labels is not None]

    @property
    def blind(self) -> Guesses | None:
        """What can be guessed of the letters of the first task with labels; None if there is nothing to guess."""
        found = [guesses for task in self.tasks if task.labels is not None for guesses in task.guesses]
        return found[0] if found else None

    @property
    def faults(self) -> list[str]:
        """What makes the data unfit, one clause for each kind, the first of the kind named."""
        found = [clause for task in self.tasks for clause in task.faults]
        if self.facts:
            found.append(f"{len(self.facts)} facts are wrong, such as {self.facts[0]}")
        if self.images:
            found.append(f"{len(self.images)} images are wrong, such as {self.images[0]}")
        return [*found, *self.overlap.faults]

    def record(self) -> dict[str, Any]:
        """Everything as JSON-ready values; what is not known is None."""
        blind = self.blind
        return {
            "checked_labels": sum(sum(one.attributes.values()) for one in self.labels),
            "wrong_labels": sum(len(one.wrong) for one in self.labels),
            "blind_accuracy": None if blind is None else blind.by_model[blind.best],
            "chance": None if blind is None else blind.chance,
            "duplicate_frames_across_splits": len(self.overlap.duplicates),
            "checked_prompts": self.num_checked,
            "not_checked_prompts": self.num_prompts - self.num_checked,
            "wrong_prompts": sum(task.num_wrong for task in self.tasks),
            "split": self.split,
            "num_prompts": self.num_prompts,
            "tasks": [task.record() for task in self.tasks],
            "wrong_facts": len(self.facts),
            "wrong_images": len(self.images),
            "compared_images": self.num_images,
            **self.overlap.record(),
        }


def describe(wrong: WrongLabel) -> str:
    """A wrong label in words."""
    first, second = wrong.frames
    subject = f" of {wrong.subject}" if wrong.subject else ""
    return (
        f"clip {wrong.clip_id}, frames {first} to {second}: the label of {wrong.attribute}{subject} is {wrong.said}, "
        f"should be {wrong.should_be} (measured {wrong.measured:+.3g})"
    )
