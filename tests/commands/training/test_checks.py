"""What a training command reads and where it writes, checked before torch is imported."""

from pathlib import Path

import pytest

from remot.commands.training.checks import experiment_folder, require_sources
from remot.errors import AnnotationError, ConfigError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("clips", "work"):
        Path(name).mkdir()


def written(name, text):
    Path(name).write_text(text)
    return ["--config", name]


@pytest.mark.parametrize(
    "words",
    [
        ["--root", "clips"],
        ["--root=embedded/tasks"],
        ["--root", "null"],
        ["--root", "nowhere", "--data.records", "clips"],  # records are read in place of clips
        ["--root", ".", "--data.reader", "TUMReader"],  # whose files no run writes
        ["--root", "clips", "--trainer.default_root_dir", "work"],
        ["--root", "clips", "--resume.allow", "root", "data.root"],  # names of settings
        [],
    ],
)
def test_what_is_there_is_accepted(words):
    require_sources(["fit", *words])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--root", "nowhere"], AnnotationError),
        (["--root=nowhere"], AnnotationError),
        (["--data.records", "nowhere"], ConfigError),
    ],
)
def test_what_is_missing_is_named(words, error):
    with pytest.raises(error, match="nowhere"):
        require_sources(["test", *words])


def test_later_files_and_options_count():
    first, second = written("a.yaml", "root: nowhere"), written("b.yaml", "root: null\ndata: {records: gone.jsonl}")
    with pytest.raises(AnnotationError, match="nowhere"):
        require_sources(["fit", *first])
    with pytest.raises(ConfigError, match=r"gone\.jsonl"):
        require_sources(["fit", *first, *second])
    require_sources(["fit", *first, *second, "--data.records=clips"])


@pytest.mark.parametrize("words", [["--root", "."], ["--root", "work", "--trainer.default_root_dir", "work/of_runs"]])
def test_a_run_does_not_write_among_clips_of_the_native_format(words):
    with pytest.raises(ConfigError, match="runs"):
        require_sources(["fit", *words])


def refusal(capsys, *words):
    from remot.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", "quickstart.yaml", "--offline", *words])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_no_beginning_of_an_option_stands_for_it(capsys):
    assert "(nearest that exists: trainer.max_steps)" in refusal(capsys, "--trainer.max_step", "3")


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["--root", "clips"], "clips: no *.json found"),
        (["--model.policy.source.pretrained", "remot-tny"], "take remot-tiny"),
    ],
)
def test_clips_and_models_that_are_missing_leave_no_run(capsys, words, fact):
    assert fact in refusal(capsys, *words)
    assert [path for path in Path("runs").rglob("*") if path.is_file()] == []


def test_an_experiment_has_its_folder_below_runs(tmp_path):
    """Whatever it is named; Databricks names experiments by their place in its workspace."""
    assert experiment_folder(None, "quickstart") == Path("runs/quickstart")
    assert experiment_folder(str(tmp_path), "/Users/me/motion") == tmp_path / "runs" / "Users" / "me" / "motion"
    for name in ("..", "a/../../b", "../escape", "a\0b"):
        with pytest.raises(ConfigError, match="experiment_name"):
            experiment_folder(None, name)
