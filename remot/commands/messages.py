"""Configuration errors in one sentence, with the nearest key or class that exists."""

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

#: How alike two words must be for one to be suggested for the other.
SIMILARITY = 0.7


def explain(message: str, known_keys: Iterable[str]) -> str:
    """``message`` of the parser, shortened to what the user did, with a suggestion where there is one."""
    text = " ".join(message.split())
    wrong = _wrong_word(text)
    suggestion = _nearest_key(wrong, known_keys) or _nearest_class(wrong, text)
    hint = f" (nearest: {suggestion})" if suggestion else ""
    return _core(text) + hint


def _core(text: str) -> str:
    """The clause of a union's error that is about the user's value, or the whole text."""
    where, found, rest = text.partition(" Does not validate against any of the Union subtypes")
    if not found:
        return text
    key = where.split(": - ")[0].rstrip(": -")
    clauses = [clause for clause in rest.partition("Errors: - ")[2].split(" - ") if "NoneType" not in clause[:40]]
    return f"{key}: {clauses[0].strip()}" if clauses else f"{key}: the value does not fit"


def _wrong_word(text: str) -> str:
    """The key or name the parser did not understand, "" if the message names none."""
    for marker in ("nrecognized arguments: --", "Option '", "dot import path string: ", "Key '", 'Key "'):
        _, found, rest = text.partition(marker)
        if found:
            return rest.split()[0].strip("'\",").partition("=")[0]
    return ""


def _nearest_key(wrong: str, known_keys: Iterable[str]) -> str:
    known = sorted(set(known_keys))
    if not wrong or wrong in known:
        return ""
    whole = difflib.get_close_matches(wrong, known, n=1, cutoff=0.85)
    if whole:
        return whole[0]
    by_last = {key.rpartition(".")[2]: key for key in known}
    last = difflib.get_close_matches(wrong.rpartition(".")[2], by_last, n=1, cutoff=SIMILARITY)
    return by_last[last[0]] if last else ""


def _nearest_class(wrong: str, text: str) -> str:
    _, found, rest = text.partition("Subtypes: [<class '")
    if not found or not wrong:
        return ""
    module, _, name = rest.partition("'")[0].rpartition(".")
    expected = getattr(importlib.import_module(module), name)
    names = {one.__name__ for one in _subclasses(expected)}
    close = difflib.get_close_matches(wrong.rpartition(".")[2], names, n=1, cutoff=SIMILARITY)
    return close[0] if close else ", ".join(sorted(names))


def _subclasses(parent: type) -> Iterator[type]:
    for child in parent.__subclasses__():
        if not child.__name__.startswith("_"):
            yield child
        yield from _subclasses(child)


def keys_of_files(arguments: Iterable[str]) -> set[str]:
    """Dotted keys of the YAML files among the command line's arguments; unreadable files have none."""
    keys: set[str] = set()
    for argument in arguments:
        path = Path(argument.partition("=")[2] or argument)
        if path.suffix in {".yaml", ".yml"} and path.is_file():
            try:
                keys |= set(_flatten(yaml.safe_load(path.read_text(encoding="utf-8"))))
            except (OSError, ValueError, yaml.YAMLError):
                continue
    return keys


def _flatten(settings: Any, prefix: str = "") -> Iterator[str]:
    if not isinstance(settings, Mapping):
        return
    for key, value in settings.items():
        yield f"{prefix}{key}"
        yield from _flatten(value, f"{prefix}{key}.")
