"""The words of the questions. Wordings are data, one file for each language; what the answer contract needs is code."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from remot.bounded_yaml import parse_yaml
from remot.errors import ConfigError
from remot.files import cause_of, decode_text, read_bounded
from remot.motion import ATTRIBUTES, Order

#: Largest file of wordings.
MAX_BYTES = 1 << 20

#: What the reasoning calls the questions of a prompt, in order. One word names a line, which a small model finds more
#: easily than the pair of numbers that follows.
ORDINALS = ("first", "second", "third")

#: One line for each pair of images.
PAIR_LINE = "{ordinal}, {first} to {second}: {options}"

#: The last line, by number of questions.
CLOSING = {
    1: "Think, then answer with one letter: <think>...</think><answer>...</answer>",
    3: "Think, then answer with three letters: <think>...</think><answer>...</answer>",
}
#: The same where claims are called T or F.
CLAIM_CLOSING = {
    1: "Think, then answer with T or F: <think>...</think><answer>...</answer>",
    3: "Think, then answer with three letters, each T or F: <think>...</think><answer>...</answer>",
}
#: The same where numbers are asked for.
NUMBER_CLOSING = {
    1: "Think, then answer with one number: <think>...</think><answer>...</answer>",
    3: "Think, then answer with three numbers: <think>...</think><answer>..., ..., ...</answer>",
}


def without_thinking(closing: str) -> str:
    """A closing line that asks for the answer alone.

    >>> without_thinking(CLOSING[1])
    'Answer with one letter: <answer>...</answer>'
    """
    return closing.replace("Think, then answer", "Answer").replace("<think>...</think>", "")


@dataclass(frozen=True)
class Wordings:
    """Texts by attribute, each in several wordings; ``{subject}`` stands for the thing asked about.

    Args:
        choose: Questions with options.
        claims: Headings of lists of claims.
        claim: Claims, by attribute and claimed answer.
        amount: Questions for a signed number.
        most: Questions for the pair with the largest motion.
    """

    choose: Mapping[str, tuple[str, ...]]
    claims: tuple[str, ...]
    claim: Mapping[str, Mapping[str, tuple[str, ...]]]
    amount: Mapping[str, tuple[str, ...]]
    most: Mapping[str, tuple[str, ...]]

    @property
    def num_wordings(self) -> int:
        """The number of wordings that every question with options has."""
        return min(len(wordings) for wordings in self.choose.values())


@cache
def read_wordings(file: Path | None = None) -> Wordings:
    """The wordings in a YAML file; the English ones that come with the library by default.

    Raises:
        ConfigError: If it cannot be read, lacks a section or an attribute, or holds an unknown one.
    """
    file = Path(str(files("remot") / "assets" / "wordings" / "english.yaml")) if file is None else file
    content = read_yaml_mapping(file)
    sections = {field.name for field in fields(Wordings)}
    if content.keys() != sections:
        msg = f"the wordings {file} must have the sections {', '.join(sorted(sections))} and no other"
        raise ConfigError(msg)
    orders = [name for name, attribute in ATTRIBUTES.items() if isinstance(attribute, Order)]
    choose, amount, most = (
        {name: _texts(file, f"{section}: {name}", texts) for name, texts in _section(file, content, section, needed)}
        for section, needed in (("choose", ATTRIBUTES), ("amount", orders), ("most", orders))
    )
    claim = {}
    for name, found in _section(file, content, "claim", ATTRIBUTES):
        values = ATTRIBUTES[name].values
        if not isinstance(found, dict) or set(found) != set(values):
            msg = f"{file}: claim: {name} must hold texts for {', '.join(values)} and nothing else"
            raise ConfigError(msg)
        claim[name] = {value: _texts(file, f"claim: {name}: {value}", texts) for value, texts in found.items()}
    return Wordings(choose, _texts(file, "claims", content["claims"]), claim, amount, most)


def read_yaml_mapping(file: Path) -> dict[str, Any]:
    """What a file of wordings holds, nothing if it is no mapping; a ConfigError if it cannot be read."""
    try:
        content = parse_yaml(decode_text(read_bounded(file, MAX_BYTES)))
    except (OSError, ValueError) as error:
        msg = f"the wordings {file} cannot be read: {cause_of(error)}"
        raise ConfigError(msg) from error
    return content if isinstance(content, dict) else {}


def _section(file: Path, content: Mapping[str, Any], section: str, needed: Iterable[str]) -> list[tuple[str, object]]:
    """What a section holds for each attribute, which has to be ``needed`` exactly."""
    found = content[section] if isinstance(content[section], dict) else {}
    if wrong := sorted(map(str, set(needed) ^ found.keys())):
        kinds = "attribute" if section in {"choose", "claim"} else "attribute that is measured along one line"
        msg = f"{file}: {section} must hold every {kinds} and nothing else; look at {wrong[0]}"
        raise ConfigError(msg)
    return list(found.items())


def require_texts(where: str, texts: object) -> tuple[str, ...]:
    """A list of texts of a file of wordings; a ConfigError if it is something else, or one is empty."""
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        msg = f"{where} must be a list of texts"
        raise ConfigError(msg)
    return tuple(texts)


def _texts(file: Path, where: str, held: object) -> tuple[str, ...]:
    texts = require_texts(f"{file}: {where}", held)
    for text in texts:
        if set("{}") & set(text.replace("{subject}", "")):
            msg = f"{file}: {where}: {text!r} may hold {{subject}} and no other braces"
            raise ConfigError(msg)
        if len(text.splitlines()) > 1:
            msg = f"{file}: {where}: {text!r} must be a single line, since prompts are parsed line by line"
            raise ConfigError(msg)
    return texts
