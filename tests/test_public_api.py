"""Public names: one table for the interpreter, the type checker and ``import *``; nothing heavy until one is used."""

import ast
import importlib
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import remot

PACKAGES = ("remot", "remot.data")


def names_for_type_checkers(file):
    """The names imported under ``if TYPE_CHECKING``, by module."""
    tests = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.If)]
    [block] = [node for node in tests if ast.unparse(node.test) == "TYPE_CHECKING"]
    return {line.module: {alias.name for alias in line.names} for line in block.body}


@pytest.mark.parametrize("package", PACKAGES)
def test_one_table_of_names(package):
    module = importlib.import_module(package)
    homes = {home: set(names) for home, names in module.HOMES.items()}
    assert names_for_type_checkers(Path(module.__file__)) == homes
    assert sorted(set(module.__all__) - {"__version__"}) == sorted(name for names in homes.values() for name in names)
    for home, names in homes.items():
        for name in names:
            assert getattr(module, name) is getattr(importlib.import_module(home), name)


def test_names_of_the_documentation():
    wanted = (
        "MotionDataModule PostTrainingModule GRPO SFT SFTThenGRPO AlternatingSFTGRPO LoRA QLoRA FullWeights Clip "
        "Reward ReMoTReward GRPOLoss MotionContrast Task"
    )
    assert set(wanted.split()) <= set(remot.__all__)


@pytest.mark.parametrize("package", [*PACKAGES, "remot.rewards", "remot.losses", "remot.strategies", "remot.models"])
def test_a_star_import_gives_all_names(package):
    names = {}
    exec(f"from {package} import *", names)
    assert set(importlib.import_module(package).__all__) <= set(names)


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="GRPPO") as refused:
        getattr(importlib.import_module(package), "GRPPO")  # noqa: B009 - a bare attribute has no effect
    assert refused.value.name == "GRPPO"


@pytest.mark.parametrize("code", ["import remot", "import remot.data", "import remot; help(remot); dir(remot)"])
def test_nothing_heavy_is_imported(code):
    report = "\nimport sys; print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_help_is_a_page_with_an_example_that_parses():
    assert len(pydoc.render_doc(remot, renderer=pydoc.plaintext).splitlines()) < 100
    lines = inspect.getdoc(remot).splitlines()
    example = "\n".join(line.removeprefix("    ") for line in lines if line.startswith("    "))
    assert {node.module for node in ast.walk(ast.parse(example)) if isinstance(node, ast.ImportFrom)} == {"remot"}
    imported = [line for line in ast.parse(example).body if isinstance(line, ast.ImportFrom)]
    assert {alias.name for line in imported for alias in line.names} <= set(remot.__all__)
