"""What ``remot doctor`` finds: one line each, fine or not, with what to do."""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from remot.terminal import printable

#: ``open`` is what was not measured.
Level = Literal["fine", "warn", "fail", "open"]
_WIDTH, _INDENT = 118, 29


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        level: How it stands.
        name: What was looked at.
        text: What was found, or why it was not measured.
        advice: What to do; "" where nothing is to be done.
        facts: The numbers behind the text.
    """

    level: Level
    name: str
    text: str
    advice: str = ""
    facts: Mapping[str, float | str | None] = field(default_factory=dict)

    def as_text(self) -> str:
        """The line, wrapped, with the advice below it."""
        lines = textwrap.wrap(printable(self.text), _WIDTH - _INDENT) or [""]
        lines += [f"→ {line}" if not k else f"  {line}" for k, line in enumerate(_wrapped(self.advice))]
        head = f"{self.level:6}{self.name:{_INDENT - 6}}"
        return "\n".join((head if not k else " " * _INDENT) + line for k, line in enumerate(lines))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(printable(text), _WIDTH - _INDENT - 2)


def summary(findings: Iterable[Finding]) -> str:
    """How many lines of each kind there are."""
    levels = [one.level for one in findings]
    words = {"fine": "fine", "warn": "to look at", "fail": "would fail", "open": "not measured"}
    return ", ".join(f"{levels.count(level)} {said}" for level, said in words.items())  # type: ignore[arg-type]


def duration(seconds: float) -> str:
    """Such as ``95 s``, ``12 min`` and ``5.3 h``."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size(num_bytes: float) -> str:
    """Such as ``340 MB`` and ``9.2 GB``."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.3g} MB"
