"""Configuration errors in one sentence, with the nearest key or class that exists."""

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args

from remot.commands.parsing.config_files import read_config_file
from remot.errors import ConfigError, known_cause, listed

NEAREST = "(nearest that exists:"
#: How the parser says that no class has the name given.
NOT_A_CLASS = "dot import path string: "
#: How the parser begins to say that a value has none of several types, and that a class is another than was expected.
NO_TYPE_FITS = "Does not validate against any of the Union subtypes"
NOT_A_SUBCLASS = "does not correspond to a subclass of"
#: How it begins to say that a value is neither a class nor a mapping of settings.
NO_SETTINGS_OF_A_CLASS = ("Expected a dot import path string: ", "Not a valid subclass of ")
#: How it says that a value has not one plain type.
EXPECTED = ("Expected a <class", "Expected a typing.Literal")
A_NUMBER = ("Expected a <class 'float'>", "expected a number")
#: How the parser of one class's settings begins; its keys are these settings.
OF_ONE_CLASS = "Option '"
NO_SETTINGS = {"help", "config", "print_config"}
#: How alike two words must be for one to be suggested for the other.
SIMILARITY = 0.6
#: The same for whole keys, and for keys of another section.
CLOSE = 0.85
#: Where settings are that stood directly in the data section.
MOVED = {
    f"data.{name}": f"data.{parent}.{name}"
    for parent, names in {
        "tasks[MotionContrast]": "experts negatives formats binary num_wordings option_order wordings balance_by",
        "tasks[MotionContrast].sampling": "max_candidate_frames min_gap_frames",
        "options": "seed held_out_seed on_bad_clip exclude require_splits images_root",
    }.items()
    for name in names.split()
}
#: A class in a message, unless it is built in.
_DOTTED_CLASS = re.compile(r"<class '([\w.]+)\.(\w+)'>")
#: Types whose subclasses are no suggestion.
BUILT_IN = (list, dict, tuple, str, int, float, type(None))


def explain(message: str, known_keys: Iterable[str], types: Mapping[str, Any] | None = None) -> str:
    """``message`` of the parser, shortened to what the user did, with a suggestion where there is one."""
    text = " ".join(message.split())
    for pattern, words in _OF_OLD:
        text = pattern.sub(words, text)
    core = _core(text)
    if NEAREST in text:  # a nested parser has already explained it
        return tidied(core)
    record = _settings_record(text, types or {}) if any(one in core for one in NO_SETTINGS_OF_A_CLASS) else None
    if record is not None:
        return tidied(_about_record(core, record, text.rpartition(" Given value: ")[2]))
    wrong = _wrong_word(core)
    if wrong and text.startswith(OF_ONE_CLASS) and types:
        suggestion = _nearest_or_all(wrong, set(types) - NO_SETTINGS)
    elif NOT_A_CLASS in core:
        names = {one.__name__ for one in _expected_classes(text, types or {})}
        suggestion = _nearest_or_all(wrong.rpartition(".")[2], names)
    elif wrong:
        settings = {name for one in _expected_classes(text, {}) for name in _settings(one)}
        suggestion = _nearest_or_all(wrong, settings) or _nearest_key(wrong, known_keys)
    else:
        suggestion = ""
    return tidied(core) + (f" {NEAREST} {suggestion})" if suggestion else "")


def _core(text: str) -> str:
    """The clause of a union's error that is about the user's value, or the whole text."""
    where, found, rest = f" {text}".partition(f" {NO_TYPE_FITS}")
    if not found:
        return text
    key = where.split(": - ")[0].strip(": -")
    clauses = [clause.partition(" Given value type:")[0].strip() for clause in rest.split(" - ")[1:]]
    about_value = [
        clause for clause in clauses if not clause.startswith(NO_TYPE_FITS) and "NoneType" not in clause[:40]
    ]
    clause = min(about_value, key=_rank) if about_value else "the value does not fit"
    if clause.startswith(EXPECTED):
        expected = [one.partition(". Got value")[0] for one in about_value if one.startswith(EXPECTED)]
        types = " or ".join(dict.fromkeys(one.removeprefix("Expected a ") for one in expected))
        clause = f"Expected a {types}, got {text.rpartition(' Given value: ')[2]}"
    return f"{key}: {clause}" if key else clause


def _rank(clause: str) -> int:
    """How far a clause of a union is from what the user meant: of several classes, all but one say "another class"."""
    if NEAREST in clause:
        return 0
    if NOT_A_CLASS in clause:
        return 2
    # "fast" in place of a number or a tensor is no misspelt tensor
    if _wrong_word(clause) or any(one in clause for one in A_NUMBER):
        return 1
    return 4 if NOT_A_SUBCLASS in clause else 3


def _wrong_word(text: str) -> str:
    """The key or name the parser did not understand, "" if the message names none.

    Beside a ``class_path`` another key is not accepted, which the parser says of the ``class_path``.
    """
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
            word = rest.split()[0].strip("'\",").partition("=")[0]
            return "" if word == "class_path" else word
    return ""


def _nearest_key(wrong: str, known_keys: Iterable[str]) -> str:
    """The key most like ``wrong`` as a whole, else the one most like a section it stands in, else by its last word.

    By the last word, a key below the same parent comes first, then one of the same section, then a close one anywhere.
    A file that holds ``wrong`` names it, and the sections it stands in, among the known keys; these are no suggestion.
    """
    words = wrong.split(".")
    itself = [".".join(words[:end]) for end in range(len(words), 0, -1)]
    known = sorted(set(known_keys) - set(itself))
    if ".".join(words[:2]) in MOVED:
        return MOVED[".".join(words[:2])]
    for part in itself:
        alike = [key for key in known if key.count(".") == part.count(".")]
        close = difflib.get_close_matches(part, alike, n=1, cutoff=CLOSE)
        if close:
            return close[0]
    elsewhere = CLOSE if words[1:] else SIMILARITY  # a key without a section may be meant for any
    for above, cutoff in ((words[:-1], SIMILARITY), (words[:1], SIMILARITY), ([], elsewhere)):
        prefix = ".".join([*above, ""]) if words[1:] else ""
        by_last = {key.rpartition(".")[2]: key for key in known if key.startswith(prefix)}
        last = difflib.get_close_matches(words[-1], by_last, n=1, cutoff=cutoff)
        if last:
            return by_last[last[0]]
    return ""


def _settings(one: type) -> Iterator[str]:
    """Names of a class's settings, and of those of its parents that it passes on as ``**settings``."""
    for name, parameter in inspect.signature(one).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            yield from (setting for parent in one.__bases__ if parent is not object for setting in _settings(parent))
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            yield name


def _nearest_or_all(wrong: str, names: set[str]) -> str:
    """The name most like ``wrong``, all of them if none is near, "" if there are none."""
    if not names:
        return ""
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=SIMILARITY)
    return close[0] if close else listed(sorted(names))


def _expected_classes(text: str, types: Mapping[str, Any]) -> list[type]:
    """The classes a message says were expected, else those that fit the key it is about."""
    parents = _expected_parents(text, types)
    return [child for parent in parents for child in (parent, *_subclasses(parent)) if not inspect.isabstract(child)]


def _expected_parents(text: str, types: Mapping[str, Any]) -> list[type]:
    """The classes of the annotation itself."""
    said = " ".join(re.findall(r"Subtypes: \[(.*?)\] Errors:", text))
    named = [getattr(importlib.import_module(module), name) for module, name in _DOTTED_CLASS.findall(said)]
    key = text.partition('key "')[2].partition('"')[0]
    fitting = (one for one in _parts_of(types.get(key)) if isinstance(one, type) and not issubclass(one, BUILT_IN))
    return named or list(fitting)


def _settings_record(text: str, types: Mapping[str, Any]) -> type | None:
    """The class that was expected, if it is the only one and holds settings; its name is not needed."""
    parents = _expected_parents(text, types)
    is_record = len(parents) == 1 and is_dataclass(parents[0]) and not inspect.isabstract(parents[0])
    return parents[0] if is_record and not any(_subclasses(parents[0])) else None


def _about_record(core: str, record: type, value: str) -> str:
    """That a value is no mapping of a record's settings."""
    place = min((core.find(start) for start in NO_SETTINGS_OF_A_CLASS if start in core), default=0)
    names = listed(sorted(_settings(record)))
    return f"{core[:place]}{value:.80} is no mapping of settings; give its settings by name: {names}"


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
                keys |= set(_flatten(read_config_file(path)))
            except ConfigError:
                continue
    return keys


def _flatten(settings: object, prefix: str = "") -> Iterator[str]:
    if not isinstance(settings, Mapping):
        return
    for key, value in settings.items():
        yield f"{prefix}{key}"
        yield from _flatten(value, f"{prefix}{key}.")


#: Characters of a sentence, at most: the parser repeats values whole, and lists every option that begins alike.
MAX_CHARACTERS = 700

_REPLACED = (
    (re.compile(r'Parser key "([\w.]+)": Parser key "([\w.]+)"'), r'Parser key "\1.\2"'),
    (re.compile(r"Expected a <class 'float'>\. Got value: "), "expected a number, got "),
    (re.compile(r"Expected a <class 'int'>\. Got value: "), "expected a whole number, got "),
    (re.compile(r"- Expected a path but .*? either not accessible or invalid( - )?"), ""),
    (re.compile(r"Type [\w.]*Callable\[.*?\] expects a function or a callable class: "), ""),
    (re.compile(r"\.? Subclass types expect one of:.*"), ""),
    (re.compile(r"[. ]*Got value: (Namespace|NestedArg)\(.*"), ""),
    (re.compile(r"Unable to load config .*"), "it is no mapping of settings, nor a file that holds one"),
    (re.compile(r"'\w+' object has no attribute '(keys|__dict__)'"), "init_args is no mapping of settings by name"),
    (re.compile(r"unhashable type: '\w+'|argument of type '\w+' is not .*"), "class_path is no name of a class"),
    (re.compile(r"Option 'class_path' is not accepted"), "beside class_path nothing but init_args may stand"),
)

#: What jsonargparse 4.39 says, and how later versions say it.
_OF_OLD = (
    (re.compile(r"(Validation failed: )?Key ('[\w.]+') is not expected"), r"Option \2 is not accepted"),
    (re.compile(r"(Validation failed: )?(Subcommand '\w+' does not accept) nested key"), r"\2 option"),
)


def tidied(clause: str) -> str:
    """A clause of the parser in words about the user's settings, of bounded length."""
    for pattern, words in _REPLACED:
        clause = pattern.sub(words, clause)
    return shortened(clause)


def shortened(text: str) -> str:
    """A text of bounded length."""
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"


def first_words(text: str) -> str:
    """A complaint of another library on one line, without its markup."""
    return shortened(" ".join(text.replace("`", "").split()))


@contextmanager
def constructing() -> Iterator[None]:
    """Report what a constructor refused, not which types the parser tried before.

    Where several types are allowed, the parser tries each, and older versions keep of what a constructor raises only
    the text.

    Raises:
        ConfigError: With that text, if the parser complains about such a value.
    """
    try:
        yield
    except ValueError as error:
        if NO_TYPE_FITS not in str(error) or known_cause(error) is not None:
            raise
        raise ConfigError(explain(str(error), ())) from error
