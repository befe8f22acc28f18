"""How alike two texts are, in [0, 1], and the answers that are read from them."""

import re
import string
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from remot.errors import ConfigError

#: Words of each text that ROUGE looks at: its longest common subsequence takes their product of steps.
MAX_ROUGE_WORDS = 256
#: Words of each text that the word error rate looks at.
MAX_WER_WORDS = 4096
#: Letters of a word that ROUGE compares.
_MAX_STEM_CHARS = 64

_LETTER = re.compile(r"[A-G]")
_PREFIXES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)
_PLAIN_WORD = re.compile(r"[a-z0-9]+")
_WORD = re.compile(r"[^\W_]+")
_STOP = (
    "a an and are as at by for from had has have he her him his in into is it its of off on onto or out over she that "
    "the their them then there they this to up was were while who with"
)
#: Words that carry no event; for the lexical judge.
STOP_WORDS = frozenset(_STOP.split())


def rouge_mean(predicted: str, gold: str, *, use_stemmer: bool = True) -> float:
    """Mean F-measure of ROUGE-1, ROUGE-2 and ROUGE-L by ``rouge-score`` (SpaceR, problem type "free-form").

    Args:
        predicted: Answer; its first 256 words count.
        gold: Right answer; its first 256 words count.
        use_stemmer: Compare stems of words, as SpaceR does.

    Raises:
        ConfigError: If ``rouge-score`` is not installed.
    """
    scores = _rouge(use_stemmer).score(gold, predicted)
    return sum(float(score.fmeasure) for score in scores.values()) / len(scores)


@lru_cache(maxsize=2)
def _rouge(use_stemmer: bool) -> Any:  # noqa: ANN401, FBT001 (a class of a library without types)
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        msg = "ROUGE needs the rouge-score package: pip install 'remot[rewards]'"
        raise ConfigError(msg) from error
    return RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_RougeWords(use_stemmer=use_stemmer))


class _RougeWords:
    """The library's own tokenizer, but bounded, and with stems that are remembered, which takes half of its time."""

    def __init__(self, *, use_stemmer: bool) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        default = DefaultTokenizer(use_stemmer)
        self._stem = lru_cache(maxsize=65_536)(lambda word: default.tokenize(word)[0])

    def tokenize(self, text: str) -> list[str]:
        """Runs of letters and digits, stemmed if they are words."""
        found = zip(_PLAIN_WORD.finditer(text.lower()), range(MAX_ROUGE_WORDS), strict=False)
        return [self._stem(word[0][:_MAX_STEM_CHARS]) for word, _ in found]


def word_accuracy(predicted: str, gold: str) -> float:
    """1 − WER by ``jiwer``, at least 0 (SpaceR, problem type "OCR"); words are compared as they are.

    An empty ``gold`` has no error rate; as in SpaceR it then counts as one word.

    Raises:
        ConfigError: If ``jiwer`` is not installed.
    """
    try:
        from jiwer import wer
    except ImportError as error:
        msg = "the word error rate needs the jiwer package: pip install 'remot[rewards]'"
        raise ConfigError(msg) from error
    predicted, gold = (" ".join(text.split(None, MAX_WER_WORDS)[:MAX_WER_WORDS]) for text in (predicted, gold))
    return max(0.0, 1.0 - float(wer(gold, predicted))) if gold else float(not predicted)


def option_letter(text: str) -> str:
    """The option letter VideoChat-R1 reads: the first of A to G once prefixes such as "The answer is" are gone.

    "" if there is none. Any capital counts, also the first of a word: "Green" is G. The released list of prefixes lacks
    the comma after "Best answer:", so that "Best answer: C" is B there; that is not repeated here.
    """
    text = text.strip()
    for prefix in _PREFIXES:
        text = text.replace(prefix, "")
    found = _LETTER.search(text)
    return found[0] if found else ""


def lone_option(text: str) -> str:
    """The option that ``text`` consists of, in lower case, in brackets or not (Temporal-RLT, arXiv 2506.01908).

    What the grader that is used there, one for mathematics, makes of a single letter; "D. walks" is no letter to it.

    >>> lone_option(" (D) "), lone_option("D. walks")
    ('d', 'd.walks')
    """
    plain = "".join(text.split()).lower()
    is_bracketed = len(plain) > 2 and plain[0] in "([" and plain[-1] in ")]"
    return plain[1:-1] if is_bracketed else plain


def content_words(text: str) -> frozenset[str]:
    """Words of ``text``, of any script, in lower case without :data:`STOP_WORDS`, a plural or verbal "s" cut off."""
    words = (word for word in _WORD.findall(text.lower()) if word not in STOP_WORDS)
    return frozenset(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


def swapped_words(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """``text`` in lower case with the words of each pair exchanged, single spaces and no outer full stop.

    >>> swapped_words("To the LEFT of it.", [("left", "right")])
    'to the right of it'
    """
    other = {word: partner for pair in pairs for word, partner in (pair, pair[::-1])}
    swapped = []
    for word in text.lower().strip().rstrip(".").split():
        core = word.strip(string.punctuation)  # its parts are words too, as in upper-left; marks around it stay
        parts = "-".join(other.get(part, part) for part in core.split("-"))
        swapped.append(word.replace(core, parts, 1) if core else word)
    return " ".join(swapped)


def normal_answer(answer: str) -> str:
    """``answer`` in lower case with single spaces and without a full stop at its end."""
    return " ".join(answer.lower().split()).rstrip(".")


def mapped_answer(answer: str, answer_map: Mapping[str, str]) -> str:
    """φ(answer): what ``answer_map`` makes of it as a whole, itself if that is not in it; letters one by one.

    An answer of several option letters, such as CAB, is mapped letter by letter if the map is one of letters.
    """
    answer = normal_answer(answer)
    table = {normal_answer(before): normal_answer(after) for before, after in answer_map.items()}
    if answer in table:
        return table[answer]
    if table and all(len(before) == len(after) == 1 for before, after in table.items()) and " " not in answer:
        return "".join(table.get(letter, letter) for letter in answer)
    return answer


def agrees(answer: str, counterfactual: str, answer_map: Mapping[str, str]) -> bool:
    """Whether the answer to the changed input is φ of the answer to the input; two empty answers do not agree."""
    return bool(normal_answer(answer)) and mapped_answer(answer, answer_map) == normal_answer(counterfactual)
