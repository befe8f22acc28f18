"""Pure scores of one answer, shared by the rewards and the evaluation.

``prediction`` is always the upper-cased answer text of a completion and ``gold`` the right letters. Any text may come
in: nothing here raises on a prediction, and everything is linear in its length.
"""

from remot.answers import ParsedAnswer, parse_number
from remot.motion import ATTRIBUTES, PAIRS, Code
from remot.structures import Question, Slot

#: Slack of a tolerance for numbers that are not exact in binary.
_ROUNDING = 1e-9

#: What a composition group has in common: attribute and subject of its labels.
GroupKey = tuple[str, str]


def exact_match(prediction: str, gold: str) -> bool:
    """True if all letters are right and nothing else was said (ReMoT "Overall"); an empty ``gold`` has no match."""
    return bool(gold) and prediction == gold


def official_partial(prediction: str, gold: str) -> float:
    """Share of right letters as the public ReMoT evaluation counts it ("Partial"), in [0, 1].

    Letters are compared position by position up to the end of the shorter text, so letters after the last question
    cost nothing and an answer that is too short keeps what it got right.
    """
    return sum(p == g for p, g in zip(prediction, gold, strict=False)) / max(1, len(gold))


def partial_accuracy(prediction: str, gold: str, *, strict_length: bool = True) -> float:
    """Share of right letters in [0, 1].

    Args:
        prediction: Answer text.
        gold: Right letters.
        strict_length: True gives 0 to a prediction that does not have one letter per question, so that reciting
            letters never pays; False is :func:`official_partial`.
    """
    if strict_length and len(prediction) != len(gold):
        return 0.0
    return official_partial(prediction, gold)


def share_right(prediction: str, question: Question, *, strict_length: bool = True) -> float:
    """Share of right answers in [0, 1]: letters by :func:`partial_accuracy`, numbers by their tolerance.

    Args:
        prediction: Answer text.
        question: What was asked.
        strict_length: True gives 0 to a prediction that does not have one answer per question.
    """
    if not question.asks_numbers:
        return partial_accuracy(prediction, question.solution, strict_length=strict_length)
    given = answers_of(prediction, question)
    if strict_length and len(given) != len(question.slots):
        return 0.0
    return sum(map(is_right, given, question.slots)) / max(1, len(question.slots))


def all_right(prediction: str, question: Question) -> bool:
    """True if every answer is right and nothing else was said."""
    if question.asks_numbers:
        return share_right(prediction, question) == 1.0
    return exact_match(prediction, question.solution)


def answers_of(prediction: str, question: Question) -> list[str]:
    """The single answers in ``prediction``: its letters, or what stands between commas, one more than asked at most."""
    if question.asks_numbers:
        return prediction.split(",", len(question.slots)) if prediction else []
    return list(prediction)


def is_right(answer: str, slot: Slot) -> bool:
    """Whether a single answer is the right letter, or near enough to the right number."""
    if slot.tolerance is None:
        return answer == slot.gold
    number = parse_number(answer)
    return number is not None and abs(number - float(slot.gold)) <= slot.tolerance + _ROUNDING


def option_of(letter: str, slot: Slot) -> str | None:
    """The option behind ``letter`` in ``slot``, or None if the slot has no such letter."""
    return dict(zip(slot.letters, slot.options, strict=False)).get(letter)


def motion_code(letter: str, slot: Slot) -> Code | None:
    """The code of what ``letter`` says happened, 0 for no motion; None if it says nothing of the kind."""
    attribute = ATTRIBUTES.get(slot.label.attribute)
    return None if attribute is None else attribute.codes.get(option_of(letter, slot) or "")


def share_of_directions(prediction: str, question: Question) -> float:
    """Of the letters that name a motion where there was one, the share that names the right one, in [0, 1].

    A policy that sees whether something moved and not which way gets all of "none" right and half of the rest, so
    that 0.67 of its letters are right; here it gets 0.5.

    Returns:
        NaN where no letter names a motion, or nothing moved.
    """
    if question.asks_numbers:
        return float("nan")
    pairs = (
        (motion_code(letter, slot), motion_code(slot.gold, slot))
        for letter, slot in zip(prediction, question.slots, strict=False)
    )
    named = [given == true for given, true in pairs if given and true]
    return sum(named) / len(named) if named else float("nan")


def format_ok(parsed: ParsedAnswer, question: Question) -> bool:
    """True if the completion is made as its prompt asks, and answers each question with its own letter or a number.

    With reasoning that is one think and one answer element, without (``thinks: false``) the answer element alone.
    """
    if not (parsed.well_formed if question.thinks else parsed.is_answer_alone):
        return False
    if question.asks_numbers:
        given = answers_of(parsed.answer, question)
        return len(given) == len(question.slots) and all(parse_number(text) is not None for text in given)
    if len(parsed.answer) != len(question.slots):
        return False
    pairs = zip(parsed.answer, question.slots, strict=True)
    return all(option_of(letter, slot) is not None for letter, slot in pairs)


def predicted_codes(prediction: str, question: Question) -> dict[GroupKey, tuple[Code | None, ...]]:
    """The codes that ``prediction`` claims, by (attribute, subject).

    Returns:
        For each group of slots that asks about each of :data:`remot.motion.PAIRS` exactly once and offers the
        attribute's values, the codes in the order of the pairs, None where a letter is no option; for any other group,
        such as claims and numbers, the empty tuple. All codes of a prediction are None if its length is not the
        number of slots.
    """
    letters = prediction if len(prediction) == len(question.slots) else " " * len(question.slots)
    groups: dict[GroupKey, list[tuple[tuple[int, int], Code | None]]] = {}
    untold: set[GroupKey] = set()  # where a letter does not say what happened: true, false, a pair of images, a number
    for letter, slot in zip(letters, question.slots, strict=True):
        key, attribute = (slot.label.attribute, slot.label.subject), ATTRIBUTES.get(slot.label.attribute)
        codes = {} if attribute is None else attribute.codes
        if codes.keys().isdisjoint(slot.options):
            untold.add(key)
        groups.setdefault(key, []).append((slot.label.pair, codes.get(option_of(letter, slot) or "")))
    found: dict[GroupKey, tuple[Code | None, ...]] = {}
    for key, answers in groups.items():
        asks_each_pair = sorted(pair for pair, _ in answers) == sorted(PAIRS)
        by_pair = dict(answers)
        found[key] = tuple(by_pair[pair] for pair in PAIRS) if asks_each_pair and key not in untold else ()
    return found


def logic_score(prediction: str, question: Question) -> float:
    """Mean of :meth:`remot.motion.Attribute.consistency` over the groups of a prompt, in [-1, 1]; 0 without any slot.

    +1 where the three answers of a group can be true together, -1 where they contradict each other, 0 where a letter
    is missing or invalid or the group does not ask about all three pairs. Truth plays no part in it.
    (ReMoT, arXiv 2603.00461, R_logic; reconstruction.)
    """
    predicted = predicted_codes(prediction, question)
    known = {key: codes for key, codes in predicted.items() if key[0] in ATTRIBUTES}
    scores = [ATTRIBUTES[attribute].consistency(codes) for (attribute, _), codes in known.items()]
    return sum(scores) / max(1, len(predicted))
