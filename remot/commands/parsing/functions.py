"""Commands that are plain functions: their arguments become options, and mistakes one sentence."""

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args, get_origin

from jsonargparse import ArgumentParser, Namespace

from remot.commands.parsing.config_files import as_one_option
from remot.commands.parsing.errors import constructing, explain
from remot.errors import ConfigError

#: Words of an option for a class whose module is slow to import, such as ``--reader CLASS --reader.init_args.size 3``.
#: The command parses them by :func:`object_from` when it needs the object, so that help and other errors are quick.
ClassWords = Annotated[list[str], "class"]

#: How the parser begins to say which options are missing.
MISSING = "the following arguments are required: "


class OwnParser(ArgumentParser):
    """Parser that raises one sentence instead of printing its usage."""

    #: The option that a first word without dashes stands for.
    positional: str = ""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Turn the parser's complaint into a sentence with a suggestion.

        Raises:
            ConfigError: Always.
        """
        missing = str(message).partition(MISSING)[2]
        if missing:
            words = [name.upper() if name == self.positional else f"--{name}" for name in missing.split(", ")]
            msg = f"{self.prog} needs {' and '.join(words)}; see: {self.prog} --help"
            raise ConfigError(msg) from ex
        types = {action.dest: getattr(action, "_typehint", None) for action in self._actions}
        raise ConfigError(explain(str(message), types, types)) from ex


def run_function(function: Callable[..., None], args: list[str], prog: str, positional: str = "") -> None:
    """Parse ``args`` by the signature of ``function`` and call it.

    Args:
        function: The command; its docstring is the help. The fields of a parameter that is a dataclass are options.
        args: Arguments after the command's name.
        prog: The command's name, for its help.
        positional: The option that a first word without dashes stands for, and further ones for an option of several
            files; "" for none.
    """
    if positional:
        first = list(itertools.takewhile(lambda word: not word.startswith("-"), args))
        words = first if f"--{positional}" in _list_options(function) else first[:1]
        args = [part for word in words for part in (f"--{positional}", word)] + args[len(words) :]
    class_words: dict[str, list[str]] = {}
    for name in [name for name, kind in option_types(function).items() if kind is ClassWords]:
        args, class_words[name] = _taken_out(args, f"--{name}")
    for option, takes_all in _list_options(function).items():
        args = as_one_option(args, option, takes_all=takes_all)
    args = _with_switches(args, function)
    parser = OwnParser(prog=prog, description=(function.__doc__ or "").split("\n", 1)[0], allow_abbrev=False)
    parser.positional = positional
    groups = option_groups(function)
    parser.add_function_arguments(function, as_group=False, as_positional=False, skip=set(groups))
    for group in groups.values():
        parser.add_class_arguments(group, as_positional=False)
    given = vars(instantiated(parser, parser.parse_args(args))) | class_words
    for name, group in groups.items():
        given[name] = group(**{field: given.pop(field) for field in inspect.signature(group).parameters})
    function(**given)


def option_groups(function: Callable[..., None]) -> dict[str, Any]:
    """Parameters of a command that are dataclasses, whose fields are options of their own."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.annotation for one in parameters if is_dataclass(one.annotation)}


def option_types(function: Callable[..., None]) -> dict[str, Any]:
    """Types of all options of a command by name."""
    signatures = [inspect.signature(one) for one in (function, *option_groups(function).values())]
    return {name: one.annotation for signature in signatures for name, one in signature.parameters.items()}


def _taken_out(args: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """The words without an option for a class, and its words."""
    rest: list[str] = []
    taken: list[str] = []
    is_value = False
    for word in args:
        of_option = is_value or word.partition("=")[0].partition(".")[0] == option
        (taken if of_option else rest).append(word)
        is_value = of_option and not is_value and "=" not in word
    return rest, taken


def object_from(words: Sequence[str], option: str, kind: Any, prog: str) -> Any:  # noqa: ANN401 (of an abstract class)
    """The object that the words of a class option describe; None if there are none.

    Raises:
        ConfigError: If there is no such class, or a setting does not fit.
    """
    parser = OwnParser(prog=prog, allow_abbrev=False)
    parser.add_argument(f"--{option}", type=kind | None, default=None)
    return instantiated(parser, parser.parse_args(list(words)))[option]


def _with_switches(args: list[str], function: Callable[..., None]) -> list[str]:
    """Options for true and false may stand alone, which means true."""
    names = {f"--{name}" for name, kind in option_types(function).items() if kind is bool}
    followed = [*args[1:], "--"]
    return [
        f"{word}=true" if word in names and following.startswith("--") else word
        for word, following in zip(args, followed, strict=False)
    ]


def _list_options(function: Callable[..., None]) -> dict[str, bool]:
    """Options that may be given more than once, and whether each takes several words: files come one at a time."""
    options = {}
    for name, annotation in option_types(function).items():
        kinds = [kind for kind in (annotation, *get_args(annotation)) if get_origin(kind) is list]
        if kinds and annotation is not ClassWords:
            options[f"--{name}"] = get_args(kinds[0]) != (Path,)
    return options


def require_numbers(settings: Any, key: str = "") -> None:  # noqa: ANN401 (what configurations hold)
    """Refuse NaN, and integers of more than 64 bits, wherever they stand.

    No setting can mean NaN, and most comparisons let it through; tensors, timers and databases hold no larger integers.

    Raises:
        ConfigError: Naming the key.
    """
    if isinstance(settings, float) and math.isnan(settings):
        msg = f"{key} is NaN, give a number"
        raise ConfigError(msg)
    if isinstance(settings, int) and not -(2**63) <= settings < 2**63:
        msg = f"{key} has {settings.bit_length()} bits, give an integer of at most 64"
        raise ConfigError(msg)
    held = vars(settings) if isinstance(settings, Namespace) else settings
    named = held.items() if isinstance(held, Mapping) else enumerate(held) if isinstance(held, list | tuple) else ()
    for name, value in named:
        require_numbers(value, f"{key}.{name}" if key else str(name))


def instantiated(parser: ArgumentParser, settings: Any) -> Any:  # noqa: ANN401 (jsonargparse's namespaces)
    """Settings with classes made into objects; jsonargparse 4.49 gave the method a new name and warns of the old."""
    require_numbers(settings)
    method = getattr(parser, "instantiate", None) or parser.instantiate_classes
    with constructing():
        return method(settings)
