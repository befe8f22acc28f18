"""Whether the letters of a prompt, as a model reads them, say what its labels say."""

import re

from remot.structures import Question, Slot

#: ``first, 1 to 2: A right, B none, C left``, read back from the text.
_PAIR_LINE = re.compile(r"(\d) to (\d): (.+)$")


def wrong_letters(question: Question) -> list[str]:
    """What is wrong with the letters of ``question``, one sentence for each slot that is."""
    lines = [found for line in question.text.splitlines() if (found := _PAIR_LINE.search(line))]
    if len(lines) != len(question.slots):
        return [f"{question.prompt_id}: the text asks {len(lines)} questions, {len(question.slots)} are answered"]
    pairs = zip(lines, question.slots, strict=True)
    return [f"{question.prompt_id}: {fault}" for line, slot in pairs if (fault := _fault(line, slot))]


def _fault(line: re.Match[str], slot: Slot) -> str:
    """What is wrong with one slot, "" if nothing is."""
    options = dict(option.split(" ", 1) for option in line[3].split(", ") if " " in option)
    if (int(line[1]), int(line[2])) != slot.label.pair:
        return f"the line {line[0]!r} is about another pair than {slot.label.pair}"
    if len(set(options.values())) != len(slot.options):
        return f"the options of {line[0]!r} are not {len(slot.options)} different ones"
    if options.get(slot.gold) != slot.label.value:
        return f"in {line[0]!r} the letter {slot.gold} is not {slot.label.value}"
    return ""
