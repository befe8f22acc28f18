"""Whether the right answers of a prompt, as a model reads it, agree with its labels."""

import re
from collections.abc import Callable

from remot.data.questions.templates import CLAIM_CLOSING, CLOSING, NUMBER_CLOSING, Wordings, without_thinking
from remot.datatools.audit.tasks.prompt import thing
from remot.datatools.audit.triplets.tuples import MASK_FRAME, NO_MOTION, WORDS
from remot.structures import Question, Slot, Triplet

#: ``first, 1 to 2: A right, B none, C left``, read back from the text.
_PAIR_LINE = re.compile(r"(?:first|second|third), (\d) to (\d): (.+)")
#: Numbers are rounded when they are written: half a unit of the last digit.
_ROUNDING = {"degrees": 0.5, "pixels": 0.5, "metres": 0.005, "opening": 0.05}
_SLACK = 1e-6

#: Formats that are read back.
FORMATS = ("multiple_choice", "true_false", "fill_in", "comparative")


def wrong_letters(question: Question, triplet: Triplet, wordings: Wordings) -> list[str]:
    """What is wrong with the answers of a question; nothing for a third-party format, which cannot be read back."""
    if question.format not in FORMATS:
        return []
    faults = [*_answer_faults(question, triplet, wordings), _frame_fault(question, triplet, wordings)]
    return [f"{question.prompt_id}: {fault}" for fault in faults if fault]


def _frame_fault(question: Question, triplet: Triplet, wordings: Wordings) -> str:
    """What is wrong with the first and the last line, or with the number of those between; "" if nothing is."""
    attribute, subject = triplet.labels[0].attribute, thing(triplet.labels[0].subject)
    texts, closing = {
        "multiple_choice": (wordings.choose[attribute], CLOSING),
        "true_false": (wordings.claims, CLAIM_CLOSING),
        "fill_in": (wordings.amount.get(attribute, ()), NUMBER_CLOSING),
        "comparative": (wordings.most.get(attribute, ()), CLOSING),
    }[question.format]
    headings = [text.format(subject=subject) + "\n" for text in texts]
    (heading, *_) = [one for one in headings if question.text.startswith(one)] or [""]
    if not heading:
        return f"the text does not begin with a question about {attribute} {subject}".rstrip()
    lines = question.text.removeprefix(heading).split("\n")
    wanted = closing.get(len(question.slots), "")
    wanted = wanted if question.thinks else without_thinking(wanted)
    if len(lines) != len(question.slots) + 1 or lines[-1] != wanted:
        return "the text has other lines than the questions and what to answer with"
    return ""


def _by_pair(question: Question, fault_of: Callable[[str, Slot], str]) -> list[str]:
    """The fault of each line about a pair and its slot."""
    lines = [found for line in question.text.splitlines() if (found := _PAIR_LINE.fullmatch(line))]
    if len(lines) != len(question.slots):
        return [f"the text asks {len(lines)} questions, {len(question.slots)} are answered"]
    return [
        f"the line {line[0]!r} is about another pair than {slot.label.pair}"
        if (int(line[1]), int(line[2])) != slot.label.pair
        else fault_of(line[3], slot)
        for line, slot in zip(lines, question.slots, strict=True)
    ]


def _answer_faults(question: Question, triplet: Triplet, wordings: Wordings) -> list[str]:
    """What is wrong with the answers, read back as the format writes them."""
    slots, is_mask = question.slots, triplet.labels[0].attribute == MASK_FRAME
    if question.format == "fill_in":
        return _by_pair(question, _number_fault)
    if question.format == "comparative":
        second, most = sorted(triplet.labels, key=lambda label: label.magnitude)[-2:]
        if second.magnitude == most.magnitude or NO_MOTION in {label.value for label in triplet.labels}:
            return [f"no motion is the largest of {', '.join(f'{label.magnitude:.3g}' for label in triplet.labels)}"]
        return _check_options(question, f"{most.pair[0]} to {most.pair[1]}")
    if question.format == "multiple_choice":
        if is_mask:
            return _check_options(question, slots[0].label.value)
        return _by_pair(question, lambda text, slot: _option_fault(text, slot, slot.label.value))
    if not is_mask:
        return _by_pair(question, lambda text, slot: _claim_fault(text, slot, wordings))
    claims = question.text.splitlines()[1:-1]
    if len(claims) != 1 or len(slots) != 1:
        return [f"the text makes {len(claims)} claims, {len(slots)} are answered"]
    return [_claim_fault(claims[0], slots[0], wordings)]


def _option_fault(text: str, slot: Slot, value: str) -> str:
    """What is wrong with a list of options, "" if nothing is."""
    options = dict(option.split(" ", 1) for option in text.split(", ") if " " in option)
    if len(set(options.values())) != len(slot.options):
        return f"the options of {text!r} are not {len(slot.options)} different ones"
    if options.get(slot.gold) != value.replace("_", " "):
        return f"in {text!r} the letter {slot.gold} is not {value}"
    if options != {"ABCDEFGH"[place]: one.replace("_", " ") for place, one in enumerate(slot.options)}:
        return f"{text!r} lists other options than {', '.join(slot.options)}"
    return ""


def _check_options(question: Question, value: str) -> list[str]:
    """The fault of the single line of options, below the question."""
    lines = [line for line in question.text.splitlines()[1:] if line.startswith("A ")]
    if len(lines) != 1 or len(question.slots) != 1:
        return [f"the text has {len(lines)} lines of options, {len(question.slots)} are answered"]
    return [_option_fault(lines[0], question.slots[0], value)]


def _claim_fault(text: str, slot: Slot, wordings: Wordings) -> str:
    subject = thing(slot.label.subject)
    claimed = [
        value
        for value, claims in wordings.claim[slot.label.attribute].items()
        if text in [claim.format(subject=subject) for claim in claims]
    ]
    if claimed != [slot.label.value if slot.gold == "T" else claimed[0] if claimed else ""]:
        return f"{text!r} is not {slot.gold}: it was {slot.label.value}"
    if slot.gold not in {"T", "F"} or (slot.gold == "F" and claimed[0] == slot.label.value):
        return f"{text!r} is not {slot.gold}: it was {slot.label.value}"
    return ""


def _number_fault(text: str, slot: Slot) -> str:
    number, label = float(slot.gold), slot.label
    if label.unit not in text:
        return f"{text!r} does not name {label.unit}"
    if label.value == NO_MOTION:
        return "" if number == 0 else f"{slot.gold} {label.unit} is not none"
    sign = 1 if label.value == WORDS[label.attribute][0] else -1
    off = abs(number - sign * label.magnitude)
    if off > _ROUNDING[label.unit] + _SLACK:
        return f"{slot.gold} {label.unit} is not {label.value} by {label.magnitude:.3g}"
    return ""
