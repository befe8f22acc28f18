"""Pure scores of one answer, shared by the rewards and the evaluation.

``prediction`` is always the upper-cased answer text of a completion and ``gold`` the right letters. Any text may come
in: nothing here raises on a prediction, and everything is linear in its length.
"""

from collections.abc import Mapping, Sequence

from remot.answers import LETTERS, ParsedAnswer
from remot.motion import ATTRIBUTES, PAIRS, Sign, consistency
from remot.structures import Question, Slot

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


def option_of(letter: str, slot: Slot) -> str | None:
    """The value behind ``letter`` in ``slot``, or None if the slot has no such letter."""
    return dict(zip(LETTERS, slot.options, strict=False)).get(letter)


def format_ok(parsed: ParsedAnswer, question: Question) -> bool:
    """True if the completion is well formed and answers each question with one of its own option letters."""
    if not parsed.well_formed or len(parsed.answer) != len(question.slots):
        return False
    pairs = zip(parsed.answer, question.slots, strict=True)
    return all(option_of(letter, slot) is not None for letter, slot in pairs)


def _sign_of(letter: str, slot: Slot) -> Sign | None:
    value, attribute = option_of(letter, slot), ATTRIBUTES.get(slot.label.attribute)
    if value is None or attribute is None or value not in attribute.values:
        return None
    return attribute.sign_of(value)


def predicted_signs(prediction: str, question: Question) -> dict[GroupKey, tuple[Sign | None, ...]]:
    """The signs that ``prediction`` claims, by (attribute, subject).

    Returns:
        For each group of slots that asks about each of :data:`remot.motion.PAIRS` exactly once, the signs in the order
        of the pairs, None where a letter is no option; for any other group the empty tuple. A prediction whose length
        is not the number of slots cannot be told apart into answers: all its signs are None.
    """
    letters = prediction if len(prediction) == len(question.slots) else " " * len(question.slots)
    groups: dict[GroupKey, list[tuple[tuple[int, int], Sign | None]]] = {}
    for letter, slot in zip(letters, question.slots, strict=True):
        key = (slot.label.attribute, slot.label.subject)
        groups.setdefault(key, []).append((slot.label.pair, _sign_of(letter, slot)))
    return {key: _in_pair_order(answers) for key, answers in groups.items()}


def _in_pair_order(answers: Sequence[tuple[tuple[int, int], Sign | None]]) -> tuple[Sign | None, ...]:
    if sorted(pair for pair, _ in answers) != sorted(PAIRS):
        return ()
    by_pair: Mapping[tuple[int, int], Sign | None] = dict(answers)
    return tuple(by_pair[pair] for pair in PAIRS)


def logic_score(prediction: str, question: Question) -> float:
    """Mean of :func:`remot.motion.consistency` over the groups of a prompt, in [-1, 1]; 0 without any slot.

    +1 where the three answers of a group can be true together, -1 where they contradict each other, 0 where a letter
    is missing or invalid or the group does not ask about all three pairs. Truth plays no part in it.
    (ReMoT, arXiv 2603.00461, R_logic; reconstruction.)
    """
    verdicts = [consistency(signs) for signs in predicted_signs(prediction, question).values()]
    return sum(verdicts) / max(1, len(verdicts))
