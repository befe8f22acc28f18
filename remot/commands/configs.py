"""Configuration files that commands other than training read; several are merged as ``remot fit`` merges them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remot.commands.yaml_file import read_config_file

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
