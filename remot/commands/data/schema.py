"""``remot data schema``."""

import sys
from importlib.resources import files


def schema_command() -> None:
    """Print the JSON Schema (draft 2020-12) of the native clip format.

    Editors and other languages check clips with it while they are written. It cannot see how lists and files fit
    together: ``remot data validate`` does.
    """
    sys.stdout.write(schema_text())


def schema_text() -> str:
    """The JSON Schema of the native clip format."""
    return (files("remot") / "assets" / "clip.schema.json").read_text(encoding="utf-8")
