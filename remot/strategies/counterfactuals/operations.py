"""Changes of a question about motion that map the right answer to the right answer of the changed question.

Such an operation T comes with φ_T, a map of answers, so that agreement of answer(T(x)) with φ_T(answer(x)) needs no
label. φ is a map of whole answers in letters: ``{"AC": "BC", …}``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod

from remot.motion import ATTRIBUTES
from remot.rewards.counterfactual.operation_pool import ANSWER_MAPS
from remot.strategies.counterfactuals.base import PromptInput
from remot.structures import Question, Slot

#: Answers a map of them may hold: three questions of three options have 27.
MAX_ANSWERS = 4096

#: From the options chosen in a question's slots to those that are right after the change.
Values = tuple[str, ...]
ValueMap = Callable[[Values], Values]


class Operation(ABC):
    """A change with a known effect on the answer.

    Attributes:
        name: Names it in metrics and in the pool; no two of a run share one.
    """

    name: str

    @abstractmethod
    def apply(self, shown: PromptInput, question: Question) -> PromptInput | None:
        """The changed input with its ``answer_map``; None if the operation does not apply to this question.

        ``shown`` must not be changed in place; the right answer of ``question`` is not used.
        """


class MirroredView(Operation):
    """Images flipped left to right, the same words: left and right, clockwise and counterclockwise are exchanged."""

    name = "mirrored"

    def apply(self, shown: PromptInput, question: Question) -> PromptInput | None:
        """See :meth:`Operation.apply`; None where the subject's name has a side itself, such as a left gripper."""
        slots, mirrored = question.slots, ANSWER_MAPS["mirror"]
        has_side = any(not mirrored.keys().isdisjoint(slot.label.subject.lower().split()) for slot in slots)
        if shown.videos or not shown.images or not _are_motions(slots) or has_side:
            return None
        answers = answer_map(slots, slots, lambda values: tuple(mirrored.get(value, value) for value in values))
        if answers is None:
            return None
        images = [image.flip(-1) for image in shown.images]
        return replace(shown, images=images, answer_map=answers, change=self.name)


class ReversedOrder(Operation):
    """Images in reverse order, the same words: pair (i, j) shows what (n+1-j, n+1-i) showed, backwards."""

    name = "reversed"

    def apply(self, shown: PromptInput, question: Question) -> PromptInput | None:
        """See :meth:`Operation.apply`; None where a slot's reversed pair is not asked about, and for masks."""
        slots, count = question.slots, len(shown.images)
        ordered = all(ATTRIBUTES[slot.label.attribute].answers_are_codes for slot in slots)
        if shown.videos or not _are_motions(slots) or not ordered:
            return None
        asked = [(slot.label.attribute, slot.label.subject, *slot.label.pair) for slot in slots]
        slot_indices = {one: index for index, one in enumerate(asked)}
        sources = [
            slot_indices.get((attribute, subject, count + 1 - second, count + 1 - first), -1)
            for attribute, subject, first, second in asked
        ]
        if -1 in sources:
            return None

        def backwards(values: Values) -> Values:
            return tuple(_opposite(slot, values[source]) for slot, source in zip(slots, sources, strict=True))

        answers = answer_map(slots, slots, backwards)
        if answers is None:
            return None
        return replace(shown, images=list(shown.images)[::-1], answer_map=answers, change=self.name)


class ExchangedOptions(Operation):
    """The same images; opposite options are exchanged in the text, and so are their letters."""

    name = "exchanged_options"

    def apply(self, shown: PromptInput, question: Question) -> PromptInput | None:
        """See :meth:`Operation.apply`; None where the text does not list the options as ``A left, B right``."""
        slots = question.slots
        if not _are_motions(slots) or not all(ATTRIBUTES[slot.label.attribute].answers_are_codes for slot in slots):
            return None
        exchanged = [replace(slot, options=tuple(_opposite(slot, option) for option in slot.options)) for slot in slots]
        text = _with_options(shown.text, slots, exchanged)
        answers = answer_map(slots, exchanged, lambda values: values)
        if text is None or answers is None:
            return None
        return replace(shown, text=text, answer_map=answers, change=self.name)


def answer_map(before: Sequence[Slot], after: Sequence[Slot], change: ValueMap) -> dict[str, str] | None:
    """φ over all answers in letters, from the slots ``before`` a change of the question to those ``after`` it.

    Returns:
        None if there are more than :data:`MAX_ANSWERS`, or a changed option is none of the options.
    """
    if not before or prod(len(slot.options) for slot in before) > MAX_ANSWERS:
        return None
    answers = {}
    for values in product(*(slot.options for slot in before)):
        changed = change(values)
        if any(value not in slot.options for slot, value in zip(after, changed, strict=True)):
            return None
        answers[_letters(before, values)] = _letters(after, changed)
    return answers


def _letters(slots: Sequence[Slot], values: Values) -> str:
    return "".join(slot.letters[slot.options.index(value)] for slot, value in zip(slots, values, strict=True))


def _are_motions(slots: Sequence[Slot]) -> bool:
    """True if each slot asks with letters for the value of an attribute, each option once."""
    return bool(slots) and all(
        slot.tolerance is None
        and slot.label.attribute in ATTRIBUTES
        and set(slot.options) <= set(ATTRIBUTES[slot.label.attribute].values)
        and len(set(slot.options)) == len(slot.options)
        for slot in slots
    )


def _opposite(slot: Slot, value: str) -> str:
    attribute = ATTRIBUTES[slot.label.attribute]
    return attribute.value_of(-attribute.codes[value])


def _with_options(text: str, before: Sequence[Slot], after: Sequence[Slot]) -> str | None:
    """``text`` with the options of ``after``, found one after the other; None if they are not there."""
    done = ""
    for slots in zip(before, after, strict=True):
        old, new = (", ".join(map(" ".join, zip(slot.letters, slot.options, strict=False))) for slot in slots)
        head, listed, text = text.partition(old)
        if not listed:
            return None
        done += head + new
    return done + text


#: One object each: they hold nothing.
ALL_OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation for operation in (MirroredView(), ReversedOrder(), ExchangedOptions())
}
