"""A real disk that is full: a small tmpfs, mounted where the tests may do that."""

import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import closing

import pytest

from remot.callbacks import RunCheckpoint
from remot.errors import CheckpointError
from remot.strategies.checkpoint_io import read_checkpoint
from tests.data.handmade import mixed_clips, write_folder
from tests.faults.runs import Run, words
from tests.faults.table import row
from tests.faults.test_data import AtStep
from tests.faults.test_steps import assert_goes_on_as_without_fault, make, told
from tests.strategies.test_module import fit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*:UserWarning"),
]


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this account may not mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk, keep=0):
    """Take all room but ``keep`` bytes."""
    free = shutil.disk_usage(disk).free - keep
    with (disk / "filler").open("wb") as file:
        file.write(bytes(max(0, free)))


def run_saving(folder, *callbacks):
    """A run that is saved after every step."""
    keeper = RunCheckpoint(dirpath=folder, every_n_train_steps=1)
    fit(make(), folder, max_steps=4, enable_checkpointing=True, callbacks=[*callbacks, keeper])


def test_a_checkpoint_that_does_not_fit_ends_no_run_and_harms_none(disk, capsys):
    """No room at steps 2 and 3: those saves fail, the file of step 1 stays whole, and step 4 is saved."""
    steps = []

    def look():
        steps.append(read_checkpoint(disk / "run" / "last.ckpt")["global_step"])

    full, free = AtStep(lambda: fill(disk, 4096), 2), AtStep(lambda: (look(), (disk / "filler").unlink()), 4)
    run_saving(disk / "run", full, free)
    assert steps == [1]
    assert "No space left" in told(capsys)
    assert read_checkpoint(disk / "run" / "last.ckpt")["global_step"] == 4
    assert not [one for one in (disk / "run").iterdir() if one.suffix not in (".ckpt", "")]
    row("checkpoints on a full disk", 1, 1)


def test_a_disk_that_stays_full_fails_the_run_and_keeps_the_last_good_file(disk):
    with pytest.raises(CheckpointError, match="No space left"):
        run_saving(disk / "run", AtStep(lambda: fill(disk, 4096), 2))
    (disk / "filler").unlink()
    assert_goes_on_as_without_fault(disk / "run", 1)


@pytest.mark.timeout(300)
def test_a_store_on_a_full_disk_costs_no_step_and_gets_everything_later(disk, tmp_path):
    """SQLite has no room from the first step on; `remot sync` delivers each point once when there is."""
    write_folder(tmp_path / "clips", mixed_clips(4))
    store = disk / "mlflow.db"
    settings = {
        "model.strategy": "SFT", "trainer.max_steps": 6, "trainer.log_every_n_steps": 1, "trainer.logger": None,
        "trainer.logger.init_args.experiment_name": "faults",
        "trainer.logger.init_args.tracking_uri": f"sqlite:///{store}",
    }  # fmt: skip

    def prepare():
        def fill_when_begun():
            while not list(tmp_path.glob("runs/*/*/last.ckpt")):
                time.sleep(0.01)
            fill(disk)

        threading.Thread(target=fill_when_begun, daemon=True).start()

    first = Run(tmp_path, words("fit", **settings), prepare=prepare)
    assert first.end() == 0, first.text()
    assert "remot sync" in first.text()
    (disk / "filler").unlink()
    delivery = Run(tmp_path, ["sync", "runs"])
    assert delivery.end() == 0, delivery.text()
    with closing(sqlite3.connect(store)) as opened:
        steps = opened.execute("select step from metrics where key = 'train/loss' order by step").fetchall()
    assert steps == [(step,) for step in range(6)]
    row("SQLite on a full disk", 1, 1)
