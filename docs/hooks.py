"""Hooks of the documentation build: pages of the repository that stand outside docs/, and links to them."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from remot.commands.dispatch import COMMANDS, Own
from remot.commands.parsing.functions import option_groups

PROJECT = Path(__file__).resolve().parent.parent
#: Folder of the site that holds files from outside docs/, under their path in the repository.
OUTSIDE = "project"
PATTERNS = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "benchmarks/README.md", "benchmarks/results/*.md")
#: Sphinx's roles in docstrings, before the code that they mark.
ROLE = re.compile(r":(?:class|meth|func|mod|attr|data|exc):(?=<code>)")
LINK = re.compile(r"\[([^\[\]]*)\]\((?!https?:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:  # noqa: ANN401 (what mkdocs passes)
    """Add the pages outside docs/ that others link to."""
    for pattern in PATTERNS:
        for file in sorted(PROJECT.glob(pattern)):
            name = f"{OUTSIDE}/{file.relative_to(PROJECT).as_posix()}"
            files.append(File.generated(config, name, abs_src_path=str(file)))
    return files


def command_reference() -> str:
    """A section for each command, filled by the docstrings of its function and of its groups of options."""
    options = ("show_root_heading: false", "show_root_toc_entry: false", "heading_level: 4", "members: false")
    shown = "".join(f"      {option}\n" for option in options)
    sections = []
    for name, chosen in COMMANDS.items():
        for second, command in {"": chosen}.items() if isinstance(chosen, Own) else chosen.items():
            groups = [f"{group.__module__}.{group.__name__}" for group in option_groups(command.load()).values()]
            places = [command.place.replace(":", "."), *groups]
            filled = "".join(f"\n::: {place}\n    options:\n{shown}" for place in places)
            sections.append(f"\n## `remot {f'{name} {second}'.strip()}`\n{filled}")
    return "".join(sections)


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:  # noqa: ANN401 (what mkdocs passes)
    """Point links at where the site has the linked file; a link to a file that the site has not becomes its text."""
    source = page.file.src_uri
    if source == "reference/commands.md":
        markdown += command_reference()
    in_repository = source.removeprefix(f"{OUTSIDE}/") if source.startswith(f"{OUTSIDE}/") else f"docs/{source}"

    def located(match: re.Match[str]) -> str:
        text, link, anchor = match[1], match[2], match[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(in_repository), link))
        inside = target.startswith("docs/")
        there = target.removeprefix("docs/") if inside else f"{OUTSIDE}/{target}"
        if not inside and files.get_file_from_path(there) is None:
            return text
        return f"[{text}]({posixpath.relpath(there, posixpath.dirname(source) or '.')}{anchor})"

    return LINK.sub(located, markdown)


def on_page_content(html: str, **_: Any) -> str:  # noqa: ANN401 (what mkdocs passes)
    """Leave out the roles of docstrings, which the page would show as text."""
    return ROLE.sub("", html)
