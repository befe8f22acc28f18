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
