"""Packaged recipes: found by name from any folder, listed, printed, and part of a built wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from remot.cli import main
from remot.commands.configs import find_config, recipes, recipes_folder, with_recipes
from remot.commands.dispatch import COMMANDS
from remot.errors import ConfigError

PROJECT = Path(__file__).parents[2]
QUICKSTART = PROJECT / "configs" / "quickstart.yaml"


def test_a_recipe_is_found_by_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("quickstart.yaml") == QUICKSTART
    assert find_config("configs/losses/dapo.yaml") == PROJECT / "configs/losses/dapo.yaml"
    words = ["fit", "--config", "quickstart.yaml", "--config=losses/dapo.yaml", "--root", "x.yaml"]
    dapo = PROJECT / "configs/losses/dapo.yaml"
    assert with_recipes(words) == ["fit", "--config", str(QUICKSTART), f"--config={dapo}", "--root", "x.yaml"]


def test_a_file_at_the_path_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quickstart.yaml").write_text("seed_everything: 1")
    assert find_config("quickstart.yaml") == Path("quickstart.yaml")


@pytest.mark.parametrize("name", ["../pyproject.toml", "nope.yaml", "x" * 5000 + ".yaml", "losses"])
def test_another_name_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        find_config(name)
    assert name[:50] in str(refused.value)


def test_recipes_are_listed_with_their_first_sentence(capsys):
    listed = dict(recipes())
    assert set(listed) == {
        file.relative_to(PROJECT / "configs").as_posix() for file in recipes_folder().rglob("*.yaml")
    }
    assert listed["quickstart.yaml"].startswith("The first run: remot-tiny")
    assert listed["losses/two_sided.yaml"].endswith("(DeepSeek-V3.2, arXiv 2512.02556).")  # of two lines
    assert listed["losses/dr_grpo.yaml"].startswith("Dr. GRPO (arXiv 2503.20783): no deviation")
    assert listed["data/re10k.yaml"] == (PROJECT / "configs/data/re10k.yaml").read_text().splitlines()[0][2:]
    main(["configs"])
    assert len(capsys.readouterr().out.splitlines()) == len(listed)


def test_a_recipe_is_printed_and_copied(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["configs", "quickstart.yaml"])
    assert capsys.readouterr().out == QUICKSTART.read_text()
    main(["configs", "quickstart.yaml", "--copy", "mine.yaml"])
    assert Path("mine.yaml").read_text() == QUICKSTART.read_text()
    assert "mine.yaml" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["configs", "quickstart.yaml", "--copy", "mine.yaml"])
    assert stop.value.code == 2
    assert "mine.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["fit", "--config", "nope.yaml"], "nope.yaml"),
        (["test", "--config=nope.yaml"], "nope.yaml"),
        (["fit"], "--config"),
        (["fit", "--root", "clips", "--data.batch_size=2"], "--config"),
        (["validate", "--root=clips"], "--config"),
        (["fit", "--config"], "--config"),
        (["fit", "-c", "--root", "clips"], "-c"),
        (["fit", "--config", "nope"], "nope"),
        (["fit", "--config", "."], "--config ."),
        (["data", "build", "--out", "out", "--config", "nope.yaml"], "nope.yaml"),
        (["fit", "--config", "quickstart.yml"], "did you mean quickstart.yaml?"),
        (["fit", "--config", "cispo"], "did you mean losses/cispo.yaml?"),
        (["fit", "--config", "quickstart.yaml", "--root", "nowhere"], "nowhere: there is no such folder"),
        (["test", "--config", "quickstart.yaml", "--data.records=no.jsonl"], "no.jsonl"),
        (["predict", "--config", "quickstart.yaml", "--ckpt_path", "gone.ckpt"], "gone.ckpt does not exist"),
        (["export", "--ckpt_path=gone.ckpt", "--out", "out"], "gone.ckpt does not exist"),
        (["evaluate", "--benchmark", "remot-bench", "--ckpt_path", "gone.ckpt"], "gone.ckpt does not exist"),
        (["data", "score", "--config", "quickstart.yaml", "--ckpt_path", "gone.ckpt"], "gone.ckpt does not exist"),
        (["export", "--model", "remot-tiny", "--out", sys.prefix], "not an empty folder"),
        (["replay", sys.prefix], "no step was skipped"),
    ],
)
def test_a_missing_file_is_reported_before_torch_is_imported(tmp_path, words, named):
    code = (
        "import sys\nfrom remot.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(sorted({'torch', 'lightning', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr
    assert done.stdout.strip() == "[]"


#: Commands that need neither torch nor a model.
QUICK = [
    *(["data", name, "--help"] for name in COMMANDS["data"]),
    *(["record", name, "--help"] for name in COMMANDS["record"]),
    *(["data", name, "--rot", "x"] for name in ("build", "audit", "show", "validate")),
    *(["data", name] for name in ("audit", "show", "validate")),
    ["data"],
    ["compare"],
    ["compare", "--help"],
    ["score", "--help"],
    ["evaluate", "--help"],
    ["evaluate", "--benchmark", "vsi", "--model", "remot-tiny"],
    ["export", "--help"],
    ["view", "--help"],
    ["sweep", "--help"],
    ["model", "blank", "--help"],
    ["fit", "--help"],
]


def test_neither_torch_nor_transformers_is_imported(tmp_path):
    """By help, the list of commands, and a comparison, whose experiment is missing here."""
    code = (
        "import sys\nfrom remot.cli import main\n"
        f"for words in {QUICK!r}:\n"
        "    try: main(words)\n"
        "    except SystemExit: pass\n"
        "    heavy = sorted({'torch', 'lightning', 'transformers'} & set(sys.modules))\n"
        "    if heavy: break\n"
        "print(f'{words if heavy else None} {heavy}', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == "None []"
    assert done.stdout.count("usage") >= len(COMMANDS["data"])


def test_the_data_commands_import_neither_lightning_nor_transformers(tmp_path):
    """Frames are tensors of torch; prompts need no trainer and no model."""
    code = (
        "import sys\nfrom remot.cli import main\n"
        "main(['data', 'build', '--config', 'quickstart.yaml', '--out', 'out', '--num_triplets', '4'])\n"
        "main(['data', 'show', 'out'])\n"
        "main(['data', 'validate', '--config', 'quickstart.yaml', '--root', 'embedded/tasks', '--decode', 'false',\n"
        "    '--reader', 'remot.data.annotations.NativeReader'])\n"
        "try: main(['data', 'audit', 'out'])\n"
        "finally: print(sorted({'lightning', 'transformers', 'mlflow', 'peft'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == "[]"
    assert "written to out" in done.stdout


@pytest.mark.slow
def test_a_wheel_carries_the_recipes(tmp_path):
    words = ["pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(PROJECT)]
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {f"remot/configs/{name}" for name, _ in recipes()} <= names
