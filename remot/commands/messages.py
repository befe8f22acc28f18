"""Configuration errors in one sentence, with the nearest key or class that exists."""

import difflib
import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml

NEAREST = "(nearest that exists:"
#: How the parser says that no class has the name given.
NOT_A_CLASS = "dot import path string: "
#: How alike two words must be for one to be suggested for the other.
SIMILARITY = 0.6
#: Types whose subclasses are no suggestion.
BUILT_IN = (list, dict, tuple, str, int, float, type(None))


def explain(message: str, known_keys: Iterable[str], types: Mapping[str, Any] | None = None) -> str:
    """``message`` of the parser, shortened to what the user did, with a suggestion where there is one.

    Args:
        message: What the parser says.
        known_keys: Keys to suggest.
        types: Type of each key, for the names of classes.
    """
    text = " ".join(message.split())
    if NEAREST in text:  # a nested parser has already explained it
        return _core(text)
    wrong = _wrong_word(text)
    if NOT_A_CLASS in text:
        suggestion = _nearest_class(wrong, _expected_classes(text, types or {}))
    else:
        suggestion = _nearest_of_class(wrong, text) or _nearest_key(wrong, known_keys)
    return _core(text) + (f" {NEAREST} {suggestion})" if suggestion else "")


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
    for marker in (
        "nrecognized arguments: --",
        "does not accept option '",
        "Option '",
        NOT_A_CLASS,
        "Key '",
        'Key "',
    ):
        _, found, rest = text.partition(marker)
        if found:
            return rest.split()[0].strip("'\",").partition("=")[0]
    return ""


def _nearest_key(wrong: str, known_keys: Iterable[str]) -> str:
    """The key most like ``wrong`` as a whole, else the one most like a section it stands in, else by its last word.

    A file that holds ``wrong`` names it, and the sections it stands in, among the known keys; these are no suggestion.
    """
    words = wrong.split(".")
    itself = [".".join(words[:end]) for end in range(len(words), 0, -1)]
    known = sorted(set(known_keys) - set(itself))
    if not wrong:
        return ""
    for part in itself:
        alike = [key for key in known if key.count(".") == part.count(".")]
        close = difflib.get_close_matches(part, alike, n=1, cutoff=0.85)
        if close:
            return close[0]
    by_last = {key.rpartition(".")[2]: key for key in known}
    last = difflib.get_close_matches(words[-1], by_last, n=1, cutoff=SIMILARITY)
    return by_last[last[0]] if last else ""


def _nearest_of_class(wrong: str, text: str) -> str:
    """Nearest setting of the classes that were expected, all of them if none is near, "" if no class was."""
    settings = {name for one in _expected_classes(text, {}) for name in inspect.signature(one).parameters}
    return _nearest_or_all(wrong, settings) if wrong else ""


def _nearest_class(wrong: str, classes: Iterable[type]) -> str:
    """Name of the class most like ``wrong``, all names if none is near, "" if no class is known to be expected."""
    return _nearest_or_all(wrong.rpartition(".")[2], {one.__name__ for one in classes})


def _nearest_or_all(wrong: str, names: set[str]) -> str:
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=SIMILARITY)
    return close[0] if close else ", ".join(sorted(names))


def _expected_classes(text: str, types: Mapping[str, Any]) -> list[type]:
    """The classes a message says were expected, else those that fit the key it is about."""
    _, found, rest = text.partition("Subtypes: [<class '")
    if found:
        module, _, name = rest.partition("'")[0].rpartition(".")
        return list(_subclasses(getattr(importlib.import_module(module), name)))
    key = text.partition('key "')[2].partition('"')[0]
    parents = (one for one in _parts_of(types.get(key)) if isinstance(one, type) and not issubclass(one, BUILT_IN))
    return [child for parent in parents for child in (parent, *_subclasses(parent)) if not inspect.isabstract(child)]


def _parts_of(annotation: object) -> Iterator[object]:
    """A type and the types it is made of, such as ``list[MotionExpert] | None`` and ``MotionExpert``."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts_of(part)


def _subclasses(parent: type) -> Iterator[type]:
    children: list[type] = parent.__subclasses__()
    for child in children:
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


def _flatten(settings: object, prefix: str = "") -> Iterator[str]:
    if not isinstance(settings, Mapping):
        return
    for key, value in settings.items():
        yield f"{prefix}{key}"
        yield from _flatten(value, f"{prefix}{key}.")
