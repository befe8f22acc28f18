"""Text from anywhere, made safe to print."""


def printable(text: str) -> str:
    """``text`` without the control characters that could take over a terminal; line ends and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
