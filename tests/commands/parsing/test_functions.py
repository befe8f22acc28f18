"""Options of commands that are plain functions."""

import pytest

from remot.commands.parsing.functions import run_function
from remot.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], (False, "x")),
        (["--flag"], (True, "x")),
        (["--flag", "--name", "y"], (True, "y")),
        (["--name", "y", "--flag"], (True, "y")),
        (["--flag", "false"], (False, "x")),
        (["--flag=true"], (True, "x")),
        (["--name", "--flag"], None),
    ],
)
def test_an_option_for_true_and_false_may_stand_alone(words, expected):
    seen = []

    def command(flag: bool = False, name: str = "x") -> None:
        """Do.

        Args:
            flag: A switch.
            name: A text.
        """
        seen.append((flag, name))

    if expected is None:
        with pytest.raises(ConfigError):
            run_function(command, words, "remot x")
    else:
        run_function(command, words, "remot x")
        assert seen == [expected]
