"""The command line from end to end: one small run, its comparison, its continuation, and the other subcommands."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from remot import __version__
from remot.callbacks import RUN_KEY
from remot.cli import main
from remot.commands.training.cli import RemotCLI
from remot.motion import ATTRIBUTES
from remot.tracking.client import absolute_uri
from remot.tracking.groups import SEEDS, settings_that_matter
from remot.tracking.save_config import flatten
from tests.data.handmade import mixed_clips, write_folder
from tests.helpers import PROJECT
from tests.tiny import model_folder

QUICKSTART = str(PROJECT / "configs" / "quickstart.yaml")
STORE = "sqlite:///mlflow.db"
SMALL = {
    "model.grpo.num_completions": 2,
    "model.grpo.max_new_tokens": 4,
    "model.evaluation.max_new_tokens": 4,
    "data.batch_size": 2,
    "data.num_train_prompts_per_epoch": 8,
    "data.num_val_prompts": 2,
    "data.num_test_prompts": 4,
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A working folder, as a newcomer's: everything a run leaves behind is below it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("workplace"))
        write_folder(Path("clips"), mixed_clips(4))
        yield Path.cwd()


def remot(command, **settings):
    """Run a training command on small random weights with the quickstart's other settings."""
    weights = {"root": "clips", "model.policy.source.pretrained": model_folder()}
    words = (word for key, value in (SMALL | weights | settings).items() for word in (f"--{key}", str(value)))
    main([command, "--config", QUICKSTART, *words])


def weights_line(capsys, command, **settings):
    capsys.readouterr()
    remot(command, **settings)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("weights: ")]
    return line.removeprefix("weights: ")


def stored_run():
    """The only training of the store, as MLflow gives it."""
    from mlflow import MlflowClient

    client = MlflowClient(absolute_uri(STORE))
    (run,) = (run for run in all_runs(client) if "remot.evaluation" not in run.data.tags)
    return client, run


def all_runs(client):
    return client.search_runs([client.get_experiment_by_name("quickstart").experiment_id])


def artifacts(client, run_id, folder=None):
    return {item.path for item in client.list_artifacts(run_id, folder)}


@pytest.fixture(scope="module")
def fitted(workplace):
    """Two steps of GRPO."""
    remot("fit", **{"trainer.max_steps": 2})
    return workplace


@pytest.fixture(scope="module")
def continued(fitted):  # noqa: ARG001 (it goes on where this one ended)
    """One step more, as a user prolongs a run; gives the run's state before and the one after."""
    _, before = stored_run()
    log_table(before, "")  # so that only a table written by the continued run is there afterwards
    remot("fit", **{"trainer.max_steps": 3, "ckpt_path": "last"})
    return before, stored_run()[1]


def log_table(run, text):
    from mlflow import MlflowClient

    for name in ("final_table.txt", "final_table.json"):
        MlflowClient(absolute_uri(STORE)).log_text(run.info.run_id, text, name)


def test_version_and_help(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"remot {__version__}\n"
    for words in ([], ["--help"], ["-h"]):
        main(words)
        out = capsys.readouterr().out
        commands = ("data render", "data validate", "data audit", "model blank")
        for command in ("fit", "validate", "test", "predict", "compare", *commands):
            assert f"remot {command}" in out


@pytest.mark.parametrize(
    "words", [["compare"], ["data", "render"], ["data", "validate"], ["data", "audit"], ["model", "blank"]]
)
def test_help_of_own_commands(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    assert "usage: remot" in capsys.readouterr().out


def test_help_of_fit_lists_the_keys(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--help", "all"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(f"--{key}" in out for key in ("model.strategy", "data.batch_size", "root", "ckpt_path", "held_out"))


def test_help_and_import_stay_light():
    """Neither needs torch, lightning, transformers or mlflow, each of which takes seconds."""
    heavy = "{'torch', 'lightning', 'transformers', 'mlflow'}"
    code = f"import sys; from remot.cli import main; main(['--help']); sys.exit(str({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.strip() == "set()"


def test_data_render_writes_clips(tmp_path):
    main(["data", "render", "--out", str(tmp_path / "new"), "--num_clips", "1", "--seed", "5"])
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"synthetic-5-0.json", "synthetic-5-0.mp4"}


# -- what a fit leaves behind ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fitted")
def test_metrics_before_and_after():
    _, run = stored_run()
    for stage in ("base", "final"):
        for name in ("overall", "partial", "logic", "format"):
            for key in (f"eval/{stage}/{name}", f"eval/{stage}/{name}_greedy"):
                assert 0 <= run.data.metrics[key] <= 1, key
    assert any(f"eval/final/attribute/{name}/partial" in run.data.metrics for name in ATTRIBUTES)


@pytest.mark.usefixtures("fitted")
def test_training_metrics_and_their_steps():
    client, run = stored_run()
    parts = ("total", "format", "accuracy", "partial", "exact", "conciseness", "logic", "success", "frac_zero_std")
    wanted = {f"train/reward/{part}" for part in parts} | {"train/loss", "train/kl", "train/grad_norm"}
    assert wanted <= set(run.data.metrics)
    steps = {metric.step for metric in client.get_metric_history(run.info.run_id, "train/loss")}
    assert {0, 1} <= steps


@pytest.mark.usefixtures("fitted")
def test_metrics_are_those_of_the_page():
    """Every logged key stands in docs/metrics.md, whose sections give the prefixes."""
    page = (PROJECT / "docs" / "metrics.md").read_text()
    for key in stored_run()[1].data.metrics:
        stage, _, name = key.partition("/")
        if stage == "train":
            assert f"`{key}`" in page, key
        elif stage == "eval":
            plain = re.sub(r"^(attribute|task)/\w+/", r"\1/NAME/", name.partition("/")[2].removesuffix("_greedy"))
            assert f"`{plain}`" in page, key
        else:
            assert key == "epoch" or stage in {"val", "test"} or f"`{key}`" in page, key


@pytest.mark.usefixtures("fitted")
def test_tags_and_parameters():
    _, run = stored_run()
    assert run.info.status == "FINISHED"
    assert run.data.tags["remot.strategy"] == "GRPO"
    assert run.data.tags["remot.base_model"] == model_folder().name
    assert run.data.tags["remot.adaptation"] == "LoRA"
    assert run.data.params["seed_everything"] == "0"
    assert run.data.params["data.batch_size"] == "2"
    assert run.info.run_name.startswith("GRPO-seed0-")


@pytest.mark.usefixtures("fitted")
def test_artifacts():
    client, run = stored_run()
    top = artifacts(client, run.info.run_id)
    assert {"config.yaml", "final_table.txt", "final_table.json", "samples"} <= top
    pages = artifacts(client, run.info.run_id, "samples")
    assert {"samples/held_out_base.html", "samples/held_out_final.html"} <= pages
    assert any(page.startswith("samples/step_") for page in pages)


def test_run_folder_holds_checkpoint_and_adapter(fitted):
    (checkpoint,) = fitted.glob("runs/quickstart/GRPO-seed0-*/last.ckpt")
    held = torch.load(checkpoint, weights_only=True)
    assert held["global_step"] >= 2
    assert held["remot"]["strategy"] == "GRPO"
    assert held[RUN_KEY]["mlflow_run_id"] == stored_run()[1].info.run_id
    assert all("lora_" in name for name in held["state_dict"])
    assert (checkpoint.parent / "adapter" / "adapter_model.safetensors").is_file()


def test_compare_prints_json(fitted, capsys):
    main(["compare", "--experiment", "quickstart", "--format", "json"])
    table = json.loads(capsys.readouterr().out)
    _, run = stored_run()
    assert table["experiment"] == "quickstart"
    (row,) = table["runs"]
    assert (row["strategy"], row["seed"]) == ("GRPO", 0)
    assert row["final"]["partial"] == run.data.metrics["eval/final/partial"]
    assert (fitted / "compare.png").stat().st_size > 0


def test_seeds_of_one_recipe_are_one_group(monkeypatch, workplace):  # noqa: ARG001 (its clips)
    """Whatever the command line sets from the seed: a sweep's seeds are averaged, and nothing else is passed over."""

    class Stop(Exception):  # noqa: N818
        """Everything is parsed."""

    stored = []

    def parsed(cli):
        stored.append({key: str(value) for key, value in flatten(cli.config.fit.as_dict())})
        raise Stop

    monkeypatch.setattr(RemotCLI, "instantiate_classes", parsed)
    for seed in (1, 2):
        with pytest.raises(Stop):
            remot("fit", seed_everything=seed)
    one, other = stored
    named_after_it = {"checkpoint.dirpath", "trainer.logger.init_args.run_name"}
    assert {key for key in one if one[key] != other.get(key)} - named_after_it == set(SEEDS)
    assert settings_that_matter(one) == settings_that_matter(other)


# -- going on ----------------------------------------------------------------------------------------------------


def test_continued_run_is_the_same_run(continued, workplace):
    before, after = continued
    assert after.info.run_id == before.info.run_id
    (checkpoint,) = workplace.glob("runs/quickstart/*/last.ckpt")
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 3
    assert list(workplace.glob("runs/quickstart/*/last-v1.ckpt")) == []
    assert after.data.metrics["eval/base/partial"] == before.data.metrics["eval/base/partial"]


def test_continued_run_reports_the_whole_change(continued):
    """Its table goes from the base model, which it has not evaluated itself, to what it ended with."""
    from mlflow.artifacts import load_dict, load_text

    _, after = continued
    record = load_dict(f"{after.info.artifact_uri}/final_table.json")
    for column, stage in (("base", "base"), ("trained", "final")):
        assert record["sampled"]["partial"][column]["mean"] == after.data.metrics[f"eval/{stage}/partial"]
        assert record["greedy"]["format"][column]["mean"] == after.data.metrics[f"eval/{stage}/format_greedy"]
    assert "base → trained" in load_text(f"{after.info.artifact_uri}/final_table.txt")


@pytest.mark.usefixtures("continued")
def test_continued_run_takes_only_the_missing_steps():
    client, run = stored_run()
    steps = sorted(metric.step for metric in client.get_metric_history(run.info.run_id, "train/loss"))
    assert steps == [0, 1, 2]


@pytest.mark.usefixtures("continued")
@pytest.mark.parametrize(
    ("command", "prefix"),
    [
        ("test", "test"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (("validate", "val"), ("predict", None))),
    ],
)
def test_other_subcommands(command, prefix, tmp_path, monkeypatch, workplace, capsys):
    """Each logs into a run of its own, also from another folder, where nothing knows the run of the training."""
    from mlflow import MlflowClient

    _, before = stored_run()
    (checkpoint,) = workplace.glob("runs/quickstart/*/last.ckpt")
    monkeypatch.chdir(tmp_path)
    store = f"sqlite:///{tmp_path}/other.db"  # MLflow keeps what is open by its address, which would be the same
    place = {"root": workplace / "clips", "trainer.logger.init_args.tracking_uri": store}
    weights = weights_line(capsys, command, ckpt_path=checkpoint, **place)
    assert weights == f"{model_folder().name} + checkpoint {checkpoint}, step 3"
    client = MlflowClient(store)
    (run,) = all_runs(client)
    assert run.info.run_id != before.info.run_id
    assert {key: run.data.tags[f"remot.{key}"] for key in ("evaluation", "checkpoint", "source_run")} == {
        "evaluation": command,
        "checkpoint": str(checkpoint),
        "source_run": before.info.run_id,
    }
    if prefix == "test":  # the same prompts and noise as the evaluation at the end of the training
        assert run.data.metrics["test/partial"] == pytest.approx(before.data.metrics["eval/final/partial"])
    elif prefix == "val":
        assert 0 <= run.data.metrics["val/partial"] <= 1
    assert f"config_{command}.yaml" in artifacts(client, run.info.run_id)


@pytest.mark.usefixtures("continued")
@pytest.mark.slow
def test_an_evaluation_is_no_row_of_a_comparison(capsys):
    remot("test", ckpt_path="last")
    client, before = stored_run()
    assert len(all_runs(client)) > 1
    capsys.readouterr()
    main(["compare", "--experiment", "quickstart", "--format", "json", "--png", "null"])
    assert [run["run_id"] for run in json.loads(capsys.readouterr().out)["runs"]] == [before.info.run_id]


@pytest.mark.usefixtures("continued")
def test_a_training_whose_run_is_not_in_the_store_is_not_continued(workplace, tmp_path, monkeypatch, capsys):
    (checkpoint,) = workplace.glob("runs/quickstart/*/last.ckpt")
    _, before = stored_run()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        remot("fit", ckpt_path=checkpoint, root=workplace / "clips")
    assert f"the run {before.info.run_id} that the checkpoint is from is not there" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("continued")
def test_predict_leaves_one_line_an_answer(workplace, capsys):
    (checkpoint,) = workplace.glob("runs/quickstart/*/last.ckpt")
    weights = weights_line(capsys, "predict", ckpt_path="last")
    assert weights == f"{model_folder().name} + checkpoint {checkpoint.relative_to(workplace)}, step 3"
    (file,) = workplace.glob("runs/quickstart/*/predictions.jsonl")
    answers = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(answers) == SMALL["data.num_test_prompts"]
    assert all(answer["prompt_id"].startswith("test/") and len(answer["solution"]) == 3 for answer in answers)


@pytest.mark.usefixtures("continued")
def test_a_command_names_its_weights(workplace, capsys):
    """Base model, adapter or checkpoint, and the step; of the checkpoint, :func:`test_other_subcommands`."""
    apart = {"trainer.logger": "false"}
    assert weights_line(capsys, "validate", **apart) == str(model_folder())
    (adapter,) = workplace.glob("runs/quickstart/*/adapter")
    trained = {"model.policy.source.pretrained": adapter} | apart
    assert weights_line(capsys, "predict", **trained) == f"{model_folder().name} + adapter {adapter}, step 3"


@pytest.mark.usefixtures("continued")
@pytest.mark.slow
def test_an_adapter_scores_what_its_run_ended_with(workplace, capsys):
    (adapter,) = workplace.glob("runs/quickstart/*/adapter")
    _, run = stored_run()
    settings = {"trainer.logger": "false", "model.policy.source.pretrained": adapter}
    remot("test", **settings)
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    (score,) = [row[2].split()[0] for row in rows if row[1].strip() == "partial"]
    assert float(score) == pytest.approx(run.data.metrics["eval/final/partial"], abs=5e-4)


@pytest.mark.usefixtures("continued")
def test_fit_continues_an_adapter_and_logs_it(workplace, capsys, monkeypatch, tmp_path):
    (adapter,) = workplace.glob("runs/quickstart/*/adapter")
    monkeypatch.chdir(tmp_path)
    settings = {
        "root": workplace / "clips",
        "trainer.logger": "false",
        "trainer.max_steps": 1,
        "model.policy.source.pretrained": adapter,
    }
    remot("fit", **settings)
    said = capsys.readouterr().out.splitlines()
    base = model_folder().name
    assert f"weights: {base} + adapter {adapter}, step 3" in said
    assert f"KL reference: {base} without the adapter (model.strategy.reference: base)" in said
    assert any(line.startswith("trained: LoRA of rank") and "q_proj 2" in line for line in said)
    (again,) = tmp_path.glob("runs/*/*/adapter/remot.json")
    assert json.loads(again.read_text()) == {"base_model": str(model_folder()), "step": 1}
    with pytest.raises(SystemExit):
        remot("fit", **settings, **{"model.policy.adaptation.init_args.rank": 5})
    assert "rank 5" in capsys.readouterr().err


@pytest.mark.usefixtures("continued")
def test_other_settings_are_refused(workplace, capsys):
    """By the command line, with the file, the key and both values; the run's folder stays as it was."""
    before = sorted(path.name for path in workplace.glob("runs/quickstart/*"))
    with pytest.raises(SystemExit) as stop:
        remot("fit", **{"trainer.max_steps": 4, "ckpt_path": "last", "model.optimizer.init_args.lr": 0.01})
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert "last.ckpt (step 3)" in err
    assert "model.optimizer.init_args.lr: 0.0004 → 0.01" in err
    assert sorted(path.name for path in workplace.glob("runs/quickstart/*")) == before


@pytest.mark.usefixtures("continued")
def test_another_strategy_is_no_last_checkpoint(workplace, capsys):
    with pytest.raises(SystemExit):
        remot("fit", **{"model.strategy": "SFT", "ckpt_path": "last"})
    (checkpoint,) = workplace.glob("runs/quickstart/*/last.ckpt")
    assert f"GRPO from {model_folder().name}: {checkpoint.relative_to(workplace)} (step 3)" in capsys.readouterr().err


@pytest.mark.slow
def test_allowed_settings_take_effect_and_are_recorded(workplace, fitted):  # noqa: ARG001 (its settings are others')
    """A run of its own: two steps, then one more at another rate, saved at another interval."""
    place = {"trainer.logger": "false", "model.strategy": "SFT", "held_out.enabled": "false"}
    remot("fit", **place, **{"trainer.max_steps": 2})
    changed = {"model.optimizer.init_args.lr": 0.01, "resume.allow": "model.optimizer.lr"}
    remot(
        "fit", **place, **changed, **{"trainer.max_steps": 3, "checkpoint.every_n_train_steps": 1, "ckpt_path": "last"}
    )
    (folder,) = workplace.glob("runs/default/SFT-seed0-*")
    held = {path.name for path in folder.iterdir() if not path.name.startswith("catalogue-")}
    assert held == {
        "adapter",
        "dataset.json",
        "environment.txt",
        "run.json",
        "config.yaml",
        "config_until_step_2.yaml",
        "last.ckpt",
        "previous.ckpt",
        ".owner.json",
        ".owner.json.lock",
    }
    held = torch.load(folder / "last.ckpt", weights_only=True)
    assert held["global_step"] == 3
    assert held["optimizer_states"][0]["param_groups"][0]["lr"] == 0.01
    rates = [
        yaml.safe_load((folder / name).read_text())["model"]["optimizer"]["init_args"]["lr"]
        for name in ("config_until_step_2.yaml", "config.yaml")
    ]
    assert rates == [0.0004, 0.01]


@pytest.mark.slow
def test_sigterm_of_a_process_saves_and_exits_with_143(workplace):
    """A run in a process of its own, which a batch system or a container ends at its third step."""
    from mlflow import MlflowClient

    names = {"experiment_name": "ended", "tracking_uri": STORE}
    settings = SMALL | {"root": "clips", "model.policy.source.pretrained": model_folder(), "model.strategy": "SFT"}
    settings |= {f"trainer.logger.init_args.{name}": value for name, value in names.items()}
    settings |= {"trainer.max_steps": 100_000, "held_out.enabled": "false", "progress.every_steps": 1}
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "remot", "fit", "--config", QUICKSTART, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("SFT 3/"):
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM, "".join(said)
    (checkpoint,) = workplace.glob("runs/ended/SFT-*/last.ckpt")
    step = torch.load(checkpoint, weights_only=True)["global_step"]
    assert step >= 3
    assert f"Stopped after step {step} and saved" in "".join(said)
    client = MlflowClient(absolute_uri(STORE))
    (run,) = client.search_runs([client.get_experiment_by_name("ended").experiment_id])
    assert run.info.status == "KILLED"
