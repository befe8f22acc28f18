"""remot: teach vision-language models to see motion."""

from remot._version import __version__

__all__ = ["__version__"]
