"""Malformed command lines and configurations: each ends in one sentence and exit code 2, and no traceback."""

import errno
import os

import pytest
import torch

from remot.cli import EXIT_BAD_INPUT, main
from remot.commands.parsing.errors import constructing, explain
from remot.commands.training.cli import _known_fault
from remot.errors import ConfigError
from tests.commands.parsing.test_errors import QUICKSTART, _no_model_is_loaded, complaint

__all__ = ["_no_model_is_loaded", "complaint"]  # fixtures

WITHOUT_LOGGER = ("--config", QUICKSTART, "--trainer.logger", "false")
#: Line k + 1 stands for 10 ** (k + 1) texts and the lists that hold them: 111111 values in the fifth.
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 9)
)


# -- the trainer, whose settings are Lightning's ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--trainer.max_time.hourz", "3"], ["trainer.max_time", "'hourz'", "nearest that exists: hours"]),
        (["--trainer.max_time", "{hourz: 3}"], ["trainer.max_time", "'hourz'", "nearest that exists: hours"]),
        (["--trainer.max_time", "{fortnights: 3}"], ["'fortnights'", "weeks, days, hours, minutes, seconds"]),
        (["--trainer.max_time", "3 hours"], ["trainer.max_time", "'3 hours'", "DD:HH:MM:SS"]),
        (["--trainer.devices", "lots"], ["trainer", "devices", "should be an int > 0"]),
        (["--trainer.accelerator", "abacus"], ["trainer", "accelerator='abacus'"]),
        (["--trainer.strategy", "foo"], ["trainer", "strategy='foo'"]),
        (["--trainer.max_steps", "-5"], ["trainer", "max_steps", "-5"]),
        (["--trainer.limit_val_batches", "7.5"], ["trainer", "limit_val_batches", "7.5"]),
        (["--trainer.profiler", "foo"], ["trainer", "profiler"]),
        (["--trainer.num_nodes", "0"], ["trainer", "num_nodes", "0"]),
        (["--trainer.gradient_clip_val", "1.0"], ["trainer.gradient_clip_val", "model.gradient_clip_norm"]),
        (["--checkpoint.save_top_k", "-7"], ["save_top_k=-7"]),
        (["--checkpoint.mode", "foo"], ["mode", "foo"]),
        (["--seed_everything", "-5"], ["seed_everything is -5", "from 0 to 4294967295"]),
        (["--seed_everything", "4294967296"], ["seed_everything is 4294967296", "from 0 to 4294967295"]),
        (["--data.num_workers", "-1"], ["num_workers is -1"]),
        (["--data.val_fraction", ".nan"], ["data.val_fraction is NaN"]),
        (["--model.optimizer.init_args.lr", ".nan"], ["lr is NaN"]),
        (["--trainer.check_val_every_n_epoch", "0"], ["trainer.check_val_every_n_epoch is 0"]),
        (["--model.policy.adaptation.init_args.alpha", ".inf"], ["alpha inf"]),
    ],
)
def test_settings_of_the_trainer(complaint, arguments, told):
    sentence = complaint("fit", *WITHOUT_LOGGER, *arguments)
    assert all(word in sentence for word in told), sentence


def test_a_batch_job_that_lightning_cannot_use(complaint, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert "--ntasks-per-node=2" in complaint("fit", *WITHOUT_LOGGER)


@pytest.mark.parametrize("max_time", ["00:01:00:00", "{hours: 3, minutes: 30}"])
def test_times_that_are_right_are_no_mistake(complaint, max_time):
    """The run gets as far as its clips."""
    assert "nowhere" in complaint("fit", *WITHOUT_LOGGER, "--trainer.max_time", max_time, "--root", "nowhere")


def test_runs_have_no_folder_below_a_file(complaint, tmp_path):
    (tmp_path / "file").touch()
    sentence = complaint("fit", *WITHOUT_LOGGER, "--trainer.default_root_dir", "file/below")
    assert f"{tmp_path / 'file'} is a file" in sentence
    assert "trainer.default_root_dir" in sentence


def test_damaged_checkpoint_of_a_file(complaint, tmp_path):
    """Named in a configuration, not on the command line."""
    (tmp_path / "bad.ckpt").write_bytes(b"")
    (tmp_path / "more.yaml").write_text("ckpt_path: bad.ckpt\n")
    assert "bad.ckpt cannot be read" in complaint("test", "--config", QUICKSTART, "--config", "more.yaml")


@pytest.mark.slow
def test_unknown_place_for_results(complaint):
    sentence = complaint("fit", "--config", QUICKSTART, "--trainer.logger.init_args.tracking_uri", "foo://x")
    assert "foo://x" in sentence
    assert "Namespace(" not in sentence


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("tracking_uri", "sqlite:///folder", "folder of tracking_uri is no SQLite file"),
        ("tracking_uri", "sqlite:///text.db", "text.db of tracking_uri is no SQLite file"),
        ("experiment_name", "", "experiment_name is empty"),
    ],
)
def test_places_that_results_cannot_go_to(complaint, tmp_path, key, value, told):
    """MLflow would notice once the model is there, after minutes of retries."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.db").write_text("not a database at all")
    assert told in complaint("fit", "--config", QUICKSTART, f"--trainer.logger.init_args.{key}", value)


@pytest.mark.parametrize("name", ["LOCAL_RANK", "WORLD_SIZE", "SLURM_NTASKS", "PL_GLOBAL_SEED"])
def test_launchers_variables(complaint, monkeypatch, name):
    monkeypatch.setenv(name, "x")
    sentence = complaint("fit", *WITHOUT_LOGGER)
    assert f"{name} is 'x'" in sentence


# -- classes and their settings -----------------------------------------------------------------------------------

REWARD = "--model.grpo.reward"
REMOT_REWARD = "class_path: remot.rewards.ReMoTReward"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([f"{REWARD}.init_args.scale", "0"], "conciseness needs target_length >= 0, scale > 0"),
        (["--data.tasks", "[{class_path: TrackNearest, init_args: {max_nodes: 1}}]"], "track_nearest: num_graphs is"),
        ([REWARD, "{class_path: nomodule.Foo}"], "No module named 'nomodule'"),
        ([REWARD, "{class_path: remot.rewards.Nope}"], "'remot.rewards' has no attribute 'Nope'"),
        ([REWARD, "{class_path: torch.nn.Linear}"], "torch.nn.Linear does not correspond to a subclass of Reward"),
        (["--data.tasks", "[{class_path: os.path}]"], "os.path does not correspond to a subclass of Task"),
        (["--data.tasks", "[{class_path: remot.data.tasks.Task}]"], "abstract"),
        (["--data.tasks", "[{class_path: 3}]"], "class_path is no name of a class"),
        (["--data.tasks", "[{class_path: [a]}]"], "class_path is no name of a class"),
        ([REWARD, f"{{{REMOT_REWARD}, init_args: [1]}}"], "init_args is no mapping"),
        ([REWARD, f"{{{REMOT_REWARD}, init_args: hello}}"], "init_args is no mapping"),
        ([REWARD, f"{{{REMOT_REWARD}, foo: 3}}"], "beside class_path nothing but init_args may stand"),
        (["--data.tasks", "[null]"], "Not a valid subclass of Task. Got value: None"),
        (["--model.optimizer.init_args.lr", "fast"], "Expected a <class 'float'>, got fast"),
        (["--trainer.devices.x", "3"], "Expected a <class 'int'> or <class 'str'>, got"),
        (["--model", "null"], "it is no mapping of settings"),
    ],
)
def test_classes_and_their_settings(complaint, arguments, told):
    sentence = complaint("fit", *WITHOUT_LOGGER, *arguments)
    assert told in sentence
    assert "Expected a path" not in sentence
    assert "Subclass types" not in sentence


def test_settings_of_the_class_that_was_named(complaint):
    """Not those of all rewards, and none of another section."""
    sentence = complaint("fit", *WITHOUT_LOGGER, REWARD, f"{{{REMOT_REWARD}, init_args: {{lr: 3}}}}")
    own = "accuracy_weight, conciseness_weight, format_weight, logic_weight, scale, target_length"
    assert sentence.endswith(f"Option 'lr' is not accepted (nearest that exists: {own})")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("Validation failed: Key 'lr' is not expected", "Option 'lr' is not accepted (nearest that exists: scale)"),
        (
            "Validation failed: Subcommand 'fit' does not accept nested key 'model.gpro.b'",
            "Subcommand 'fit' does not accept option 'model.gpro.b' (nearest that exists: model.grpo)",
        ),
    ],
)
def test_words_of_older_parsers(older, newer):
    """jsonargparse 4.39 says the same in other words; of one class's settings the parser knows all."""
    types = {"scale": float} if "Key" in older else {}
    assert explain(older, ["model.grpo", "scale"], types) == newer


def test_what_is_no_optimizer():
    """jsonargparse 4.39 lets it through, to be refused once the policy is there."""
    told = (
        'Parser key "model.optimizer":\n'
        "  - Expected a path but {class_path: torch.nn.Linear} either not accessible or invalid\n"
        "  - Type typing.Callable[[collections.abc.Iterable], torch.optim.optimizer.Optimizer] expects a function or a "
        "callable class: Expected 'torch.nn.Linear' to be a subclass of <class 'Optimizer'>.. Got value: "
        "Namespace(class_path='torch.nn.Linear')"
    )
    should = "Parser key \"model.optimizer\": Expected 'torch.nn.Linear' to be a subclass of <class 'Optimizer'>"
    assert explain(told, []) == should


@pytest.mark.parametrize("words", [["--trainer.callbacks.foo", "3"], ["--data.", "3"], ["--root", "x" * 5000]])
def test_sentences_have_an_end(complaint, words):
    assert len(complaint("fit", *WITHOUT_LOGGER, *words)) < 900


# -- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["fit"], ["data", "audit"], ["data", "build", "--out", "new"]])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (BOMB, "line 5: aliases stand for more than 20000 values"),
        (f"{BOMB}data: {{tasks: *a8}}", "line 5: aliases stand for more than 20000 values"),
        ("data: &d\n  tasks: *d\n", "nested more than 50 deep"),
        (f"data: {'[' * 3000}{']' * 3000}", "values are nested more than 50 deep"),
        ("data:\n\tbatch_size: 3\n", "line 2, column 1"),
        ("data:\n  batch_size: 3\n  batch_size: 4\n", "line 3: 'batch_size' is there already in line 2"),
        ("data: {}\nroot: a\ndata: {}\n", "line 3: 'data' is there already in line 1"),
        (b"root: caf\xe9\n", "can't decode byte 0xe9"),
        ("", "no mapping of settings"),
        ("- 1\n", "no mapping of settings"),
        ("data: {}\n---\ndata: {}\n", "expected a single document"),
        ("data: !!python/object/apply:os.getcwd []\n", "could not determine a constructor for the tag"),
        (f"root: {'x' * (1 << 20)}\n", "more than 1048576 bytes"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_malformed_files(complaint, tmp_path, command, content, told):
    (tmp_path / "bad.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    sentence = complaint(*command, "--config", "bad.yaml")
    assert told in sentence
    assert "bad.yaml" in sentence


def test_section_that_is_a_list(complaint, tmp_path):
    """The parser passes over it, and would train with the defaults."""
    (tmp_path / "bad.yaml").write_text("data: [1]\n")
    sentence = complaint("fit", *WITHOUT_LOGGER, "--config", "bad.yaml")
    assert "bad.yaml: data is a list" in sentence


def test_anchors_are_no_bombs(complaint, tmp_path):
    """The run gets as far as its clips, of which there are none."""
    (tmp_path / "good.yaml").write_text("data:\n  val_fraction: &f 0.1\n  test_fraction: *f\nroot: nowhere\n")
    assert "nowhere" in complaint("fit", *WITHOUT_LOGGER, "--config", "good.yaml")


@pytest.mark.parametrize(
    "words",
    [
        ["data", "audit", "x" * 5000],
        ["data", "show", "x" * 5000],
        ["data", "validate", "x" * 5000],
        ["data", "render", "--out", "file"],
        ["data", "render", "--out", "new", "--num_clips", "-3"],
        ["data", "render", "--out", "new", "--num_clips", "1", "--seed", "-1"],
    ],
    ids=lambda words: " ".join(words)[:24],
)
def test_files_that_cannot_be(complaint, tmp_path, words):
    (tmp_path / "file").touch()
    assert len(complaint(*words)) < 400


def test_missing_file_of_the_library_keeps_its_traceback(monkeypatch):
    """Only what a disk says of a file that is there, or has no room, is the user's."""

    def broken(_):
        raise FileNotFoundError(errno.ENOENT, "No such file", "asset.json")

    monkeypatch.setattr("remot.commands.run", broken)
    with pytest.raises(FileNotFoundError):
        main(["fit"])


def test_runs_in_a_folder_that_is_no_utf8(complaint, tmp_path):
    """Such as one of Latin-1, which an export would find out about after the training."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/d\xf6rf")
    assert "dcf6rf" in complaint("fit", *WITHOUT_LOGGER, "--trainer.default_root_dir", folder)


def test_full_disk(monkeypatch, capfd):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device", "runs/last.ckpt")

    monkeypatch.setattr("remot.commands.run", full)
    with pytest.raises(SystemExit) as stop:
        main(["fit"])
    assert stop.value.code == EXIT_BAD_INPUT
    assert capfd.readouterr().err == "remot: runs/last.ckpt: No space left on device\n"


NO_MEMORY = "[enforce fail] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 128 bytes."


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("tried to allocate 2 GiB"), RuntimeError(NO_MEMORY)]
)
def test_memory_that_runs_out(monkeypatch, capfd, error):
    """In any command, also while libraries are imported; PyTorch has an error of its own for GPUs alone."""

    def no_room(_):
        raise error

    monkeypatch.setattr("remot.commands.run", no_room)
    with pytest.raises(SystemExit) as stop:
        main(["fit"])
    assert stop.value.code == EXIT_BAD_INPUT
    assert capfd.readouterr().err.startswith("remot: memory ran out (")
    assert "model.grpo.max_new_tokens" in str(_known_fault(error))  # a training knows what to lower


def test_constructors_that_older_parsers_only_quote():
    """jsonargparse 4.39 keeps the text of what a constructor raises among what it says of types, and no exception."""
    quoted = (
        "Does not validate against any of the Union subtypes\n"
        "Subtypes: [<class 'NoneType'>, <class 'remot.strategies.grpo.objective.GRPOObjective'>]\n"
        "Errors:\n"
        "  - Expected a <class 'NoneType'>\n"
        "  - Does not validate against any of the Union subtypes\n"
        "    Subtypes: [<class 'NoneType'>, <class 'remot.rewards.base.Reward'>]\n"
        "    Errors:\n"
        "      - Expected a <class 'NoneType'>\n"
        "      - conciseness needs scale > 0; got 20.0, 0.0, -1\n"
        "    Given value type: <class 'jsonargparse._namespace.Namespace'>\n"
        "    Given value: Namespace(class_path='remot.rewards.ReMoTReward')\n"
    )
    with pytest.raises(ConfigError, match=r"^conciseness needs scale > 0; got 20\.0, 0\.0, -1$"), constructing():
        raise ValueError(quoted)
    with pytest.raises(ValueError, match=r"^a defect$"), constructing():
        raise ValueError("a defect")
