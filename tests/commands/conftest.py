"""Shared by the tests of commands."""

import pytest


@pytest.fixture(autouse=True, scope="package")
def _parser_of_one_subcommand(parser_of_one_subcommand):
    """Every test here may run a training command."""
