"""Answers that several tasks have: numbers, the nearest of options, and orders of things listed in a text."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from remot.datatools.audit.tasks.prompt import AskedPrompt, UnreadableError

#: How far a distance may lie beyond a limit: distances are found to a tenth of a millimetre; other numbers exactly.
_METRES, _SLACK = 1e-3, 1e-6


def wrong_nearest(
    asked: AskedPrompt, metres: dict[str, float], min_gap_metres: float, min_ratio: float
) -> Iterator[str]:
    """Whether the chosen option is the one with the fewest metres, and the others are clearly farther."""
    nearest, following = sorted(metres, key=lambda name: metres[name])[:2]
    gap = metres[following] - metres[nearest]
    if asked.chosen() != nearest:
        yield f"{asked.chosen()!r:.40} is said to be the closest, should be {nearest!r:.40} at {metres[nearest]:.2f} m"
    elif gap < min_gap_metres - _METRES or metres[following] < min_ratio * (metres[nearest] - _METRES) - _METRES:
        yield f"{nearest!r:.40} and {following!r:.40} are about as close, {gap:.2f} m differ"


def wrong_number(asked: AskedPrompt, should: float, tolerance: float, at_least: float = 0.0) -> Iterator[str]:
    """Whether the right number is ``should``, and that is enough to be asked for."""
    if not abs(asked.number - should) <= tolerance:
        yield f"the reference says {asked.number:g}, should be {should:.3f}"
    elif should < at_least - _SLACK:
        yield f"{should:.3f} is too little to be asked for"


def wrong_order(
    asked: AskedPrompt, listed: Sequence[str], first: dict[str, int], never: int, num_options: int
) -> Iterator[str]:
    """Whether the chosen option names what is listed in the order of the ``first`` frames that show it.

    ``never`` is the number of what no frame shows.
    """
    ways = {option: _in_order(option, listed) for option in asked.options().values()}
    if any(way is None for way in ways.values()) or len(ways) > num_options:
        yield "an option is no order of the things asked about, or there are too many"
        return
    ordered = ways[asked.chosen()] or []
    frames = [first[name] for name in ordered]
    if never in frames or any(later <= earlier for earlier, later in pairwise(frames)):
        seen = ", ".join(f"{name} {first[name]}" for name in sorted(listed, key=lambda name: first[name]))
        yield f"the order is said to be {asked.chosen()!r:.80}, the shown frames that show each first are {seen}"


def listed(text: str, names: Sequence[str]) -> list[str]:
    """Names that stand in a text with commas between; the longest first, since a name may hold a comma.

    An UnreadableError if something else stands there, or a name twice.
    """
    found: list[str] = []
    rest = f"{text}, "
    while rest:
        fitting = [name for name in set(names) - set(found) if rest.startswith(f"{name}, ")]
        if not fitting:
            msg = f"{text!r:.80} is no list of things of the clip"
            raise UnreadableError(msg)
        found.append(max(fitting, key=len))
        rest = rest.removeprefix(f"{found[-1]}, ")
    return found


def _in_order(option: str, listed: Sequence[str]) -> list[str] | None:
    """The names in an option, each of ``listed`` once; None if it is no such list. Names may hold commas."""
    if not listed:
        return [] if option == "" else None
    for name in listed:
        rest = [one for one in listed if one != name]
        if option == name and not rest:
            return [name]
        if option.startswith(f"{name}, ") and (found := _in_order(option.removeprefix(f"{name}, "), rest)):
            return [name, *found]
    return None
