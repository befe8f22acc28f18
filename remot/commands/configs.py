"""Configuration files that commands other than training read; several are merged as ``remot fit`` merges them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remot.commands.yaml_file import read_config_file

#: One file, several of which the later ones count, or none for the defaults.
Configs = Path | Sequence[Path] | None

_OPTION = "--config"


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


def as_one_option(args: Sequence[str]) -> list[str]:
    """Command-line words with all ``--config FILE`` as one list of files, which is what parsers take."""
    files, rest, words = [], [], iter(args)
    for word in words:
        if word.startswith(f"{_OPTION}="):
            files.append(word.partition("=")[2])
        elif word == _OPTION and (file := next(words, None)) is not None:
            files.append(file)
        else:
            rest.append(word)
    return [*rest, f"{_OPTION}={json.dumps(files)}"] if files else rest
