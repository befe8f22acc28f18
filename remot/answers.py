"""The one answer contract: ``<think>…</think><answer>CAB</answer>``, one option letter per question, in order.

Questions that ask for numbers are answered with these, separated by commas: ``<answer>12.5, 0, -30</answer>``.

Data, rewards and evaluation render and read answers here and nowhere else. Completions are hostile text: reading is
plain string search in linear time over a bounded prefix, never a regular expression that can back-track.
"""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
ANSWER_OPEN, ANSWER_CLOSE = "<answer>", "</answer>"
#: What supports the answer: stretches of time or a box, after it (VideoChat-R1, arXiv 2504.06958).
GLUE_OPEN, GLUE_CLOSE = "<glue>", "</glue>"
LETTERS = "ABCDEFGH"

#: Longest completion that is read, in characters; the rest is ignored.
MAX_COMPLETION_CHARS = 200_000

_ASCII_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)  # unlike lower(), keeps the length


@dataclass(frozen=True)
class ParsedAnswer:
    """What a completion says.

    Args:
        reasoning: Text between the think tags, "" if there are none.
        answer: Upper-cased text of the first answer element, "" if there is none.
        well_formed: True if the completion is exactly one think element, white space, one answer element.
        is_answer_alone: True if the completion is exactly one answer element.
    """

    reasoning: str
    answer: str
    well_formed: bool
    is_answer_alone: bool = False


def render_response(reasoning: str | None, letters: str) -> str:
    """The response a perfect policy gives; one without a think element if the reasoning is None.

    >>> render_response(None, "CAB")
    '<answer>CAB</answer>'
    """
    thought = "" if reasoning is None else f"{THINK_OPEN}{reasoning}{THINK_CLOSE}"
    return f"{thought}{ANSWER_OPEN}{letters}{ANSWER_CLOSE}"


def answer_char_span(response: str) -> tuple[int, int]:
    """Character interval [start, end) of the letters inside the first answer element of ``response``.

    Raises:
        ValueError: If ``response`` has no answer element.
    """
    start = response.find(ANSWER_OPEN)
    end = response.find(ANSWER_CLOSE, start + len(ANSWER_OPEN))
    if start < 0 or end < 0:
        msg = "the response has no <answer>…</answer> element to take the loss on"
        raise ValueError(msg)
    return start + len(ANSWER_OPEN), end


def answer_char_spans(response: str) -> list[tuple[int, int]]:
    """Character intervals of what answers in a response of our own: the answer element, and the glue after it if any.

    Raises:
        ValueError: If ``response`` has no answer element.
    """
    spans = [answer_char_span(response)]
    start = response.find(GLUE_OPEN, spans[0][1])
    end = response.find(GLUE_CLOSE, start + len(GLUE_OPEN))
    return [*spans, (start + len(GLUE_OPEN), end)] if 0 <= start < end else spans


def letter_char_spans(response: str) -> list[tuple[int, int]]:
    """Character intervals of the option letters, T for true among them, that stand alone in a response of our own.

    >>> letter_char_spans("first up B, second None A")
    [(9, 10), (24, 25)]
    """
    return [match.span() for match in re.finditer(rf"\b[{LETTERS}T]\b", response)]


def _between(text: str, opening: str, closing: str) -> str | None:
    """Text between the first ``opening`` and the ``closing`` after it, whatever the case of the tags."""
    lowered = text.translate(_ASCII_TO_LOWER)
    start = lowered.find(opening)
    if start < 0:
        return None
    start += len(opening)
    end = lowered.find(closing, start)
    return None if end < 0 else text[start:end]


def _is_well_formed(text: str) -> bool:
    if not _holds_once(text, (THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE)):
        return False
    middle = _between(text, THINK_CLOSE, ANSWER_OPEN)
    return middle is not None and not middle.strip()


def _is_answer_alone(text: str) -> bool:
    lowered = text.translate(_ASCII_TO_LOWER)
    thinks = THINK_OPEN in lowered or THINK_CLOSE in lowered
    return not thinks and _holds_once(text, (ANSWER_OPEN, ANSWER_CLOSE))


def _holds_once(text: str, tags: Sequence[str]) -> bool:
    """Whether a text begins with the first of ``tags``, ends with the last, and holds each once, whatever the case."""
    if len(text) > MAX_COMPLETION_CHARS or not (text.startswith(tags[0]) and text.endswith(tags[-1])):
        return False
    lowered = text.translate(_ASCII_TO_LOWER)
    return all(text.count(tag) == lowered.count(tag) == 1 for tag in tags)


def parse_response(completion: str) -> ParsedAnswer:
    """Read a completion as the official ReMoT evaluation does: the first answer element, else text after </think>.

    Tags are found whatever their case, as there; only a completion with lower-case tags is well formed.

    >>> parse_response("<think>it rose</think><answer>cab</answer>").answer
    'CAB'
    """
    text = completion[:MAX_COMPLETION_CHARS]
    reasoning = _between(text, THINK_OPEN, THINK_CLOSE) or ""
    answer = _between(text, ANSWER_OPEN, ANSWER_CLOSE)
    if answer is None:
        think_end = text.translate(_ASCII_TO_LOWER).find(THINK_CLOSE)
        answer = "" if think_end < 0 else text[think_end + len(THINK_CLOSE) :]
    whole = completion.strip()
    return ParsedAnswer(reasoning, answer.strip().upper(), _is_well_formed(whole), _is_answer_alone(whole))


#: Longest text that is read as one number.
MAX_NUMBER_CHARS = 32
_NUMBER = re.compile(r"([+-]?(?:[0-9]{1,6}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})) {0,2}[A-Z%°]{0,12}", re.IGNORECASE)


def parse_number(text: str) -> float | None:
    """The number ``text`` consists of, a unit after it allowed; None for anything else.

    Digits are 0 to 9, with a point if need be; there are no exponents, and at most six digits before the point.

    >>> parse_number("-12.5 degrees")
    -12.5
    """
    text = text.strip()
    match = _NUMBER.fullmatch(text) if len(text) <= MAX_NUMBER_CHARS else None
    return None if match is None else float(match[1])
