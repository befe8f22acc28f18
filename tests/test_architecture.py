"""Who may import whom, how long things may be, and that importing the library costs nothing.

The rules are those of docs/architecture.md, as tables. They are checked on the syntax tree, so that an import inside a
function counts as well.
"""

import ast
import graphlib
import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import remot

PACKAGE = Path(remot.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
SOURCES = {file: (PACKAGE / file).read_text() for file in FILES}
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60

LEAF = {
    *(
        "structures",
        "motion",
        "answers",
        "errors",
        "files",
        "seeding",
        "distributed",
        "bounded_cache",
        "bounded_http",
        "bounded_yaml",
        "strict_json",
        "deadline",
        "locks",
        "stopping",
    ),
    *("_version", "bounded_yaml"),
    *("lazy", "terminal"),
}

#: For each part of the library the other parts it may import. Everything may import the leaf, the leaf only itself.
MAY_IMPORT = {
    "losses": set(),
    "rewards": set(),
    "models": set(),
    "data": set(),
    "viewer": set(),
    "synthetic": {"data"},
    "datatools": {"data", "viewer"},
    "environments": {"rewards"},
    "rollout": {"models", "environments"},
    "evaluation": {"models", "rewards", "rollout", "data", "datatools", "viewer", "environments"},
    "tracking": {"evaluation"},
    "strategies": {"losses", "rewards", "models", "rollout", "evaluation", "environments"},
    "callbacks": {"strategies", "evaluation", "tracking"},
    "commands": {
        "callbacks",
        "strategies",
        "evaluation",
        "rewards",
        "tracking",
        "data",
        "datatools",
        "synthetic",
        "models",
        "rollout",
        "viewer",
    },
    "cli": {"commands"},
    "__main__": {"cli"},
    "__init__": {"data", "losses", "models", "rewards", "strategies"},  # names for type checkers, imported on use
}

#: Parts that only files below a folder of another part may import: the scores of a fit need no data.
ONLY_BELOW = {
    ("evaluation", "data"): "evaluation/benchmarks/",
    ("evaluation", "datatools"): "evaluation/benchmarks/",
}

#: Where a library with a home may be imported; folders end with a slash.
HOMES = {
    "transformers": ("models/",),
    "peft": ("models/",),
    "bitsandbytes": ("models/",),
    "tokenizers": ("models/",),
    "safetensors": ("models/",),
    "av": ("data/media/",),
    "lmms_eval": ("evaluation/benchmarks/harness/",),
    "pyarrow": ("data/annotations/", "data/records/", "datatools/convert/"),
    "fsspec": ("data/remote/",),
    "h5py": ("data/annotations/", "data/media/"),
    "mlflow": ("tracking/",),
    "matplotlib": ("tracking/plot.py",),
    "scipy": ("evaluation/paired.py",),
    "filelock": ("locks.py", "tracking/courier.py"),
    "rouge_score": ("rewards/functional/text.py",),
    "jiwer": ("rewards/functional/text.py",),
    "vizdoom": ("synthetic/simulators/",),
    "mujoco": ("synthetic/simulators/",),
    "gym_aloha": ("synthetic/simulators/",),
    "miniworld": ("synthetic/simulators/",),
    "gymnasium": ("synthetic/simulators/",),
    "jsonargparse": ("commands/", "tracking/save_config.py"),
    "yaml": ("commands/", "bounded_yaml.py", "evaluation/model_card.py"),
    "lightning": (
        "strategies/module.py",
        "strategies/checkpoint_io.py",
        "strategies/evaluation.py",
        "data/datamodule.py",
        "callbacks/",
        "tracking/",
        "commands/",
    ),
}

#: The only libraries besides the standard one that these parts may import at all.
ONLY = {
    "leaf": {"torch", "numpy", "yaml", "rich", "filelock"},
    "losses": {"torch", "numpy"},
    "rewards": {"torch", "numpy", "rouge_score", "jiwer"},
    "rollout": {"torch"},
    "environments": {"torch", "numpy"},
}


tree_of = cache(ast.parse)


def json_writers(tree):
    """Calls of ``json.dump`` and ``json.dumps`` that would write NaN, which is not JSON."""
    for node in ast.walk(tree):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if is_call and ast.unparse(node.func) in ("json.dump", "json.dumps"):
            settings = {one.arg: ast.unparse(one.value) for one in node.keywords}
            if settings.get("allow_nan") != "False":
                yield node.lineno


def test_written_json_is_strict():
    writers = {file: list(json_writers(tree_of(SOURCES[file]))) for file in FILES if "json" in SOURCES[file]}
    assert {file: lines for file, lines in writers.items() if lines} == {}


def test_the_check_of_json_can_fail():
    assert list(json_writers(ast.parse("x = json.dumps(y)"))) == [1]
    assert list(json_writers(ast.parse("x = json.dumps(y, allow_nan=False)"))) == []


def imported_names(tree):
    """Dotted names of everything imported; a relative import has its dots in front."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from [f"remot.{alias.name}" for alias in node.names] if base == "remot" else [base]


def part_of(file):
    """Part of the library a file belongs to: a folder, a top-level module, or ``leaf``."""
    part = file.split("/")[0].removesuffix(".py")
    return "leaf" if part in LEAF else part


def internal_violation(file, name):
    part, target = part_of(file), name.split(".")[1]
    if not file.startswith(ONLY_BELOW.get((part, target), "")):
        return True
    return not (target in LEAF or target == part or target in MAY_IMPORT.get(part, set()))


def external_violation(file, name):
    library = name.split(".")[0]
    if library in sys.stdlib_module_names:
        return False
    if not file.startswith(HOMES.get(library, file)):
        return True
    return library not in ONLY.get(part_of(file), {library})


def violations(file, source):
    """The imports of ``source``, were it the file ``file`` of the library, that break a rule."""
    broken = []
    for name in imported_names(tree_of(source)):
        if name.startswith("."):
            broken.append(f"{file} imports {name} by a relative path")
        elif name.split(".")[0] == "remot":
            broken += [f"{file} imports {name}"] if internal_violation(file, name) else []
        elif external_violation(file, name):
            broken.append(f"{file} imports {name}")
    return broken


def imports_within(files):
    """For each file of the library the other files that it imports, imports within functions included."""
    modules = {file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file for file in files}
    found = {}
    for file, source in files.items():
        names = []
        for node in ast.walk(tree_of(source)):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                names += [one if one.removeprefix("remot.") in modules else node.module for one in whole]
        targets = (modules.get(name.removeprefix("remot.")) for name in names if name and name.startswith("remot"))
        found[file] = {target for target in targets if target not in {None, file}}
    return found


def circles(files):
    """Circles among the entries of each folder, at any depth; an ``__init__.py`` only gathers names and is left out."""
    edges = imports_within(files)
    folders = {"/".join(file.split("/")[:depth]) for file in files for depth in range(file.count("/") + 1)}
    found = []
    for folder in sorted(folders):
        prefix = f"{folder}/" if folder else ""
        graph = {}
        for file, targets in edges.items():
            for target in targets:
                if file.startswith(prefix) and target.startswith(prefix):
                    ours, theirs = (one.removeprefix(prefix).split("/")[0] for one in (file, target))
                    if "__init__.py" not in (ours, theirs) and ours != theirs:
                        graph.setdefault(ours, set()).add(theirs)
        try:
            tuple(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            found.append(f"{folder or 'remot'}: {' -> '.join(error.args[1])}")
    return found


def long_functions(file, source):
    """Functions with more lines than allowed, their docstring not counted."""
    found = []
    for node in ast.walk(tree_of(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            found += [f"{file}: {node.name} has {lines} lines"] if lines > MAX_FUNCTION_LINES else []
    return found


# -- the library ---------------------------------------------------------------------------------------------------


def test_the_rules_are_about_this_library():
    """Every part has a rule, the rules have no cycle, and there is something to check."""
    assert {part_of(file) for file in FILES} == {*MAY_IMPORT, "leaf"}
    assert {file.split("/")[0].removesuffix(".py") for file in FILES} >= LEAF
    tuple(graphlib.TopologicalSorter(MAY_IMPORT).static_order())
    assert len(FILES) > 50


def test_imports():
    assert [broken for file in FILES for broken in violations(file, SOURCES[file])] == []


def test_no_circles_at_any_depth():
    assert circles(SOURCES) == []


def test_a_circle_is_found():
    """Between two folders below a third one, by an import within a function; two files of one folder count too."""
    files = {
        "data/a/x.py": "from remot.data.b.y import z",
        "data/b/y.py": "def f():\n    from remot.data.a import w",
        "data/a/w.py": "",
    }
    assert circles(files) == ["data: a -> b -> a"] or circles(files) == ["data: b -> a -> b"]
    assert circles(files | {"data/b/y.py": ""}) == []
    assert len(circles({"m/p.py": "import remot.m.q", "m/q.py": "from remot.m import p"})) == 1


def test_sizes():
    assert [file for file, source in SOURCES.items() if len(source.splitlines()) > MAX_FILE_LINES] == []
    assert [found for file, source in SOURCES.items() for found in long_functions(file, source)] == []


def test_every_module_can_be_imported():
    for file in FILES:
        name = "remot." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        module = importlib.import_module(name.removesuffix(".__init__"))
        assert module.__doc__, file


HEAVY = ("torch", "numpy", "lightning", "transformers", "mlflow", "av", "PIL", "matplotlib", "jsonargparse", "peft")


@pytest.mark.parametrize(
    "code",
    ["import remot", "import remot.cli", "import remot.cli; remot.cli.main(['--help'])", "import remot.commands"],
)
def test_importing_is_light(code):
    """A fresh interpreter that has done nothing else has loaded no large library."""
    report = f"\nimport sys; print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_heavy_are_noticed():
    """The same report after an import that does load one."""
    report = f"import sys, remot.seeding; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['numpy']"


# -- the checker ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("structures.py", "import lightning"),
        ("motion.py", "import transformers.models"),
        ("answers.py", "from remot.data import collate"),
        ("errors.py", "import PIL"),
        ("losses/grpo.py", "from remot.models.policy import VLMPolicy"),
        ("losses/grpo.py", "from remot.rewards import Reward"),
        ("losses/kl.py", "import scipy"),
        ("rewards/format.py", "def f():\n    from transformers import AutoModel"),
        ("models/policy.py", "from remot.data.datasets.loaders import collate_prompts"),
        ("models/policy.py", "import lightning.pytorch as pl"),
        ("data/datamodule.py", "from remot.rewards import Reward"),
        ("data/datamodule.py", "from remot.models import VLMPolicy"),
        ("synthetic/rendering/scene.py", "import av"),
        ("data/datamodule.py", "from remot.datatools.validation import check_clips"),
        ("data/clips/splits.py", "from remot import strategies"),
        ("evaluation/report.py", "from remot import __version__"),
        ("data/clips/splits.py", "from lightning import LightningDataModule"),
        ("rollout/sampling.py", "from transformers import GenerationConfig"),
        ("rollout/sampling.py", "from remot.strategies import GRPO"),
        ("strategies/grpo/objective.py", "import lightning"),
        ("strategies/module.py", "import mlflow"),
        ("strategies/module.py", "from remot.callbacks import RunSummary"),
        ("evaluation/scores.py", "from remot.strategies import GRPO"),
        ("evaluation/scores.py", "from remot.data.records.jsonl import read_lines"),
        ("evaluation/report.py", "from remot.datatools.audit.blind import score_blind"),
        ("evaluation/benchmarks/runner.py", "from remot.strategies.settings import PolicySettings"),
        ("evaluation/benchmarks/runner.py", "import pyarrow"),
        ("callbacks/summary.py", "import mlflow.entities"),
        ("cli.py", "from remot.strategies import GRPO"),
        ("cli.py", "import lightning"),
        ("data/datamodule.py", "from . import clips"),
        ("data/datamodule.py", "from ..models import VLMPolicy"),
    ],
)
def test_a_forbidden_import_is_found(file, source):
    assert len(violations(file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("structures.py", "import numpy as np\nfrom torch import Tensor\nfrom remot.errors import AnnotationError"),
        ("strategies/module.py", "import lightning\nfrom remot.models.policy import VLMPolicy"),
        ("data/media/video/seeking.py", "import av\nimport av.container"),
        ("tracking/client.py", "from mlflow import MlflowClient\nimport sqlite3"),
        ("data/records/tables.py", "import pyarrow.parquet\nfrom remot.data.records.jsonl import read_lines"),
        (
            "commands/model.py",
            "from remot._version import __version__\nfrom remot.data.datamodule import MotionDataModule",
        ),
    ],
)
def test_an_allowed_import_is_not(file, source):
    assert violations(file, source) == []


def test_a_long_function_is_found_and_its_docstring_is_not_counted():
    body = "    x = 1\n" * (MAX_FUNCTION_LINES - 1)
    docstring = '    """Say.\n' + "    much\n" * 30 + '    """\n'
    assert long_functions("f.py", f"def f():\n{docstring}{body}") == []
    assert long_functions("f.py", f"class A:\n  def f(self):\n{body}    x = 2\n") == ["f.py: f has 61 lines"]
