"""How long completions are."""

from collections.abc import Sequence
from typing import Literal

from remot.errors import ConfigError
from remot.rewards.conciseness import LENGTHS

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
        completions: B texts.
        unit: What is counted. Where tokens are not known, as for texts from elsewhere, words stand for them.
        num_tokens: Tokens of each, if known.
    """
    if unit == "tokens":
        if num_tokens is not None:
            return list(num_tokens)
        unit = "words"
    return [LENGTHS[unit](text) for text in completions]
