"""Shared by the tests of commands."""

import pytest


@pytest.fixture(autouse=True, scope="package")
def _parser_of_one_subcommand():
    """Build the parser of the subcommand that is run: all four take a third of the time of a command that is refused.

    Processes of their own, as ``test_sigterm_of_a_process`` starts, build all of them.
    """
    from remot.commands.training.cli import RemotCLI
    from remot.commands.training.parser import RemotParser

    every = RemotCLI.subcommands

    def asked_for():
        return {name: skipped for name, skipped in every().items() if name in RemotParser.arguments[:1]} or every()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RemotCLI, "subcommands", staticmethod(asked_for))
        yield
