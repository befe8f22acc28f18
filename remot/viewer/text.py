"""Text from anywhere as inert HTML."""

import html
import unicodedata

#: Shown of one text; more is cut, with a note.
MAX_SHOWN_CHARS = 4000
#: Shown of a name, such as that of a track.
MAX_NAME_CHARS = 300
#: Characters without a picture: controls, surrogates, private and unassigned ones, line and paragraph separators, and
#: those that change the direction of what stands around them. Joiners belong to words of many languages.
_UNSEEN, _JOINERS = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}, "\u200c\u200d\n\t"


def safe(text: str) -> str:
    """``text`` escaped, with characters that cannot be seen replaced by ones that can."""
    if not text.isprintable():
        text = "".join(_visible(character) for character in text)
    return html.escape(text, quote=True)


def _visible(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in _UNSEEN:
        return character
    return chr(0x2400 + ord(character)) if character < " " else "\ufffd"


def shortened(text: str, limit: int = MAX_SHOWN_CHARS) -> str:
    """The beginning of a text as inert HTML, and how much is missing."""
    if len(text) <= limit:
        return safe(text)
    return f"{safe(text[:limit])}<i> … {len(text) - limit} more characters</i>"
