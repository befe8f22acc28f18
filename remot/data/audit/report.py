"""One audit of a data module: its figures, as a record."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from remot.data.audit.blind import BlindScores
from remot.data.audit.clauses import folder_clauses
from remot.data.audit.overlap import SplitOverlap
from remot.data.audit.truth import WrongLabel

#: How many of a kind are named in a record.
MAX_NAMED = 10


@dataclass(frozen=True)
class Audit:
    """What was found.

    Args:
        split: The split whose prompts were checked.
        num_prompts: How many.
        wrong: Labels that the annotations contradict.
        letters: What is wrong with the letters in the text, one sentence each.
        impossible: Prompts whose answers cannot be true together.
        attributes: Labels of each attribute.
        tuples: Prompts with each tuple of answers, such as ``+0-``; the possible ones also where there are none.
        num_possible: Number of tuples that can be true together.
        blind: Shares of right letters without a picture; None if there are fewer than two prompts with letters.
        overlap: What the splits have in common.
        pictures: Built pictures that are not what the source shows, one sentence each.
        num_pictures: Built pictures that were compared with the source.
        facts: What built prompts say about their clips that is not so, one sentence each.
    """

    split: str
    num_prompts: int
    wrong: Sequence[WrongLabel]
    letters: Sequence[str]
    impossible: Sequence[str]
    attributes: dict[str, int]
    tuples: dict[str, int]
    num_possible: int
    blind: BlindScores | None
    overlap: SplitOverlap
    pictures: Sequence[str] = ()
    num_pictures: int = 0
    facts: Sequence[str] = ()

    @property
    def faults(self) -> list[str]:
        """What makes the data unfit, one clause for each kind, the first of the kind named."""
        found = []
        if self.wrong:
            found.append(f"{len(self.wrong)} labels are wrong, such as {describe(self.wrong[0])}")
        if self.letters:
            found.append(f"{len(self.letters)} letters are wrong, such as {self.letters[0]}")
        if self.impossible:
            found.append(f"the answers of {len(self.impossible)} prompts cannot be true together: {self.impossible[0]}")
        found += folder_clauses(self.facts, self.pictures)
        found += self.overlap.faults
        return found

    def record(self) -> dict[str, Any]:
        """Everything as JSON-ready values; what is not known is None."""
        blind = self.blind
        return {
            "checked_labels": sum(self.attributes.values()),
            "wrong_labels": len(self.wrong),
            "blind_accuracy": None if blind is None else blind.by_model[blind.best],
            "chance": None if blind is None else blind.chance,
            "duplicate_frames_across_splits": len(self.overlap.duplicates),
            "answer_tuples": self.tuples,
            "possible_answer_tuples": self.num_possible,
            "split": self.split,
            "num_prompts": self.num_prompts,
            "labels_by_attribute": self.attributes,
            "wrong_examples": [_wrong_record(one) for one in self.wrong[:MAX_NAMED]],
            "wrong_letters": len(self.letters),
            "wrong_letter_examples": list(self.letters[:MAX_NAMED]),
            "impossible_answers": len(self.impossible),
            "wrong_facts": len(self.facts),
            "wrong_pictures": len(self.pictures),
            "compared_pictures": self.num_pictures,
            "blind_models": {} if blind is None else blind.by_model,
            "blind_halved_by": None if blind is None else blind.halved_by,
            "blind_standard_errors": {} if blind is None else blind.standard_errors,
            **self.overlap.record(),
        }


def describe(wrong: WrongLabel) -> str:
    """A wrong label in words."""
    first, second = wrong.frames
    subject = f" of {wrong.subject}" if wrong.subject else ""
    return (
        f"clip {wrong.clip_id}, frames {first} to {second}: {wrong.attribute}{subject} is said to be {wrong.said}, "
        f"should be {wrong.should_be} (measured {wrong.measured:+.3g})"
    )


def _wrong_record(wrong: WrongLabel) -> dict[str, Any]:
    """A wrong label as JSON-ready values; what cannot be measured is None, since JSON has no NaN."""
    return asdict(wrong) | {"measured": wrong.measured if wrong.measured == wrong.measured else None}
