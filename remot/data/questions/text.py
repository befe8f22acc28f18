"""Annotated names and texts as prompts and answers hold them."""

#: Longest annotated text in a prompt, in characters.
MAX_TEXT_CHARS = 300


def plain(text: str) -> str:
    """An annotated text for use in a prompt: on one line, of bounded length, without special tokens and elements.

    Annotations come from anywhere; a ``<|video_pad|>`` in one would be taken for the place of a video, and an
    ``<answer>`` for the answer. So no "<" is left: "<|" and "<" become "(", "|>" becomes ")".
    """
    harmless = text[: 4 * MAX_TEXT_CHARS].replace("<|", "(").replace("|>", ")").replace("<", "(")
    return " ".join(harmless.split())[:MAX_TEXT_CHARS]


def called(name: str) -> str:
    """The name of an object or arm, in words."""
    return plain(name.replace("_", " "))
