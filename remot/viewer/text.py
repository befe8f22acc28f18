"""Text from anywhere as inert HTML."""

from remot.terminal import printable_html

#: Shown of one text; more is cut, with a note.
MAX_SHOWN_CHARS = 4000
#: Shown of a name, such as that of a track.
MAX_NAME_CHARS = 300


def shortened(text: str, limit: int = MAX_SHOWN_CHARS) -> str:
    """The beginning of a text as inert HTML, and how much is missing."""
    if len(text) <= limit:
        return printable_html(text)
    return f"{printable_html(text[:limit])}<i> … {len(text) - limit} more characters</i>"
