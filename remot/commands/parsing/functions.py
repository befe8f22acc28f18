"""Commands that are plain functions: their arguments become options, and mistakes one sentence."""

import inspect
from collections.abc import Callable
from typing import Any, NoReturn, get_args, get_origin

from jsonargparse import ArgumentParser

from remot.commands.parsing.config_files import as_one_option
from remot.commands.parsing.errors import constructing, explain
from remot.errors import ConfigError


class OwnParser(ArgumentParser):
    """Parser that raises one sentence instead of printing its usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Turn the parser's complaint into a sentence with a suggestion.

        Raises:
            ConfigError: Always.
        """
        types = {action.dest: getattr(action, "_typehint", None) for action in self._actions}
        raise ConfigError(explain(str(message), types, types)) from ex


def run_function(function: Callable[..., None], args: list[str], prog: str, positional: str = "") -> None:
    """Parse ``args`` by the signature of ``function`` and call it.

    Args:
        function: The command; its docstring is the help.
        args: Arguments after the command's name.
        prog: The command's name, for its help.
        positional: The option that a first word without dashes stands for; "" for none.
    """
    if positional and args and not args[0].startswith("-"):
        args = [f"--{positional}", *args]
    for option, takes_all in _list_options(function).items():
        args = as_one_option(args, option, takes_all=takes_all)
    args = _with_switches(args, function)
    parser = OwnParser(prog=prog, description=(function.__doc__ or "").split("\n", 1)[0], allow_abbrev=False)
    parser.add_function_arguments(function, as_group=False, as_positional=False)
    function(**vars(instantiated(parser, parser.parse_args(args))))


def _with_switches(args: list[str], function: Callable[..., None]) -> list[str]:
    """Options for true and false may stand alone, which means true."""
    names = {f"--{name}" for name, one in inspect.signature(function).parameters.items() if one.annotation is bool}
    followed = [*args[1:], "--"]
    return [
        f"{word}=true" if word in names and following.startswith("--") else word
        for word, following in zip(args, followed, strict=False)
    ]


def _list_options(function: Callable[..., None]) -> dict[str, bool]:
    """Options that may be given more than once, and whether each takes several words: files come one at a time."""
    options = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kinds = [kind for kind in (parameter.annotation, *get_args(parameter.annotation)) if get_origin(kind) is list]
        if kinds:
            options[f"--{name}"] = get_args(kinds[0]) == (str,)
    return options


def instantiated(parser: ArgumentParser, settings: Any) -> Any:  # noqa: ANN401 (jsonargparse's namespaces)
    """Settings with classes made into objects; jsonargparse 4.49 gave the method a new name and warns of the old."""
    method = getattr(parser, "instantiate", None) or parser.instantiate_classes
    with constructing():
        return method(settings)
