"""The README and the pages of docs/ name files, modules, keys and options that exist."""

import contextlib
import importlib
import inspect
import re
import shlex
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

import remot
from remot.commands.dispatch import COMMANDS, TRAINING, Own
from remot.commands.parsing.functions import option_types
from remot.data.datamodule import DataOptions, MotionDataModule

PROJECT = Path(remot.__file__).parents[1]
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), PROJECT / "benchmarks" / "README.md"])
#: Changes name what is gone.
CURRENT = [page for page in PAGES if page.name != "CHANGELOG.md"]
MAX_README_WORDS = 1200

each_page = pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(PROJECT)))


def without_code(text):
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors_of(page):
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    assert len((PROJECT / "README.md").read_text().split()) < MAX_README_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors_of(file), target


@each_page
def test_named_files_exist(page):
    """A path in code font stands below the project, the library, the tests or the folder of the page."""
    inside = (PROJECT, PROJECT / "remot", PROJECT / "tests", PROJECT / "tests" / "rewards", page.parent)
    named = re.findall(r"`((?:[\w.-]+/)*[\w-]+\.py|(?:remot|data|models|rewards|configs)/[\w/.-]*)`", page.read_text())
    missing = [name for name in named if name != "my_motion.py" and not any((root / name).exists() for root in inside)]
    assert missing == []


def resolves(dotted):
    """Whether a dotted name is a module, or an attribute of one."""
    module, _, name = dotted.rpartition(".")
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(dotted)
        return True
    with contextlib.suppress(ModuleNotFoundError, ValueError):
        return hasattr(importlib.import_module(module), name)
    return False


@each_page
def test_named_modules_and_classes_exist(page):
    text = re.sub(
        r"^\| tags \|.*$|tags? `remot\.\w+`|`remot\.(checkpoint|source_run)`", "", page.read_text(), flags=re.M
    )
    named = set(re.findall(r"(?<![\w/.-])(remot(?:\.\w+)+)", text))
    assert [name for name in sorted(named - {"remot.yaml"}) if not resolves(name)] == []


def keys_of_data():
    """Keys below ``data`` of the configuration."""
    own = set(inspect.signature(MotionDataModule).parameters)
    return own | {f"options.{field.name}" for field in fields(DataOptions)}


@pytest.mark.parametrize(
    "page", [*CURRENT, *PROJECT.glob("configs/**/*.yaml")], ids=lambda p: str(p.relative_to(PROJECT))
)
def test_named_keys_of_data_exist(page):
    known = keys_of_data()
    text = page.read_text()
    named = re.findall(r"(?:`|--)data\.(options\.\w+|[a-z_]+)", text)
    assert [key for key in named if key not in known and key != "py"] == []


def commands_of(page):
    """Every ``remot …`` of a page's shell blocks, as words."""
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|", line):
                words = shlex.split(part, comments=True)
                if "remot" in words and words[:1] in (["remot"], ["torchrun"]):
                    yield words[words.index("remot") + 1 :]


def own_command(words):
    """The command's function and the words after its name; None for a command of the trainer."""
    chosen = COMMANDS.get(words[0])
    if chosen is None:
        assert words[0] in TRAINING, words
        return None, words[1:]
    return (chosen, words[1:]) if isinstance(chosen, Own) else (chosen[words[1]], words[2:])


@each_page
def test_commands_have_the_options_shown(page):
    for words in commands_of(page):
        command, arguments = own_command(words)
        options = {word[2:].partition("=")[0] for word in arguments if word.startswith("--")}
        if command is not None and options != {"help"}:
            assert options <= set(option_types(command.load())), words
            assert command.positional or not arguments[:1] or arguments[0].startswith("--"), words


@each_page
def test_configurations_of_commands_exist(page):
    for words in commands_of(page):
        for option, file in pairwise(words):
            if option == "--config" and "/" in file:
                assert (PROJECT / file).is_file(), words


@each_page
def test_yaml_blocks_are_yaml(page):
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL):
        assert yaml.safe_load(block) is not None
