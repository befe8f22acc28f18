"""The table of what was injected and what was survived, on the standard output; ``pytest -s`` shows it."""

import sys


def row(name, injected, survived):
    """A line of the table; fails unless all was survived."""
    sys.stdout.write(f"| {name} | {injected} | {survived} |\n")
    assert survived == injected, name
