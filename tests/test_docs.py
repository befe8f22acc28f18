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


def faults_by_page(faults, pages=CURRENT):
    """What ``faults`` finds in each page, of those with any."""
    return {str(page.relative_to(PROJECT)): found for page in pages if (found := list(faults(page)))}


def without_code(text):
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors_of(page):
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    assert len((PROJECT / "README.md").read_text().split()) < MAX_README_WORDS


def broken_links(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            yield target


def test_links_lead_somewhere():
    assert faults_by_page(broken_links, PAGES) == {}


def missing_files(page):
    """Paths in code font that are not below the project, the library, the tests or the folder of the page."""
    inside = (PROJECT, PROJECT / "remot", PROJECT / "tests", PROJECT / "tests" / "rewards", page.parent)
    named = re.findall(r"`((?:[\w.-]+/)*[\w-]+\.py|(?:remot|data|models|rewards|configs)/[\w/.-]*)`", page.read_text())
    return [name for name in named if name != "my_motion.py" and not any((root / name).exists() for root in inside)]


def test_named_files_exist():
    assert faults_by_page(missing_files) == {}


def resolves(dotted):
    """Whether a dotted name is a module, or an attribute of one."""
    module, _, name = dotted.rpartition(".")
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(dotted)
        return True
    with contextlib.suppress(ModuleNotFoundError, ValueError):
        return hasattr(importlib.import_module(module), name)
    return False


def missing_names(page):
    text = re.sub(
        r"^\| tags \|.*$|tags? `remot\.\w+`|`remot\.(checkpoint|source_run)`", "", page.read_text(), flags=re.M
    )
    named = set(re.findall(r"(?<![\w/.-])(remot(?:\.\w+)+)", text))
    return [name for name in sorted(named - {"remot.yaml"}) if not resolves(name)]


def test_named_modules_and_classes_exist():
    assert faults_by_page(missing_names) == {}


def keys_of_data():
    """Keys below ``data`` of the configuration."""
    own = set(inspect.signature(MotionDataModule).parameters)
    return own | {f"options.{field.name}" for field in fields(DataOptions)}


def test_named_keys_of_data_exist():
    known = keys_of_data() | {"py"}

    def missing_keys(page):
        named = re.findall(r"(?:`|--)data\.(options\.\w+|[a-z_]+)", page.read_text())
        return [key for key in named if key not in known]

    assert faults_by_page(missing_keys, [*CURRENT, *PROJECT.glob("configs/**/*.yaml")]) == {}


#: What the first word of a line of the shell may be; ``sh`` and ``console`` are blocks that no test runs.
PROGRAMS = ("remot", "python", "pip", "torchrun", "transformers", "apt-get")
BLOCK = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", flags=re.DOTALL | re.MULTILINE)


def commands_of(page):
    """Every ``remot …`` of a page's shell blocks, as words, without a prompt, a loop or variables before them."""
    blocks = [text for language, text in BLOCK.findall(page.read_text()) if language in ("bash", "sh", "console")]
    for line in "".join(blocks).replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\||; do |;| & ", line):
            text = re.sub(r"^\s*(\$ |srun |[A-Z_]+=\S* )*", "", part)
            if text.startswith(("remot ", "torchrun ")):
                words = shlex.split(text, comments=True)
                yield words[words.index("remot") + 1 :]


def commands_without_a_language(page):
    for language, text in BLOCK.findall(page.read_text()):
        if not language:
            yield from (line for line in text.splitlines() if line.split(" ")[0] in PROGRAMS)


def test_blocks_of_commands_are_blocks_of_the_shell():
    """What stands in a block without a language is read by no test of commands."""
    assert faults_by_page(commands_without_a_language) == {}


def own_command(words):
    """The command's function and the words after its name; None for a command of the trainer."""
    chosen = COMMANDS.get(words[0])
    if chosen is None:
        assert words[0] in TRAINING, words
        return None, words[1:]
    return (chosen, words[1:]) if isinstance(chosen, Own) else (chosen[words[1]], words[2:])


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(PROJECT)))
def test_commands_have_the_options_shown(page):
    for words in commands_of(page):
        command, arguments = own_command(words)
        options = {word[2:].partition("=")[0] for word in arguments if word.startswith("--")}
        if command is not None and options != {"help"}:
            assert options <= set(option_types(command.load())), words
            assert command.positional or not arguments[:1] or arguments[0].startswith("--"), words


def missing_configurations(page):
    for words in commands_of(page):
        for option, file in pairwise(words):
            if option == "--config" and "/" in file and not (PROJECT / file).is_file():
                yield file


def test_configurations_of_commands_exist():
    assert faults_by_page(missing_configurations) == {}


def empty_blocks(page):
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL)
    return [block for block in blocks if yaml.safe_load(block) is None]


def test_yaml_blocks_are_yaml():
    assert faults_by_page(empty_blocks) == {}


def test_folders_for_load_dataset_are_not_named_like_a_reader_of_datasets():
    """``load_dataset("parquet")`` reads every file of the working folder, not the folder of that name."""
    readers = re.compile(r"""load_dataset\("(?:parquet|json|csv|text|arrow|imagefolder|videofolder)"\)""")
    assert faults_by_page(lambda page: readers.findall(page.read_text())) == {}
