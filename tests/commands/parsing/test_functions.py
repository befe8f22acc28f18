"""Options for classes that a command parses once it needs them."""

import pytest

from remot.commands.parsing.functions import ClassWords, object_from, run_function
from remot.data.annotations import MOTReader
from remot.data.annotations.base import AnnotationReader
from remot.errors import ConfigError

MOT = "remot.data.annotations.MOTReader"


def called_with(words):
    seen = {}

    def command(root: str = "", reader: ClassWords = [], decode: bool = True) -> None:  # noqa: B006
        """Do it."""
        seen.update(root=root, reader=reader, decode=decode)

    run_function(command, words, "remot do", "root")
    return seen


@pytest.mark.parametrize(
    ("words", "reader"),
    [
        (["r", "--decode", "false"], []),
        (["r", "--reader", MOT, "--decode", "false"], ["--reader", MOT]),
        (["r", f"--reader={MOT}", "--reader.size", "3", "--decode=false"], [f"--reader={MOT}", "--reader.size", "3"]),
        (["--reader.class_path", MOT, "--root", "r", "--decode", "false"], ["--reader.class_path", MOT]),
    ],
)
def test_the_words_of_a_class_are_handed_on(words, reader):
    assert called_with(words) == {"root": "r", "reader": reader, "decode": False}


def test_another_option_with_the_same_beginning_is_unknown():
    with pytest.raises(ConfigError, match=r"readers .*reader\)"):
        called_with(["r", "--readers", MOT])


def test_the_object_of_the_words():
    words = ["--reader", MOT, "--reader.init_args.border_linger_seconds", "2"]
    reader = object_from(words, "reader", AnnotationReader, "remot do")
    assert isinstance(reader, MOTReader)
    assert reader.border_linger_seconds == 2
    assert object_from([], "reader", AnnotationReader, "remot do") is None
    with pytest.raises(ConfigError, match=r"MOTReadr.*MOTReader\)"):
        object_from(["--reader", "MOTReadr"], "reader", AnnotationReader, "remot do")
    with pytest.raises(ConfigError, match="border_linger_second"):
        object_from(
            [*words[:2], "--reader.init_args.border_linger_second", "2"], "reader", AnnotationReader, "remot do"
        )


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
