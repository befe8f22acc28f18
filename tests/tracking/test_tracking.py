import json
import math
import os
import socket
import sqlite3
import subprocess
import sys
import time
import warnings
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from jsonargparse import ArgumentParser
from jsonargparse.typing import path_type
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger

from remot.callbacks import StoppedBySignal
from remot.cli import main
from remot.commands.training.cli import RemotCLI
from remot.errors import ConfigError
from remot.tracking import (
    MLflowSaveConfig,
    compare_command,
    compare_runs,
    log_run_facts,
    log_samples_html,
    log_table,
    mark_killed,
    plot_comparison,
    quiet_mlflow,
)
from remot.tracking import client as client_module
from remot.tracking.client import require_writable
from remot.tracking.command import save
from remot.tracking.compare import CONTINUED_WITH, CompareTable, _settings, continued_with
from remot.tracking.courier import _changes, _log_params, short
from remot.tracking.groups import RunRow, full_key, group_runs, settings_that_matter, short_names
from remot.tracking.plot import _group_label, running_mean
from remot.tracking.render import run_cells, shown_setting, to_json, to_markdown
from remot.tracking.run_log import git_commit
from remot.tracking.save_config import flatten
from remot.tracking.significance import significance
from tests.helpers import assert_close

EXPERIMENT = "quickstart"


def add_run(client, experiment_id, *, strategy, seed, base, final, status="FINISHED", name=None, steps=40, **params):
    start = 1_000 * (1 + len(client.search_runs([experiment_id])))
    run_id = client.create_run(experiment_id, run_name=name or f"{strategy}-{seed}", start_time=start).info.run_id
    client.set_tag(run_id, "remot.strategy", strategy)
    client.set_tag(run_id, "remot.base_model", "remot-tiny")
    client.log_param(run_id, "seed_everything", seed)
    for key, value in {"trainer.max_steps": 40, "model.seed": seed, **params}.items():
        client.log_param(run_id, key, value)
    for prefix, partial, step in (("eval/base", base, 0), ("eval/final", final, steps)):
        if partial is not None:
            client.log_metric(run_id, f"{prefix}/partial", partial, step=step)
            client.log_metric(run_id, f"{prefix}/overall", partial / 2, step=step)
    for step in range(9, steps, 10):  # Lightning's first step is step 0
        client.log_metric(run_id, "train/reward/total", (step + 1) / 10, step=step)
    if status != "RUNNING":
        client.set_terminated(run_id, status, end_time=start + 180_000)
    return run_id


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """One SQLite store (seconds to make) with four runs, read by most tests here; others write other experiments."""
    quiet_mlflow()
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri)
    experiment = client.create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    add_run(client, experiment, strategy="GRPO", seed=0, base=0.4, final=0.6)
    add_run(client, experiment, strategy="GRPO", seed=1, base=0.5, final=0.8)
    add_run(client, experiment, strategy="SFT", seed=0, base=0.4, final=0.5, name="a|b\x1b[31m[bold]x")
    add_run(client, experiment, strategy="GRPO", seed=2, base=0.4, final=None, status="FAILED", steps=20)
    return uri


@pytest.fixture
def logger(store, tmp_path):
    return MLFlowLogger(tmp_path.name, tracking_uri=store, artifact_location=tmp_path.as_uri())


def artifact(logger, name):
    from mlflow.artifacts import load_text

    return load_text(f"{logger.experiment.get_run(logger.run_id).info.artifact_uri}/{name}")


def test_runs_are_read(store):
    table = compare_runs(store, EXPERIMENT)
    first = table.runs[0]
    assert (first.name, first.strategy, first.base_model, first.seed) == ("GRPO-0", "GRPO", "remot-tiny", 0)
    assert (first.steps, first.minutes, first.is_finished) == (40, 3.0, True)
    assert first.base == {"partial": 0.4, "overall": 0.2}
    assert_close(first.change["partial"], 0.2)
    assert first.curve == ((9, 1.0), (19, 2.0), (29, 3.0), (39, 4.0))


def test_unfinished_runs_are_flagged_and_not_averaged(store):
    table = compare_runs(store, EXPERIMENT)
    failed = table.runs[3]
    assert (failed.status, failed.is_finished, failed.steps, failed.change) == ("FAILED", False, 20, {})
    assert [row.num_runs for row in table.groups] == [2, 1]


def test_a_run_that_was_not_evaluated_is_no_unfinished_one(store):
    """As with ``held_out.enabled: false``: it ended by itself after 40 steps, and has no score to average."""
    from mlflow import MlflowClient

    client = MlflowClient(store)
    experiment = client.create_experiment("not evaluated")
    add_run(client, experiment, strategy="SFT", seed=0, base=None, final=None)
    table = compare_runs(store, "not evaluated")
    assert (table.runs[0].steps, run_cells(table)[1][0][-1], table.groups) == (40, "not evaluated", ())


def test_spread_by_hand(store):
    """Partial 0.6 and 0.8: mean 0.7, deviation sqrt((0.1² + 0.1²) / (2 - 1)) = 0.1·√2; one run has none."""
    grpo, sft = compare_runs(store, EXPERIMENT).groups
    assert (grpo.shared("strategy"), grpo.seeds, sft.seeds) == ("GRPO", (0, 1), (0,))
    assert_close([grpo.final["partial"].mean, grpo.final["partial"].std], [0.7, 0.1 * math.sqrt(2)])
    assert_close([grpo.change["partial"].mean, grpo.change["partial"].std], [0.25, 0.05 * math.sqrt(2)])
    assert sft.final["partial"].std is None


def test_runs_of_other_length_are_not_averaged(store):
    from mlflow import MlflowClient

    client = MlflowClient(store)
    experiment = client.create_experiment("lengths")
    for steps in (40, 80):
        add_run(client, experiment, strategy="GRPO", seed=0, base=0.4, final=0.6, steps=steps)
    assert [row.shared("steps") for row in compare_runs(store, "lengths").groups] == ["40", "80"]


LR, LOGIC = "model.optimizer.init_args.lr", "model.grpo.reward.init_args.logic_weight"


@pytest.fixture(scope="session")
def sweep(store):
    """Two seeds of three settings, of which two share a learning rate, in an experiment of their own."""
    from mlflow import MlflowClient

    client = MlflowClient(store)
    experiment = client.create_experiment("sweep")
    for number, (lr, logic) in enumerate([("0.0004", "1.7"), ("0.1", "1.7"), ("0.1", "0")]):
        for seed in (0, 1):
            settings = {LR: lr, LOGIC: logic, "checkpoint.dirpath": f"runs/{number}-{seed}", "data.options.seed": seed}
            add_run(client, experiment, strategy="GRPO", seed=seed, base=0.4, final=0.5 + number / 10, **settings)
    return store


def test_runs_of_other_settings_are_not_averaged(sweep):
    """Six runs, three settings: by hand two runs each, named by the two keys that differ and by no other."""
    record = json.loads(to_json(compare_runs(sweep, "sweep")))
    assert [group["settings"] for group in record["groups"]] == [
        {LOGIC: "1.7", LR: "0.0004"},
        {LOGIC: "1.7", LR: "0.1"},
        {LOGIC: "0", LR: "0.1"},
    ]
    assert [(group["seeds"], group["num_settings"]) for group in record["groups"]] == [([0, 1], 1)] * 3
    assert_close([group["final"]["partial"]["mean"] for group in record["groups"]], [0.5, 0.6, 0.7])


def test_settings_that_differ_are_columns_and_labels(sweep, tmp_path):
    table = compare_runs(sweep, "sweep")
    header = next(line for line in to_markdown(table).splitlines() if line.startswith("| group"))
    assert "| logic_weight | lr |" in header
    assert _group_label(table, table.groups[1]) == ["GRPO", "logic_weight 1.7", "lr 0.1", "40 steps, n=2"]
    assert plot_comparison(table, tmp_path / "a.png").stat().st_size > 10_000


@pytest.mark.slow
def test_labels_of_many_settings_have_room_in_the_plot(store, tmp_path):
    """Two groups that differ in twenty settings: labels of 22 lines, below bars that keep their height."""
    from mlflow import MlflowClient

    client = MlflowClient(store)
    experiment = client.create_experiment("many")
    for seed, value in enumerate("12"):
        settings = {f"model.grpo.reward.init_args.setting_{number}": value for number in range(20)}
        add_run(client, experiment, strategy="GRPO", seed=seed, base=0.4, final=0.5, **settings)
    table = compare_runs(store, "many")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns where nothing is left of a plot
        assert plot_comparison(table, tmp_path / "a.png").stat().st_size > 10_000


def test_by_pools_over_everything_else(sweep, capsys):
    """lr 0.1 has two settings of two runs: (0.6 + 0.6 + 0.7 + 0.7) / 4 = 0.65."""
    main(
        [
            "compare",
            "--experiment",
            "sweep",
            "--tracking_uri",
            sweep,
            "--by",
            "lr",
            "--format",
            "json",
            "--png",
            "null",
        ]
    )
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert [(group["num_runs"], group["num_settings"], group["settings"][LR]) for group in groups] == [
        (2, 1, "0.0004"),
        (4, 2, "0.1"),
    ]
    assert_close(groups[1]["final"]["partial"]["mean"], 0.65)
    by_seed = compare_runs(sweep, "sweep", ["seed"]).groups
    assert [(group.settings, group.num_runs, group.num_settings) for group in by_seed] == [
        ({"seed": "0"}, 3, 3),
        ({"seed": "1"}, 3, 3),
    ]
    compare_command("sweep", sweep, png=None, by=["lr"])
    assert "3 settings pooled into 2 groups" in capsys.readouterr().out


def test_by_names_the_nearest_key(sweep):
    with pytest.raises(ConfigError, match=r"logic_weigth.*did you mean model\.grpo\.reward\.init_args\.logic_weight"):
        compare_runs(sweep, "sweep", ["logic_weigth"])
    with pytest.raises(ConfigError, match=r"--by init_args\.lr means a\.init_args\.lr, b\.init_args\.lr"):
        full_key("init_args.lr", [configured_row("x", {"a.init_args.lr": "1", "b.init_args.lr": "2"})])


def configured_row(run_id, settings):
    settings = settings_that_matter(settings)
    return RunRow(run_id, run_id, "FINISHED", "SFT", "m", 0, 2, 1.0, {}, {"partial": 0.5}, settings=settings)


def test_a_run_without_configuration_is_a_group_of_its_own():
    runs = [
        configured_row("a", {}),
        configured_row("b", {}),
        configured_row("c", {LR: "1"}),
        configured_row("d", {LR: "1"}),
    ]
    table = CompareTable("e", tuple(runs), group_runs(runs))
    assert [group.num_runs for group in table.groups] == [1, 1, 2]
    assert [shown_setting(group, "") for group in table.groups] == ["not stored", "not stored", "stored"]
    assert [group["configured"] for group in json.loads(to_json(table))["groups"]] == [False, False, True]


def test_only_seeds_and_folders_are_passed_over():
    inert = {
        "seed_everything": "1",
        "model.seed": "1",
        "data.options.seed": "1",
        "trainer.logger.init_args.run_name": "a",
        "checkpoint.dirpath": "b",
        "data.root": "c",
    }
    telling = {
        "data.options.held_out_seed": "1",
        "model.evaluation.seed": "0",
        "trainer.precision": "32",
        "checkpointing": "1",
        "root": "c",
    }
    assert settings_that_matter({**inert, **telling}) == telling


def test_short_names_by_hand():
    keys = ["model.grpo.loss.init_args.beta", "model.sft.init_args.beta", "model.grpo.loss.class_path", LR]
    assert list(short_names(keys).values()) == ["loss.beta", "sft.beta", "loss", "lr"]


def test_json_is_all_there_is_on_stdout(store, tmp_path, capsys):
    compare_command(EXPERIMENT, store, format="json", png=str(tmp_path / "new" / "compare.png"))
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert list(record)[:3] == ["experiment", "runs", "groups"]
    assert record["experiment"] == EXPERIMENT
    assert {"name", "strategy", "seed", "steps", "finished", "base", "final", "change", "minutes"} <= set(
        record["runs"][0]
    )
    assert record["runs"][3]["finished"] is False
    assert [run["group"] for run in record["runs"]] == [1, 1, 2, None]
    first = record["groups"][0]
    assert (first["num_runs"], first["run_names"]) == (2, ["GRPO-0", "GRPO-1"])
    assert first["run_ids"] == [run["run_id"] for run in record["runs"][:2]]
    assert_close(record["groups"][0]["final"]["partial"]["mean"], 0.7)
    assert "compare.png" in err


def test_nan_scores_are_null():
    run = RunRow("id", "n", "FINISHED", "SFT", "m", None, None, None, base={}, final={"logic": math.nan})
    assert json.loads(to_json(CompareTable("e", (run,), ())))["runs"][0]["final"] == {"logic": None}


def test_table_for_people(store, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    compare_command(EXPERIMENT, store, png=None)
    out = capsys.readouterr().out
    assert "0.40 → 0.60" in out
    assert "+0.200" in out
    assert "0.45±0.07 → 0.70±0.14" in out
    assert " failed" in out
    assert "[bold]" in out  # names are no markup
    assert "\x1b" not in out


@pytest.mark.parametrize("width", [70, 90, 120])
def test_narrow_terminals_keep_every_digit(store, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    compare_command(EXPERIMENT, store, png=None)
    out = capsys.readouterr().out
    assert {"0.40", "0.60", "0.45±0.07", "0.70±0.14", "+0.200", "failed", "finished"} <= set(out.split())
    assert max(map(len, out.splitlines())) <= width


def test_markdown_is_not_broken_by_names(store):
    lines = to_markdown(compare_runs(store, EXPERIMENT)).splitlines()
    assert lines[0].startswith("| run | group | strategy | base model | seed | steps | partial | overall | change")
    widths = {line.replace("\\|", "").count("|") for line in lines[:6]}
    assert widths == {14}


def test_plot_is_an_image(store, tmp_path):
    path = plot_comparison(compare_runs(store, EXPERIMENT), tmp_path / "compare.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000


def test_running_mean_by_hand():
    """A window of one to each side, narrower at the ends."""
    assert_close(running_mean([0.0, 3.0, 6.0, 0.0]), [1.5, 3.0, 3.0, 3.0])


def test_missing_experiment_names_those_that_exist(store):
    with pytest.raises(ConfigError, match=r"no experiment 'quickstrat'; it has .*quickstart"):
        compare_runs(store, "quickstrat")


def test_empty_experiment(store):
    from mlflow import MlflowClient

    MlflowClient(store).create_experiment("empty")
    with pytest.raises(ConfigError, match=r"'empty' in .* holds no run"):
        compare_runs(store, "empty")


def test_missing_file_is_not_created(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"mlflow\.db .*--tracking_uri"):
        compare_command(EXPERIMENT)
    assert list(tmp_path.iterdir()) == []


def test_other_stores_that_are_none(tmp_path):
    text = tmp_path / "notes.db"
    text.write_text("no database")
    with pytest.raises(ConfigError, match="SQLite"):
        compare_runs(f"sqlite:///{text}", EXPERIMENT)
    with pytest.raises(ConfigError, match="is written sqlite:///"):
        compare_runs(str(text), EXPERIMENT)
    with pytest.raises(ConfigError, match="no MLflow folder"):
        compare_runs(str(tmp_path / "mlruns"), EXPERIMENT)


def test_foreign_database_is_left_alone(tmp_path):
    """MLflow would add its tables to any database it is pointed at."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table accounts (name text)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"other\.db .*SQLite"):
        compare_runs(f"sqlite:///{path}", EXPERIMENT)
    assert path.read_bytes() == before


def test_run_facts(logger):
    log_run_facts([logger], config_text="a: 1\n", tags={"remot.strategy": "GRPO", "remot.base_model": "remot-tiny"})
    tags = logger.experiment.get_run(logger.run_id).data.tags
    assert tags["remot.strategy"] == "GRPO"
    assert tags["remot.python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"remot.version", "remot.torch", "remot.transformers", "remot.cpu_count", "remot.device"} <= set(tags)
    assert artifact(logger, "config.yaml") == "a: 1\n"


def test_table_and_samples_are_artifacts(logger):
    log_table([logger], "base → trained", {"partial": 0.5})
    log_samples_html([logger], "<p>ä</p>", "step_000040")
    assert artifact(logger, "final_table.txt") == "base → trained"
    assert json.loads(artifact(logger, "final_table.json")) == {"partial": 0.5}
    assert artifact(logger, "samples/step_000040.html") == "<p>ä</p>"


def test_other_loggers_are_left_alone(tmp_path):
    csv = CSVLogger(tmp_path)
    log_run_facts([csv], config_text="a: 1\n", tags={})
    log_table([csv], "t", {})
    assert list(tmp_path.iterdir()) == []


def test_git_commit_of_a_checkout_and_of_none(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    assert git_commit(tmp_path) is None
    git("init")
    (tmp_path / "file").write_text("1")
    assert git_commit(tmp_path) is None  # nothing tracked: not the code's own checkout
    git("add", "file")
    git("commit", "-m", "first")
    clean = git_commit(tmp_path)
    assert len(clean) == 40
    (tmp_path / "file").write_text("2")
    assert git_commit(tmp_path) == clean + "-dirty"


def test_flatten_by_hand():
    settings = {"model": {"lr": 1e-4, "tags": ["a"], "unset": None}, "callbacks": [{"class_path": "X"}], "n": 1}
    assert dict(flatten(settings)) == {"model.lr": 1e-4, "model.tags": ["a"], "callbacks.0.class_path": "X", "n": 1}


def test_files_of_a_configuration_stand_by_their_paths(tmp_path):
    (tmp_path / "a.yaml").touch()
    file = path_type("fr")(str(tmp_path / "a.yaml"))
    assert dict(flatten({"config": [file], "betas": [0.9, 0.99]})) == {
        "config": [str(tmp_path / "a.yaml")],
        "betas": [0.9, 0.99],
    }


def save_config_callback(text):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model.text", type=str)
    parser.add_argument("--seed_everything", type=int, default=3)
    return MLflowSaveConfig(parser, parser.parse_object({"model": {"text": text}}), save_to_log_dir=False)


def short_fit(callback, logger, tmp_path):
    Trainer(
        max_steps=1,
        limit_val_batches=0,
        logger=logger,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        accelerator="cpu",
        default_root_dir=tmp_path,
    ).fit(BoringModel(), BoringModel().train_dataloader())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_config_is_saved_in_mlflow(logger, tmp_path):
    short_fit(save_config_callback("x" * 6000), logger, tmp_path)
    assert yaml.safe_load(artifact(logger, "config.yaml")) == {"model": {"text": "x" * 6000}, "seed_everything": 3}
    params = logger.experiment.get_run(logger.run_id).data.params
    assert params == {"model.text": "x" * 6000, "seed_everything": "3"}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_setting_that_is_too_long_for_mlflow_is_stored_whole(logger, tmp_path):
    text = "x" * 6001
    short_fit(save_config_callback(text), logger, tmp_path)
    held = logger.experiment.get_run(logger.run_id).data.params["model.text"]
    assert held == f"sha256:{sha256(text.encode()).hexdigest()}, 6001 characters in long_settings.json"
    assert json.loads(artifact(logger, "long_settings.json")) == {"model.text": text}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_continued_run_keeps_its_parameters(logger, tmp_path):
    """MLflow refuses to change a parameter; a run that goes on with another setting must not die of it."""
    short_fit(save_config_callback("first"), logger, tmp_path)
    again = MLFlowLogger(run_id=logger.run_id, tracking_uri=logger._tracking_uri)
    short_fit(save_config_callback("second"), again, tmp_path)
    held = logger.experiment.get_run(logger.run_id).data
    assert held.params["model.text"] == "first"
    assert continued_with(held.tags) == {"model.text": ["second"]}
    assert "second" in artifact(logger, "config.yaml")


def test_long_settings_that_differ_at_their_end_stay_apart():
    assert short("x" * 7000 + "a") != short("x" * 7000 + "b")
    assert short("x" * 6000) == "x" * 6000


def test_a_run_continued_with_other_settings_is_not_one_of_its_first():
    params = {LR: "0.1", "trainer.max_steps": "4"}
    tags = {CONTINUED_WITH: json.dumps({LR: ["0.2"], "trainer.max_steps": ["8"]})}
    assert _settings(params, tags) == {LR: "0.1 → 0.2", "trainer.max_steps": "8"}
    assert _settings(params, {}) == params
    assert _changes({LR: "0.1"}, params, {LR: ["0.2"]}) == {LR: ["0.2", "0.1"], "trainer.max_steps": ["–"]}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_config_is_saved_beside_other_logs(tmp_path):
    csv = CSVLogger(tmp_path, name="csv")
    short_fit(save_config_callback("t"), csv, tmp_path)
    assert yaml.safe_load((tmp_path / "csv" / "version_0" / "config.yaml").read_text())["model"] == {"text": "t"}


@pytest.mark.slow
def test_compare_is_quiet(store):
    """MLflow's and alembic's INFO lines stay away from both streams."""
    code = f"from remot.tracking import compare_command; compare_command({EXPERIMENT!r}, {store!r}, 'json', None)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout)["experiment"] == EXPERIMENT
    assert done.stderr == ""


def test_compare_does_without_lightning():
    """It takes seconds to import and compares nothing."""
    code = "import sys, remot.tracking; print('lightning' in sys.modules, 'mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["False", "False"]


def test_killed_runs_have_the_status_of_their_own(logger):
    """Also after lightning has called them failed, as it does for every exception."""
    logger.log_metrics({"loss": 1.0}, step=0)
    logger.finalize("failed")
    mark_killed([logger, CSVLogger("unused")])
    assert logger.experiment.get_run(logger.run_id).info.status == "KILLED"


def test_a_signal_marks_the_run_as_killed(logger):
    class Ended:
        loggers = (logger,)

        def fit(self, _model):
            logger.log_metrics({"loss": 1.0}, step=0)
            raise StoppedBySignal(15)

    with pytest.raises(StoppedBySignal):
        RemotCLI.fit(SimpleNamespace(trainer=Ended()), None)
    assert logger.experiment.get_run(logger.run_id).info.status == "KILLED"


# -- what a run could not be logged to -----------------------------------------------------------------------------


@pytest.fixture
def patient(monkeypatch):
    """A fraction of a second is enough to see that there is no answer; the user has set nothing."""
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(client_module, "ANSWER_SECONDS", 0.3)


@pytest.fixture
def silent_server():
    """Accepts connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_file_has_the_time_it_needs(store, monkeypatch):
    """It is no server: where the machine is busy, MLflow alone takes seconds to open it."""
    monkeypatch.setattr(client_module, "ANSWER_SECONDS", 1e-6)
    assert client_module.open_client(store).get_experiment_by_name(EXPERIMENT) is not None


@pytest.mark.usefixtures("patient")
def test_a_silent_server_is_named_within_seconds(silent_server):
    started = time.monotonic()
    with pytest.raises(ConfigError, match=rf"{silent_server} does not answer within 0\.3 s"):
        require_writable(silent_server, "e")
    assert time.monotonic() - started < 5
    with pytest.raises(ConfigError, match=r"does not answer within 0\.3 s"):
        compare_runs(silent_server, "e")


@pytest.mark.usefixtures("patient")
def test_a_closed_port_is_named_at_once(monkeypatch):
    monkeypatch.setattr(client_module, "ANSWER_SECONDS", 20.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(ConfigError, match=f"{closed}: no server listens") as raised:
        require_writable(closed, "e")
    assert "Errno" not in str(raised.value)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "(Caused by NameResolutionError(\"x: Failed to resolve 'a.b' ([Errno -2] not known)\"))",
            "host",
        ),
        ('(Caused by ReadTimeoutError("x: Read timed out. (read timeout=2)"))', "in time"),
        ("(Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]')))", "certificate"),
        ("(Caused by NewConnectionError('x: [Errno 113] No route to host'))", "cannot be reached"),
        ("(autoflush)\n(sqlite3.OperationalError) attempt to write a readonly database\n[SQL: x]", "readonly"),
    ],
)
def test_a_connection_that_fails_is_put_in_words(said, words):
    found = client_module.reason_of(RuntimeError(f"API request failed {said}"))
    assert words in found
    assert "Errno" not in found


def test_waiting_is_short_unless_the_user_set_it(monkeypatch):
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    quiet_mlflow()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "15"
    with client_module._one_attempt():
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"


@pytest.mark.parametrize("is_remote", [False, True])
def test_a_deleted_experiment_error_states_the_remedy(store, monkeypatch, is_remote):
    """The same through MLflow's client as read from the file."""
    from mlflow import MlflowClient

    client, name = MlflowClient(store), f"deleted-{is_remote}"
    client.delete_experiment(client.create_experiment(name))
    monkeypatch.setattr(client_module, "is_remote", lambda _: is_remote)
    with pytest.raises(ConfigError, match=rf"'{name}' .*was deleted.*mlflow experiments restore --experiment-id \d+"):
        require_writable(store, name)
    with pytest.raises(ConfigError, match=rf"'{name}' .*was deleted.*mlflow experiments restore"):
        compare_runs(store, name)
    require_writable(store, EXPERIMENT)
    require_writable(store, "new")


@pytest.mark.parametrize("is_remote", [False, True])
def test_a_run_that_cannot_go_on_is_named(store, monkeypatch, is_remote):
    from mlflow import MlflowClient

    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("runs") or client.get_experiment(client.create_experiment("runs"))
    there, gone = (client.create_run(experiment.experiment_id).info.run_id for _ in range(2))
    client.delete_run(gone)
    monkeypatch.setattr(client_module, "is_remote", lambda _: is_remote)
    require_writable(store, "runs", there)
    with pytest.raises(ConfigError, match=f"{gone} that the checkpoint is from was deleted"):
        require_writable(store, "runs", gone)
    with pytest.raises(ConfigError, match="0123456789abcdef" * 2):
        require_writable(store, "runs", "0123456789abcdef" * 2)


def test_a_store_is_not_made_by_looking(tmp_path):
    require_writable(f"sqlite:///{tmp_path}/new.db", "e")
    require_writable(str(tmp_path / "mlruns"), "e")
    assert list(tmp_path.iterdir()) == []


def test_servers_and_files_are_distinguished():
    remote = (
        "http://h",
        "https://h",
        "databricks",
        "databricks://p",
        "postgresql://h/d",
        "sqlite:///a.db",
        "mlruns",
        "file:///a",
    )
    assert [client_module.is_remote(uri) for uri in remote] == [True, True, False, True, True, False, False, False]


@pytest.mark.parametrize("name", ["csv", "html", "png"])
def test_a_file_that_is_cut_off_while_it_is_saved_leaves_the_one_before(sweep, tmp_path, monkeypatch, name):
    table, file = compare_runs(sweep, "sweep"), tmp_path / f"out.{name}"
    file.write_text("before")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ConfigError, match=file.name):
        save(table, significance(table), **{name: file})
    assert file.read_text() == "before"
    assert list(tmp_path.glob(".*")) == []


def test_names_of_parameters_are_such_as_mlflow_takes():
    """A folder of a mixture may have any name, and one refused name would take all parameters with it."""
    from mlflow.utils.validation import _validate_param_name

    class Client:
        def log_batch(self, run_id, params):  # noqa: ARG002
            self.names = [one.key for one in params]

    client = Client()
    _log_params(client, "run", {"data.reader.folders.robot (2024).fps": "3", "a+b": "1", "ü/b c-d:e": "2"})
    for name in client.names:
        _validate_param_name(name)
    assert client.names == ["data.reader.folders.robot _2024_.fps", "a_b", "ü/b c-d:e"]
