"""Configuration files: read with bounds, so that what is malformed is named first, and written to be read the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from remot.errors import ConfigError

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
