"""How near a number is to the right one, in [0, 1]; what a length and repetitions cost."""

import math

#: 1 − θ for θ = 0.50, 0.55, …, 0.95, the tolerances of VSI-Bench, each the nearest number to its decimals.
TOLERANCES = (0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05)
#: Slack of a tolerance, since neither 0.95 nor most predictions are exact in binary.
_ROUNDING = 1e-9


def mean_relative_accuracy(predicted: float, gold: float) -> float:
    """Share of θ in {0.50, 0.55, …, 0.95} with |p − g| / |g| ≤ 1 − θ (VSI-Bench; SpaceR, arXiv 2504.01805).

    For g = 0, where the formula is not defined, the error is |p| itself. Published code divides by g, so that of a
    negative g every prediction is right; here it is |g|.
    """
    error = abs(predicted - gold) / (abs(gold) or 1.0)
    return sum(error <= tolerance + _ROUNDING for tolerance in TOLERANCES) / len(TOLERANCES)


def regression_score(predicted: float, gold: float) -> float:
    """1 − min(1, (|p − g| + 1e-9) / (|g| + 1e-9)) (SpaceR, problem type "regression")."""
    error = (abs(predicted - gold) + 1e-9) / (abs(gold) + 1e-9)
    return 1 - min(1.0, error) if math.isfinite(error) else 0.0


def cosine_scaled(length: float, max_length: float, at_zero: float, at_end: float) -> float:
    """``at_end`` + (``at_zero`` − ``at_end``) · (1 + cos(π·length / max_length)) / 2, flat beyond ``max_length``."""
    share = min(length, max_length) / max_length
    return at_end + (at_zero - at_end) * (1 + math.cos(math.pi * share)) / 2


def repeated_share(text: str, ngram_words: int, max_words: int = 20_000) -> float:
    """1 − different / all n-grams of the first ``max_words`` words in lower case, 0 if there is no n-gram."""
    words = text.lower().split(None, max_words)[:max_words]
    ngrams = list(zip(*(words[start:] for start in range(ngram_words)), strict=False))
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0
