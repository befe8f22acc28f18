"""Elements such as ``<answer>…</answer>`` and the order they stand in. Tags are literal: lower case, no attributes."""

from collections.abc import Iterator, Sequence
from itertools import pairwise


def elements(text: str, tag: str) -> Iterator[str]:
    """Contents of the elements ``tag``, from an opening tag to the nearest closing tag, as ``<tag>(.*?)</tag>`` finds.

    >>> list(elements("<t>1</t><t><t>2</t>", "t"))
    ['1', '<t>2']
    """
    opening, closing = f"<{tag}>", f"</{tag}>"
    start = text.find(opening)
    while start >= 0:
        start += len(opening)
        end = text.find(closing, start)
        if end < 0:
            return
        yield text[start:end]
        start = text.find(opening, end + len(closing))


def first_element(text: str, tag: str) -> str | None:
    """Content of the first element ``tag``, None if there is none."""
    return next(elements(text, tag), None)


def last_element(text: str, tag: str) -> str | None:
    """Content of the last element ``tag``, None if there is none."""
    last = None
    for last in elements(text, tag):  # noqa: B007 (the last one is meant)
        pass
    return last


def split_last(text: str, tag: str) -> tuple[str, str]:
    """What stands before the last element ``tag``, which has to end the text, and its content; "" and "" without it.

    White space between the two belongs to neither.
    """
    opening, closing = f"<{tag}>", f"</{tag}>"
    start = text.rfind(opening)
    if start < 0 or not text.endswith(closing):
        return "", ""
    return text[:start].rstrip(), text[start + len(opening) : -len(closing)]


def is_sequence(text: str, tags: Sequence[str], *, once: bool = False) -> bool:
    """Whether ``text`` is one element after another with white space between, as ``fullmatch`` of lazy groups says.

    Args:
        text: The whole text.
        tags: Names of the elements in order.
        once: True also asks that each tag occurs exactly once. Without it anything may stand inside an element, as in
            the published patterns, further tags included.
    """
    if not (text.startswith(f"<{tags[0]}>") and text.endswith(f"</{tags[-1]}>")):
        return False
    if once and any(text.count(f"<{slash}{tag}>") != 1 for tag in tags for slash in ("", "/")):
        return False
    position = len(tags[0]) + 2
    for before, after in pairwise(tags):
        position = _after_joint(text, f"</{before}>", f"<{after}>", position)
        if position < 0:
            return False
    return position <= len(text) - len(tags[-1]) - 3


def _after_joint(text: str, closing: str, opening: str, position: int) -> int:
    """End of the first ``closing``, white space, ``opening`` at or after ``position``; -1 if there is none."""
    position = text.find(closing, position)
    while position >= 0:
        position += len(closing)
        while position < len(text) and text[position].isspace():
            position += 1
        if text.startswith(opening, position):
            return position + len(opening)
        position = text.find(closing, position)
    return -1
