"""What the length of a completion and its repetitions cost."""

import math


def cosine_scaled(length: float, max_length: float, at_zero: float, at_end: float) -> float:
    """``at_end`` + (``at_zero`` − ``at_end``) · (1 + cos(π·length / max_length)) / 2, flat beyond ``max_length``."""
    share = min(length, max_length) / max_length
    return at_end + (at_zero - at_end) * (1 + math.cos(math.pi * share)) / 2


def repeated_share(text: str, ngram_words: int, max_words: int = 20_000) -> float:
    """1 − different / all n-grams of the first ``max_words`` words in lower case, 0 if there is no n-gram."""
    words = text.lower().split(None, max_words)[:max_words]
    ngrams = list(zip(*(words[start:] for start in range(ngram_words)), strict=False))
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0
