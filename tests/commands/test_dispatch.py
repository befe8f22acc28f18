"""Which command runs, and what is said about one that does not exist."""

import builtins
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from remot.cli import EXIT_BAD_INPUT, main
from remot.commands.dispatch import COMMANDS, HELP, TRAINING, Own

OWN = [
    (first, *second)
    for first, found in COMMANDS.items()
    for second in ([()] if isinstance(found, Own) else [(name,) for name in found])
]


def own(words):
    found = COMMANDS[words[0]]
    return found if isinstance(found, Own) else found[words[1]]


def complaint(capsys, *words):
    """The one sentence about a command that must fail."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert stop.value.code == EXIT_BAD_INPUT
    assert out == ""
    (line,) = err.splitlines()
    return line.removeprefix("remot: ")


@pytest.mark.parametrize("words", OWN, ids=" ".join)
def test_every_command_is_there_and_documented(words):
    function = own(words).load()
    assert callable(function)
    assert function.__doc__.splitlines()[0].endswith(".")
    positional = own(words).positional
    assert not positional or positional in function.__code__.co_varnames[: function.__code__.co_argcount]


@pytest.mark.parametrize("words", OWN, ids=" ".join)
def test_every_command_has_help(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: remot {' '.join(words)}")
    assert "remot.commands" not in out


@pytest.mark.parametrize("name", [*TRAINING, "doctor"])
def test_python_without_docstrings_is_refused_before_torch_is_imported(name, monkeypatch, capsys):
    monkeypatch.setattr("remot.errors.sys", SimpleNamespace(flags=SimpleNamespace(optimize=2)))
    monkeypatch.setattr("remot.commands.dispatch.require_numeric_variables", lambda: pytest.fail("too late"))
    assert "PYTHONOPTIMIZE=2" in complaint(capsys, name, "--config", "quickstart.yaml")


def test_the_overview_names_every_command(capsys):
    main([])
    out = capsys.readouterr().out
    assert out == HELP
    for words in [*OWN, *((name,) for name in TRAINING)]:
        named = "record vizdoom" if words[0] == "record" else " ".join(words)
        assert f"remot {named}" in out
        assert words[-1] in out


@pytest.mark.parametrize("group", [name for name, found in COMMANDS.items() if not isinstance(found, Own)])
@pytest.mark.parametrize("asked", [[], ["--help"], ["-h"]])
def test_a_group_lists_its_commands(group, asked, capsys):
    main([group, *asked])
    out = capsys.readouterr().out
    assert out.startswith(f"usage: remot {group} COMMAND")
    for name, command in COMMANDS[group].items():
        assert f"  {name:10} {command.load().__doc__.splitlines()[0]}" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fti"], "remot has no command 'fti', did you mean 'fit'?"),
        (["recrod"], "remot has no command 'recrod', did you mean 'record'?"),
        (["zzz"], f"remot has no command 'zzz', choose from {', '.join((*TRAINING, *COMMANDS))}"),
        (["data", "audti"], "remot data has no command 'audti', did you mean 'audit'?"),
        (
            ["data", "zzz"],
            f"remot data has no command 'zzz', choose from {', '.join(COMMANDS['data'])}",
        ),
        (
            ["record", "minecraft"],
            "remot record has no command 'minecraft', choose from vizdoom, aloha, miniworld, photos",
        ),
        (["record", "vizdom"], "remot record has no command 'vizdom', did you mean 'vizdoom'?"),
        (["model", "black"], "remot model has no command 'black', did you mean 'blank'?"),
        (["data", "x" * 500], "remot data has no command"),
    ],
)
def test_a_command_that_does_not_exist(words, sentence, capsys):
    told = complaint(capsys, *words)
    assert told.startswith(sentence)
    assert len(told) < 300


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["export"], "--out"),
        (["score"], "--config and --input"),
        (["data", "merge"], "FOLDER and --out"),
        (["view"], "RUNS"),
    ],
)
def test_missing_options_are_named_as_they_are_written(words, needed, capsys):
    prog = f"remot {' '.join(words)}"
    assert complaint(capsys, *words) == f"{prog} needs {needed}; see: {prog} --help"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["record", "vizdoom"], "OUT"),
        (["record", "vizdoom", "--out", "x", "--num_clip", "3"], "num_clips"),
        (["record", "vizdoom", "--out", "x", "--num_clips", "0"], "num_clips is 0, record at least one clip"),
        (["record", "vizdoom", "--out", "x", "--motion", "fly"], "motion"),
        (["record", "aloha", "x", "--num_clips", "-1"], "num_clips is -1"),
        (["record", "miniworld", "--out", "x", "--num_clips", "two"], "num_clips"),
    ],
)
def test_mistakes_of_recorders(words, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sentence in complaint(capsys, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "package"), [("vizdoom", "vizdoom"), ("aloha", "mujoco"), ("miniworld", "miniworld")])
def test_a_missing_simulator_gets_a_one_line_error(name, package, capsys, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(wanted, *rest, **named):
        if wanted.partition(".")[0] == package:
            msg = f"No module named {package!r}"
            raise ModuleNotFoundError(msg)
        return real(wanted, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    told = complaint(capsys, "record", name, "--out", tmp_path / "clips", "--num_clips", 1)
    assert "needs a package that is missing (No module named '" in told
    assert "): pip install" in told
    assert not (tmp_path / "clips").exists()


def test_a_recorder_writes_what_it_is_asked_for(capsys, tmp_path, monkeypatch):
    """The word after the command is the folder; the dispatcher does not check the simulator."""
    asked = []
    monkeypatch.setattr(
        "remot.commands.data.record._record", lambda record, out, *rest, **_: asked.append((record, out, *rest))
    )
    main(["record", "vizdoom", str(tmp_path), "--num_clips", "3", "--seed", "5"])
    main(["record", "aloha", "--out", str(tmp_path)])
    named = [(getattr(record, "func", record).__name__, out, num, seed) for record, out, num, seed, _ in asked]
    assert named == [
        ("record_walk", tmp_path, 3, 5),
        ("record_arms", tmp_path, 8, 0),
    ]
    assert capsys.readouterr().err == ""


def test_naming_a_command_loads_no_other(tmp_path):
    """The schema needs neither torch nor Lightning; a mistake in a name needs nothing at all."""
    for words, code in ((["data", "schema"], 0), (["data", "shwo"], EXIT_BAD_INPUT), (["recrod"], EXIT_BAD_INPUT)):
        heavy = "{'torch', 'lightning', 'transformers', 'mlflow'}"
        source = (
            f"import sys\nfrom remot.cli import main\ntry:\n    main({words!r})\n"
            f"finally:\n    print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert done.returncode == code
        assert done.stderr.splitlines()[0] == "[]" or done.stderr.splitlines()[-1] == "[]"


def test_the_list_of_commands_holds_their_first_lines():
    """Without importing them, so the words stand twice."""
    grouped = [own for chosen in COMMANDS.values() if not isinstance(chosen, Own) for own in chosen.values()]
    assert len(grouped) >= 10
    for own in grouped:
        assert own.summary == (own.load().__doc__ or "").splitlines()[0]


def test_a_reader_that_leaves_early_ends_the_command_without_a_traceback():
    """As ``remot configs | head -1``: the process ends as by SIGPIPE, and prints nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        ended = subprocess.run(
            [sys.executable, "-m", "remot", "configs"], stdout=closed, stderr=subprocess.PIPE, timeout=60
        )
    assert (ended.returncode, ended.stderr) == (128 + 13, b"")


def test_ctrl_c_ends_a_command_without_a_traceback(monkeypatch, capsys):
    """With the exit code that shells give for it."""

    def interrupted(_words):
        raise KeyboardInterrupt

    monkeypatch.setattr("remot.commands.run", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(["configs"])
    assert stop.value.code == 128 + signal.SIGINT
    assert capsys.readouterr().err == "remot: stopped by Ctrl-C\n"
