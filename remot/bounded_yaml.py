"""YAML of files made elsewhere: plain values, each key once, and no more values than a file of settings has.

Aliases and merge keys let some hundred bytes stand for any number of values, and the parser takes Python calls for each
level of nesting.
"""

from typing import Any

import yaml

#: Values that a text may stand for, its aliases written out, and levels of nesting. Settings have some hundred and ten.
MAX_VALUES = 20_000
MAX_DEPTH = 50

_NAMELESS = 'in "<unicode string>", '  # how PyYAML calls a text; who reads it names the file


def parse_yaml(text: str) -> Any:  # noqa: ANN401 (YAML)
    """The value in a text, None if it is empty.

    Raises:
        ValueError: If it is no YAML, has a key twice, or stands for more than :data:`MAX_VALUES` values or nests them
            deeper than :data:`MAX_DEPTH`.
    """
    try:
        loader = _BoundedLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _require_bounded(node, {}, 0)
        return loader.construct_document(node)
    except RecursionError as error:  # one level takes several calls while blocks are indented
        msg = "its values are nested too deeply"
        raise ValueError(msg) from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split()).replace(_NAMELESS, "in ")) from error


class _BoundedLoader(yaml.SafeLoader):
    """Stops where there are too many values, before the rest of the text is read."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._num_values = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next value."""
        self._num_values += 1
        self._depth += 1
        line = self.line + 1  # of what is read ahead, about here
        if self._num_values > MAX_VALUES:
            msg = f"line {line}: there are more than {MAX_VALUES} values"
            raise ValueError(msg)
        if self._depth > MAX_DEPTH:
            msg = f"line {line}: values are nested more than {MAX_DEPTH} deep"
            raise ValueError(msg)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


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
    children = list(node.value) if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        _require_single_keys(node)
        children = [child for pair in node.value for child in pair]
    total = 1 + sum(_require_bounded(child, counted, depth + 1) for child in children)
    if total > MAX_VALUES:
        msg = f"line {node.start_mark.line + 1}: aliases stand for more than {MAX_VALUES} values"
        raise ValueError(msg)
    counted[id(node)] = total
    return total


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
