"""Messages about a whole data set, told once however often it is listed."""

import logging

_logger = logging.getLogger(__name__)

#: How many names a message holds.
MAX_NAMED = 5


class Notices:
    """Logs each message once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, message: str) -> None:
        """Log ``message`` as a warning, unless it is empty or has been told before."""
        if message and message not in self._told:
            self._told.add(message)
            _logger.warning("%s", message)


def listed(names: list[str]) -> str:
    """The first few names.

    >>> listed(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
