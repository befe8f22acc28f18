"""Configuration files that commands other than training read; several are merged as ``remot fit`` merges them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from remot.errors import ConfigError

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


#: A configuration is some hundred lines; a file beyond these bounds is something else, or hostile.
MAX_BYTES = 1 << 20
MAX_VALUES = 100_000
MAX_DEPTH = 50

_NAMELESS = 'in "<unicode string>", '  # how PyYAML calls a text; the sentence names the file already


def read_config_file(file: Path) -> dict[str, Any]:
    """The settings in a file.

    Args:
        file: YAML in UTF-8: a mapping, each key of it once.

    Raises:
        ConfigError: If it cannot be read, is no mapping, has a key twice, or is larger once its aliases are written out
            than a configuration can be.
    """
    try:
        content = _content(file)
    except RecursionError as error:
        msg = f"the configuration {file} cannot be read: its values are nested too deeply"
        raise ConfigError(msg) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        msg = f"the configuration {file} cannot be read: {' '.join(str(error).split()).replace(_NAMELESS, 'in ')}"
        raise ConfigError(msg) from error
    if not isinstance(content, dict):
        msg = f"the configuration {file} is no mapping of settings by name; see configs/quickstart.yaml"
        raise ConfigError(msg)
    return content


def _content(file: Path) -> object:
    with file.open("rb") as stream:
        held = stream.read(MAX_BYTES + 1)
    if len(held) > MAX_BYTES:
        msg = f"it has more than {MAX_BYTES} bytes"
        raise ValueError(msg)
    loader = yaml.SafeLoader(held.decode("utf-8"))
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _require_bounded(node, {}, 0)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _require_bounded(node: yaml.Node, counted: dict[int, int], depth: int) -> int:
    """How many values ``node`` stands for with its aliases written out.

    Raises:
        ValueError: If they are too many or nested too deeply, or a key is there twice.
    """
    if id(node) in counted:
        return counted[id(node)]
    if depth > MAX_DEPTH:  # an alias inside its own anchor has no end, so it ends here, too
        msg = f"line {node.start_mark.line + 1}: values are nested more than {MAX_DEPTH} deep"
        raise ValueError(msg)
    if isinstance(node, yaml.MappingNode):
        _require_single_keys(node)
    total = 1 + sum(_require_bounded(child, counted, depth + 1) for child in _children(node))
    if total > MAX_VALUES:
        msg = f"line {node.start_mark.line + 1}: aliases stand for more than {MAX_VALUES} values"
        raise ValueError(msg)
    counted[id(node)] = total
    return total


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _require_single_keys(node: yaml.MappingNode) -> None:
    """YAML allows no key twice; PyYAML takes the last, silently."""
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            line = key.start_mark.line + 1
            if key.value in lines:
                msg = f"line {line}: {key.value!r:.80} is there already in line {lines[key.value]}; keep one of the two"
                raise ValueError(msg)
            lines[key.value] = line


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
