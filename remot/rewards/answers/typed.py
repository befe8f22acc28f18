"""Answers read and scored by their type: letter, number, word, text, intervals or boxes.

Training and ``remot evaluate`` score one's own questions by the same functions. Published benchmarks have rules of
their own.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remot.answers import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.boxes import mean_overlap
from remot.rewards.functional.intervals import set_iou
from remot.rewards.functional.numbers import mean_relative_accuracy
from remot.rewards.parsing.literals import box_list, one_box
from remot.rewards.parsing.spans import spans_of_answer
from remot.rewards.parsing.tags import first_element
from remot.structures import Reference

_ARTICLES = frozenset({"a", "an", "the"})
_LETTER = re.compile(r"\(?([A-H])(?:([).:,\s]).*)?", re.DOTALL)
#: Commas only between thousands: "2,5" is 2.5 somewhere and two numbers elsewhere, but 25 nowhere.
_WHOLE = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3}){1,4}(?![0-9])|[0-9]{1,15})"
_EXPONENT = r"(?:[eE][+-]?[0-9]{1,2}(?![0-9]))?"
_NUMBER = re.compile(rf"[+-]?(?:{_WHOLE}(?:\.[0-9]{{0,15}})?|\.[0-9]{{1,15}}){_EXPONENT}", re.ASCII)
#: Full-width forms, minus signs and quotation marks, as ASCII has them. The compatibility forms of Unicode would go too
#: far: 10² is not 102.
_AS_ASCII = {0xFEE0 + code: code for code in range(0x21, 0x7F)} | dict.fromkeys(
    map(ord, "\u2010\u2011\u2212\ufe63"), "-"
)
_AS_ASCII |= dict.fromkeys(map(ord, "\u2018\u2019\u201c\u201d"), "'")
#: Overlap from which intervals and boxes count as right.
RIGHT_OVERLAP = 0.5
#: Longest reply that is read, in characters.
MAX_CHARS = 200_000
#: Words of a free text that are compared.
MAX_WORDS = 4096


def answer_text(reply: str) -> str:
    """What a reply answers: its first answer element, else what follows ``</think>``, else all of it."""
    text = reply[:MAX_CHARS]
    _, opened, rest = text.partition(ANSWER_OPEN)
    if opened and ANSWER_CLOSE in rest:
        return rest.partition(ANSWER_CLOSE)[0].strip()
    return text.partition(THINK_CLOSE)[2].strip() if THINK_CLOSE in text else text.strip()


def read_answer(text: str, answer_type: str, options: Sequence[str] = ()) -> Any:  # noqa: ANN401 (by type)
    """The answer of a type in a text; None if there is none.

    Args:
        text: Of :func:`answer_text`.
        answer_type: ``letter``, ``number``, ``word``, ``text``, ``intervals`` or ``boxes``.
        options: What the letters stand for: the words of one option, and no other, count as its letter.
    """
    if answer_type == "letter":
        letter = _LETTER.fullmatch(text.translate(_AS_ASCII))
        if letter is not None and not (letter[2] or "").isspace():
            return letter[1]
        named = [k for k, option in enumerate(options) if normalised(option) == normalised(text)]
        if len(named) == 1:  # before a letter that words follow, as "A ball" may be option B
            return string.ascii_uppercase[named[0]]
        return None if letter is None else letter[1]
    if answer_type == "number":
        found = _NUMBER.search(text.translate(_AS_ASCII)) if len(text) < MAX_CHARS else None
        return None if found is None else float(found[0].replace(",", ""))
    if answer_type == "intervals":
        return spans_of_answer(text)
    if answer_type == "boxes":
        boxes = box_list(text)
        single = one_box(text) if boxes is None else None
        return boxes if single is None else [single]
    return text or None


def normalised(text: str) -> str:
    """Lower case without punctuation, articles and surplus white space, as SQuAD compares answers (arXiv 1606.05250).

    Ways to write one character are one: composed or not, full-width or not, and quotation marks.

    >>> normalised("The  red ball.")
    'red ball'
    """
    plain = (
        unicodedata.normalize("NFC", text)
        .translate(_AS_ASCII)
        .lower()
        .translate(str.maketrans("", "", string.punctuation))
    )
    return " ".join(word for word in plain.split()[:MAX_WORDS] if word not in _ARTICLES)


def word_f1(predicted: str, gold: str) -> float:
    """F1 over the normalised words of two texts (SQuAD); 1 if neither has any."""
    first, second = Counter(normalised(predicted).split()), Counter(normalised(gold).split())
    shared = (first & second).total()
    total = first.total() + second.total()
    return 2 * shared / total if total else 1.0


def answer_scores(parsed: Any, gold: Any, answer_type: str) -> dict[str, float]:  # noqa: ANN401 (by type)
    """``score`` in [0, 1] and ``right``: 0 or 1.

    The score of a letter or word is whether it is right, of a number its mean relative accuracy, of a text its word F1,
    of intervals the overlap of their union, of boxes the mean overlap of as many boxes as are asked for.
    """
    if parsed is None:
        return {"score": 0.0, "right": 0.0}
    if answer_type == "number":
        error = abs(parsed - gold)
        return {"score": mean_relative_accuracy(parsed, gold), "right": float(error <= 1e-9 * max(1.0, abs(gold)))}
    if answer_type in ("intervals", "boxes"):
        overlap = set_iou(parsed, gold) if answer_type == "intervals" else mean_overlap(parsed, gold)
        return {"score": overlap, "right": float(overlap >= RIGHT_OVERLAP)}
    if answer_type == "letter":
        return dict.fromkeys(("score", "right"), float(parsed == gold))
    right = float(normalised(parsed) == normalised(gold))
    return {"score": right if answer_type == "word" else word_f1(parsed, gold), "right": right}


#: Where a reference holds the right answer of a type; the other types are texts.
HELD_AS: Mapping[str, str] = {"number": "number", "intervals": "intervals", "boxes": "boxes"}


@dataclass(eq=False)
class AnswerReward(ReferenceReward):
    """The score of an answer of any type, as ``remot evaluate --benchmark jsonl`` counts it; see :func:`answer_scores`.

    The reference says which type it is (``answer_type``). The first answer element is read, else what follows
    ``</think>``, else the whole completion.

    Args:
        without_element: Factor of the score of an answer that stands in no answer element, so that GRPO teaches to
            write one; right answers stay right.
        name: Metric key.
    """

    extra_parts = ("answer_right",)
    success_part = "answer_right"

    without_element: float = 1.0
    name: str = "answer"

    def score(self, completion: str, reference: Reference) -> Mapping[str, float] | None:
        """Parts: the score in [0, 1], and ``answer_right``, 0 or 1; not applicable without a type."""
        gold = getattr(reference, HELD_AS.get(reference.answer_type, "answer"))
        if not reference.answer_type or gold is None:
            return None
        parsed = read_answer(answer_text(completion), reference.answer_type, reference.options)
        scores = answer_scores(parsed, gold, reference.answer_type)
        factor = 1.0 if first_element(completion, "answer") is not None else self.without_element
        return {self.name: factor * scores["score"], "answer_right": scores["right"]}
