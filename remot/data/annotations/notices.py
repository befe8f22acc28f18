"""Messages about a whole data set, logged once however often it is listed, and those about many clips together."""

import logging
from dataclasses import dataclass, field

_logger = logging.getLogger(__name__)

#: How many names a message holds.
MAX_NAMED = 5


@dataclass(eq=False)
class Notices:
    """Logs each message once, and what is said of many clips once with the number of clips."""

    _logged: set[str] = field(default_factory=set, init=False)
    _places: dict[str, dict[str, None]] = field(default_factory=dict, init=False)

    def warn_once(self, message: str) -> None:
        """Log ``message`` as a warning, unless it is empty or has been logged before."""
        if message and message not in self._logged:
            self._logged.add(message)
            _logger.warning("%s", message)

    def add(self, message: str, place: str) -> None:
        """Note ``message`` about ``place``, such as a record of a file; the same place counts once."""
        self._places.setdefault(message, {})[place] = None

    def report(self) -> None:
        """Log each message that was added with the number of its places and the first few of them, and forget it."""
        for message, places in self._places.items():
            _logger.warning("%d %s: %s", len(places), message, listed(list(places)))
        self._places.clear()


def listed(names: list[str]) -> str:
    """The first few names.

    >>> listed(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
