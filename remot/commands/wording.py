"""What the parser says of a value, without what only its authors understand."""

import re

#: Characters of a sentence, at most: the parser repeats values whole, and lists every option that begins alike.
MAX_CHARACTERS = 700

_REPLACED = (
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


def in_new_words(text: str) -> str:
    """What an older parser says, as a newer one does."""
    for pattern, words in _OF_OLD:
        text = pattern.sub(words, text)
    return text


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
