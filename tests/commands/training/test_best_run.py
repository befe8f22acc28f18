"""A run that keeps its best checkpoint, from the command line: everything is in the folder of the run."""

import json
from pathlib import Path

import pytest
import torch

from remot.cli import main
from tests.commands.training.test_cli import SMALL
from tests.data.handmade import mixed_clips, write_folder
from tests.helpers import PROJECT
from tests.tiny import model_folder

BEST = str(PROJECT / "configs" / "quickstart_best.yaml")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The only run of a folder, after the recipe's, with two steps and two validations."""
    settings = {
        "root": "clips",
        "model.policy.source.pretrained": model_folder(),
        "trainer.max_steps": 2,
        "trainer.val_check_interval": 1,
        "trainer.limit_val_batches": 1,
        **SMALL,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("workplace"))
        write_folder(Path("clips"), mixed_clips(4))
        main(["fit", "--config", BEST, *(word for key, value in settings.items() for word in (f"--{key}", str(value)))])
        left = {path.name for path in Path.cwd().iterdir()}
        assert left == {"clips", "mlflow.db", "mlflow.db.lock", "mlruns", "runs"}
        (folder,) = (Path.cwd() / "runs" / "quickstart-best").iterdir()
        yield folder


def go_on(run, monkeypatch, *words):
    """Continue the run to a third step, with what a user would have changed in the file."""
    monkeypatch.chdir(run.parents[2])
    settings = {"root": "clips", "model.policy.source.pretrained": model_folder(), "trainer.val_check_interval": 1}
    settings |= {"trainer.limit_val_batches": 1, **SMALL}
    given = (word for key, value in settings.items() for word in (f"--{key}", str(value)))
    main(["fit", "--config", BEST, *given, *words])


def test_a_checkpoint_without_a_folder_of_its_own_is_in_that_of_the_run(run):
    assert {"best.ckpt", "last.ckpt", "run.json", "config.yaml", "adapter", "held_out.json"} <= {
        path.name for path in run.iterdir()
    }
    assert json.loads((run / "run.json").read_text())["state"] == "finished"


def test_the_policy_and_its_scores_are_of_the_best_step(run):
    best = torch.load(run / "best.ckpt", weights_only=True)["global_step"]
    assert json.loads((run / "adapter" / "remot.json").read_text())["step"] == best
    assert json.loads((run / "held_out.json").read_text())["step"] == best
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 2


MONITORED = {"monitor": "val/overall", "mode": "max", "filename": "of-{step}"}


def test_settings_of_a_checkpoint_may_change_when_the_run_goes_on(run, monkeypatch, capfd):
    """Another interval, more files: the best score so far is known. Another monitor begins anew, with a line."""
    light = "lightning.pytorch.callbacks"
    before = torch.load(run / "last.ckpt", weights_only=True)["callbacks"]
    (kept,) = [state for key, state in before.items() if key.startswith("ModelCheckpoint")]
    callbacks = [
        {
            "class_path": f"{light}.ModelCheckpoint",
            "init_args": MONITORED | {"every_n_train_steps": 1, "save_top_k": 2},
        },
        {"class_path": f"{light}.EarlyStopping", "init_args": {"monitor": "val/partial", "mode": "max"}},
    ]
    words = ["--trainer.callbacks", json.dumps(callbacks), "--trainer.max_steps", "3", "--ckpt_path", "last"]
    go_on(run, monkeypatch, *words)
    after = torch.load(run / "last.ckpt", weights_only=True)
    assert after["global_step"] == 3
    (held,) = [state for key, state in after["callbacks"].items() if key.startswith("ModelCheckpoint")]
    assert set(kept["best_k_models"]) <= set(held["best_k_models"])
    assert len(held["best_k_models"]) == 2
    said = [line for line in capfd.readouterr().err.splitlines() if "begins anew" in line]
    assert len(said) == 1
    assert "EarlyStopping with the monitor 'val/partial' begins anew" in said[0]


def test_a_metric_that_no_validation_logs_ends_the_run_in_one_sentence(run, monkeypatch, capfd):
    """Names of tasks are known to the data alone, so that the first validation finds it; its step is saved."""
    words = ["--trainer.callbacks", "ModelCheckpoint", "--trainer.callbacks.monitor", "val/task/tracking/total"]
    with pytest.raises(SystemExit) as stop:
        go_on(run, monkeypatch, *words, "--trainer.max_steps", "2", "--trainer.logger.experiment_name", "unknown")
    assert stop.value.code == 2
    last = capfd.readouterr().err.splitlines()[-1]
    told = "ModelCheckpoint has the monitor 'val/task/tracking/total', which this run has not logged; "
    assert last.startswith(f"remot: trainer.callbacks: {told}")
    assert "HINT" not in last
    (folder,) = Path("runs/unknown").iterdir()
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 1
    assert json.loads((folder / "run.json").read_text())["state"] == "failed"
