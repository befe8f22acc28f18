"""How long completions are."""

from collections.abc import Sequence
from typing import Literal

from remot.answers import MAX_COMPLETION_CHARS
from remot.errors import ConfigError
from remot.rewards.length.conciseness import LENGTHS

CountUnit = Literal["tokens", "words", "characters"]


def check_unit(unit: str) -> None:
    """Refuse what nothing can be counted in.

    Raises:
        ConfigError: If ``unit`` is no :data:`CountUnit`.
    """
    if unit != "tokens" and unit not in LENGTHS:
        msg = f"lengths are counted in tokens, {' or '.join(LENGTHS)}, not {unit!r}"
        raise ConfigError(msg)


def lengths_of(completions: Sequence[str], unit: CountUnit, num_tokens: Sequence[int] | None) -> list[int]:
    """Length of each of the B completions.

    Args:
        completions: B texts; the words of the first ``MAX_COMPLETION_CHARS`` characters count.
        unit: What is counted. Where tokens are not known, as for texts from elsewhere, words stand for them.
        num_tokens: Tokens of each, if known.
    """
    if unit == "tokens":
        if num_tokens is not None:
            return list(num_tokens)
        unit = "words"
    if unit == "words":
        completions = [text[:MAX_COMPLETION_CHARS] for text in completions]
    return [LENGTHS[unit](text) for text in completions]
