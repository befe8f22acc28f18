"""The subcommands of ``remot``. Each imports what it needs when it runs, so that help and errors come at once."""

from remot.commands.dispatch import run

__all__ = ["run"]
