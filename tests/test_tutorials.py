"""Every file and command of the tutorials, in order, in an empty folder; real models are small random ones."""

import re
import runpy
import shlex
import sys

import pytest

from remot.cli import main
from tests.data.handmade import mixed_clips, write_folder
from tests.helpers import PROJECT
from tests.tiny import model_folder

#: All but the one that tests/test_own_questions.py runs at full size.
TUTORIALS = sorted(page for page in (PROJECT / "docs" / "tutorials").glob("*.md") if page.stem != "own_questions")
BLOCK = re.compile(r'^```(\w+)(?: title="(\S+)")?\n(.*?)^```$', flags=re.DOTALL | re.MULTILINE)
#: A tutorial's runs at the smallest size: the page says what they do at full size.
SHORT = {
    "trainer.max_steps": 2, "trainer.log_every_n_steps": 1, "trainer.accelerator": "cpu", "data.batch_size": 2,
    "data.num_workers": 0,
    "data.num_train_prompts_per_epoch": 8, "data.num_val_prompts": 2, "data.num_test_prompts": 2,
    "model.grpo.num_completions": 2, "model.grpo.max_new_tokens": 8, "model.evaluation.max_new_tokens": 8,
}  # fmt: skip
#: Folders that a simulator fills; the commands that need one stand in blocks of another language, and are not run here.
RECORDED = ("game", "other_maps", "roaming")
#: In place of the real weights.
TINY = {"model.policy.source.dtype": "float32", "model.policy.source.allow_download": "false"}
pytestmark = pytest.mark.usefixtures("parser_of_one_subcommand")


def steps(page):
    """Language, title and text of each block, in order."""
    return BLOCK.findall(page.read_text())


def commands(text):
    """The command lines of a shell block, as words, without variables before them and comments behind them."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and "=" in words[0]:
            words = words[1:]
        if words:
            yield words


def options_of(settings):
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))]


def newest_run(folder):
    return max(folder.glob("runs/*/*/last.ckpt"), key=lambda file: file.stat().st_mtime).parent


def made_small(words, folder):
    """The words of a ``remot`` command at the smallest size, with weights and runs that exist."""
    words = [word.replace("NAME", newest_run(folder).name) if "/NAME/" in word else word for word in words]
    store = f"sqlite:///{folder}/mlflow.db"  # MLflow keeps a relative path open across working folders
    if words[0] == "compare":
        return [*words, "--tracking_uri", store]
    if words[:2] == ["data", "build"]:
        return [*words, "--num_triplets", "60"]
    if words[0] == "export":
        return [*words, "--base_name", "Qwen/Qwen3-VL-4B-Instruct"]  # the random weights are a folder
    if words[0] not in ("fit", "test"):
        return words
    settings = SHORT | {"trainer.logger.init_args.tracking_uri": store}
    if any("configs/" in word and "quickstart" not in word for word in words):
        settings |= TINY | {"model.policy.source.pretrained": model_folder()}
    if words[0] == "test":
        settings.pop("trainer.max_steps")
    return words + options_of(settings)


def remot_words(words):
    """What follows ``remot``, also after ``torchrun``, whose configuration for several GPUs is left out here."""
    kept = words[words.index("remot") + 1 :]
    if words[0] == "torchrun":
        place = kept.index("configs/devices/ddp.yaml")
        kept = kept[: place - 1] + kept[place + 1 :]
    return kept


def test_there_are_tutorials():
    names = {page.stem for page in TUTORIALS}
    assert {"own_clips", "own_reward", "real_model", "reproduce_remot", "read_the_report", "no_learning"} <= names
    assert "game_to_real" in names
    assert all(any(language == "bash" for language, _, _ in steps(page)) for page in TUTORIALS)


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_from_its_first_command_to_its_last(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "configs").symlink_to(PROJECT / "configs")
    for folder in ("my_clips", *RECORDED):
        write_folder(tmp_path / folder, mixed_clips(12))
    before = set(sys.modules)
    num_commands = 0
    for language, title, text in steps(page):
        if title:
            (tmp_path / title).write_text(text)
        elif language == "bash":
            for words in commands(text):
                num_commands += 1
                if words[0] == "python":
                    runpy.run_path(words[1], run_name="__main__")
                else:
                    main(made_small(remot_words(words), tmp_path))
    assert num_commands
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name}.py").exists():
            del sys.modules[name]


@pytest.mark.slow
def test_the_notebook_runs_and_its_policy_improves(tmp_path):
    """Its last cell prints the scores of 64 held-out prompts before and after ten steps."""
    nbformat = pytest.importorskip("nbformat")  # of the extra `docs`
    from nbclient import NotebookClient

    notebook = nbformat.read(PROJECT / "docs" / "notebooks" / "first_run.ipynb", as_version=4)
    NotebookClient(notebook, timeout=280, kernel_name="python3").execute(cwd=str(tmp_path))
    printed = "".join(output.get("text", "") for output in notebook.cells[-2].outputs)
    scores = {name: (float(old), float(new)) for name, old, new in re.findall(r"(test/\w+)\s+(\S+) -> (\S+)", printed)}
    assert scores["test/partial"][1] > scores["test/partial"][0]
    assert scores["test/logic"][1] > scores["test/logic"][0]
