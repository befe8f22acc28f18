"""The parser of the training commands: configuration files read with bounds, and complaints in one sentence."""

import os
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from jsonargparse import ActionConfigFile, Namespace, _typehints, set_dumper  # type: ignore[attr-defined]
from lightning.pytorch.cli import LightningArgumentParser

from remot.commands.parsing.config_files import dump_settings, read_config_file
from remot.commands.parsing.errors import explain, keys_of_files
from remot.errors import ConfigError
from remot.files import is_pipe

set_dumper("yaml", dump_settings)  # for what is printed, kept with a run, and written between two parsers

#: Of jsonargparse: true while it fills in what classes within classes leave out.
_fills_in = getattr(_typehints, "sub_defaults", None)


class RemotParser(LightningArgumentParser):
    """Parser that raises one sentence instead of printing its usage."""

    #: The command line that is being parsed, whose configuration files hold keys to suggest.
    arguments: ClassVar[tuple[str, ...]] = ()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Turn the parser's complaint into a sentence with a suggestion.

        Raises:
            ConfigError: Always.
        """
        known = set(_keys_of(self)) | keys_of_files(self.arguments)
        raise ConfigError(explain(str(message), known, _types_of(self))) from ex

    def _parse_common(self, *, defaults: bool, **settings: Any) -> Namespace:  # type: ignore[override]  # noqa: ANN401
        """As jsonargparse, which would fill in the same at each level of classes within classes once more.

        That takes twice as long for each level: a recipe with many tasks was read in 5.0 s instead of 2.6 s.
        """
        is_within = _fills_in is not None and _fills_in.get()
        return super()._parse_common(defaults=defaults and not is_within, **settings)


class CheckedConfigFile(ActionConfigFile):
    """``--config``: a file is read with bounds before the parser reads it; settings in place of a file are left to it.

    The parser names no file in what it says of a malformed one, and passes over a section that is no mapping. It is
    given the settings of a pipe, which can be read once.
    """

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:  # noqa: ANN401
        """Check the file and hand it on.

        Raises:
            ConfigError: If it cannot be read or a section is no mapping.
        """
        named = Path(str(values))
        if (from_pipe := is_pipe(named)) or os.path.isfile(named):  # noqa: PTH113 - Path raises if it is no name
            sections = {key.partition(".")[0] for key in _keys_of(parser) if "." in key}
            content = read_config_file(named, takes_pipe=from_pipe)
            for name, section in content.items():
                if name in sections and not isinstance(section, dict | str | None):  # a text names a file of settings
                    kind = type(section).__name__
                    msg = f"the configuration {named}: {name} is a {kind}, give a mapping of settings by name"
                    raise ConfigError(msg)
            if from_pipe:
                values = dump_settings(content)
        super().__call__(parser, cfg, values, option_string)  # type: ignore[no-untyped-call]


def _keys_of(parser: ArgumentParser) -> Iterator[str]:
    """Keys of ``parser`` and of its subcommands."""
    for action in parser._actions:
        yield action.dest
        if isinstance(action.choices, Mapping):
            for subparser in action.choices.values():
                yield from _keys_of(subparser)


def _types_of(parser: ArgumentParser) -> dict[str, Any]:
    """Type of each key of ``parser`` and of its subcommands."""
    types = {action.dest: getattr(action, "_typehint", None) for action in parser._actions}
    for action in parser._actions:
        if isinstance(action.choices, Mapping):
            for subparser in action.choices.values():
                types |= _types_of(subparser)
    return types
