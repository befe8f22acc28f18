"""Options in random order, one of them right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from remot.answers import LETTERS


@dataclass(frozen=True)
class Choice:
    """Options in the order of their letters, and the letter of the right one."""

    options: tuple[str, ...]
    letter: str

    @property
    def lines(self) -> str:
        """One line for each option, such as ``A. left``."""
        return "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False))


def shuffled_choice(right: str, wrong: Sequence[str], generator: np.random.Generator) -> Choice:
    """``right`` among ``wrong`` in random order, every place equally likely; a ValueError if two are the same."""
    options = [right, *wrong]
    if len(set(options)) < len(options) or len(options) > len(LETTERS):
        msg = f"options must differ and be at most {len(LETTERS)}, got {options}"
        raise ValueError(msg)
    order = generator.permutation(len(options))
    return Choice(tuple(options[k] for k in order), LETTERS[int(np.flatnonzero(order == 0)[0])])
