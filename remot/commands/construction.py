"""What goes wrong while settings become objects, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from remot.commands.messages import NO_TYPE_FITS, explain
from remot.errors import ConfigError, known_cause


@contextmanager
def constructing() -> Iterator[None]:
    """Tell what a constructor refused, not which types the parser tried before.

    Where several types are allowed, the parser tries each, and older versions keep of what a constructor raises only
    the text.

    Raises:
        ConfigError: With that text, if the parser complains about such a value.
    """
    try:
        yield
    except ValueError as error:
        if NO_TYPE_FITS not in str(error) or known_cause(error) is not None:
            raise
        raise ConfigError(explain(str(error), ())) from error
