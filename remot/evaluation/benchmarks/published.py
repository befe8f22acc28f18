"""Rules that several published benchmarks share, float by float as their code has them."""

import re
from collections.abc import Sequence

import numpy as np

from remot.evaluation.benchmarks.base import Benchmark, BenchmarkPrompt, ModelReply, Verdict
from remot.rewards.answers.typed import answer_text

#: θ of the mean relative accuracy as VSI-Bench makes them; 1 - 0.8 is a little less than 0.2 in floating point.
THETAS = np.linspace(0.5, 0.95, 10)
#: Longest text that is searched.
MAX_CHARS = 20_000
#: Number words after a number beyond this are not read: "hundred hundred …" would grow without bound.
MAX_SPOKEN = 10**12

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: number for number, word in enumerate(_UNITS)} | {
    word: 10 * number for number, word in enumerate(_TENS, 2)
}
_LARGE = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_DIGITS = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_WORD = re.compile(r"[a-z]+")


class PublishedBenchmark(Benchmark):
    """A benchmark whose rules were made for models that answer at once.

    What is parsed is the text of the first answer element, else what follows ``</think>``, else the whole reply, which
    changes nothing for a reply without these.
    """

    def judged(self, prompt: BenchmarkPrompt, reply: ModelReply) -> Verdict:
        """Parse and score what a reply answers."""
        parsed = self.parse(prompt, answer_text(reply.text))
        return Verdict(prompt, reply, parsed, self.score(prompt, parsed, reply))


def relative_accuracy(error: float) -> float:
    """Share of θ with ``error`` ≤ 1 - θ; 0 for an error that is not finite.

    >>> relative_accuracy(abs(9 - 10) / 10), relative_accuracy(abs(8 - 10) / 10)
    (0.9, 0.6)
    """
    return float((error <= 1 - THETAS).mean())


def relative_error(predicted: float, right: float) -> float:
    """|p - g| / |g|, and the error itself for g = 0."""
    return abs(predicted - right) / (abs(right) or 1.0)


def plain_float(text: str) -> float | None:
    """The finite number that ``float`` makes of a short text, None for anything else."""
    try:
        number = float(text) if len(text) <= 64 else float("nan")
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def first_spoken_number(text: str) -> float | None:
    """The number that stands first, in digits or English words; None without any.

    >>> first_spoken_number("about twenty-one chairs"), first_spoken_number("three hundred and twenty-one or 5")
    (21.0, 321.0)
    """
    text = text[:MAX_CHARS].lower()
    digits = _DIGITS.search(text)
    words = [(found.start(), found[0]) for found in _WORD.finditer(text)]
    first = next((k for k, (_, word) in enumerate(words) if word in _SMALL or word in _LARGE), None)
    if digits is not None and (first is None or digits.start() < words[first][0]):
        return float(digits[0])
    return None if first is None else float(_spoken([word for _, word in words[first:]]))


def all_spoken_number(text: str) -> float | None:
    """The one number that all number words of a text make together; None without any.

    >>> all_spoken_number("twenty chairs and three tables"), all_spoken_number("no chair")
    (23.0, None)
    """
    words = [found[0] for found in _WORD.finditer(text[:MAX_CHARS].lower())]
    numbers = [word for word in words if word in _SMALL or word in _LARGE]
    return float(_spoken(numbers)) if numbers else None


def _spoken(words: Sequence[str]) -> int:
    """The number that a run of number words begins with; "and" may stand between two of them."""
    total = current = 0
    for k, word in enumerate(words):
        if max(total, current) > MAX_SPOKEN:
            break
        following = words[k + 1] if k + 1 < len(words) else ""
        if word in _SMALL:
            current += _SMALL[word]
        elif word == "hundred":
            current = max(1, current) * 100
        elif word in _LARGE:
            total, current = total + max(1, current) * _LARGE[word], 0
        elif word != "and" or following not in {*_SMALL, *_LARGE}:
            break
    return total + current


def lettered(options: Sequence[str], form: str = "({}) {}") -> str:
    """Options in lines of their own, each with its letter."""
    return "\n".join(form.format(chr(ord("A") + k), option) for k, option in enumerate(options))
