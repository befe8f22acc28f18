"""Configuration files that commands other than training read; several are merged as ``remot fit`` merges them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from remot.bounded_yaml import parse_yaml
from remot.errors import ConfigError
from remot.files import cause_of, read_bounded, read_named

#: One file, several of which the later ones count, or none for the defaults.
Configs = Path | Sequence[Path] | None


def read_configs(configs: Configs) -> dict[str, Any]:
    """The content of configuration files, later ones on top of earlier ones.

    Raises:
        ConfigError: If one cannot be read or is no mapping.
    """
    content: dict[str, Any] = {}
    for file in files_of(configs):
        content = merged(content, read_config_file(file))
    return content


def files_of(configs: Configs) -> list[Path]:
    """The files, in order."""
    if configs is None:
        return []
    return [configs] if isinstance(configs, Path) else list(configs)


def named(configs: Configs) -> str:
    """The files in words."""
    return ", ".join(map(str, files_of(configs)))


def merged(below: Any, above: Any) -> Any:  # noqa: ANN401 (YAML)
    """``above`` on top of ``below``: mappings key by key, unless they name different classes; all else is replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    if "class_path" in above and above["class_path"] != below.get("class_path"):
        return above
    return below | {key: merged(below.get(key), value) for key, value in above.items()}


def as_one_option(args: Sequence[str], option: str = "--config", *, takes_all: bool = False) -> list[str]:
    """Command-line words with every ``OPTION VALUE`` as one list of values, which is what parsers take.

    Args:
        args: The words.
        option: The option that may be given more than once.
        takes_all: All words up to the next option are values of it, not just one.
    """
    values: list[str] = []
    rest: list[str] = []
    words = list(args)
    while words:
        word = words.pop(0)
        if word.startswith(f"{option}="):
            values.append(word.partition("=")[2])
        elif word == option and words:
            values.append(words.pop(0))
            while takes_all and words and not words[0].startswith("-"):
                values.append(words.pop(0))
        else:
            rest.append(word)
    return [*rest, f"{option}={json.dumps(values, allow_nan=False)}"] if values else rest


#: A configuration is some hundred lines; a file beyond this is something else, or hostile.
MAX_BYTES = 1 << 20


def read_config_file(file: Path, *, takes_pipe: bool = False) -> dict[str, Any]:
    """The settings in a file.

    Args:
        file: YAML in UTF-8: a mapping, each key of it once.
        takes_pipe: The file may be a pipe, such as the shell's.

    Raises:
        ConfigError: If it cannot be read, is no mapping, has a key twice, or is larger than a configuration can be, see
            :mod:`remot.bounded_yaml`.
    """
    try:
        content = parse_yaml((read_named if takes_pipe else read_bounded)(file, MAX_BYTES).decode("utf-8"))
    except (OSError, ValueError) as error:
        msg = f"the configuration {file} cannot be read: {cause_of(error)}"
        raise ConfigError(msg) from error
    if not isinstance(content, dict):
        msg = f"the configuration {file} is no mapping of settings by name; see configs/quickstart.yaml"
        raise ConfigError(msg)
    return content


class _SettingsDumper(yaml.SafeDumper):
    """Quotes every text that the parser's loader would read as another type, such as the name ``5e3``.

    PyYAML quotes what YAML 1.1 takes for a number, which needs a dot; the parser's loader takes ``5e3`` for one, too.
    """


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        is_text = get_loader("yaml")(text) == text
    except (ValueError, yaml.YAMLError):  # no YAML by itself: PyYAML quotes it
        is_text = True
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_text else "'")


_SettingsDumper.add_representer(str, _represent_text)


def dump_settings(settings: Mapping[str, Any]) -> str:
    """Settings as YAML from which the parser, and PyYAML, read the same values and types again."""
    return yaml.dump(settings, Dumper=_SettingsDumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
