"""Two processes (gloo, CPU), one of which fails, hangs or is killed: both end, and the state before it is saved."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from remot.callbacks import InterruptCheckpoint, RunCheckpoint, RunSummary, interrupt
from remot.strategies import GRPO
from remot.strategies.checkpoint_io import read_checkpoint
from tests.devices.launch import WORLD_SIZE, _enter, free_port
from tests.devices.runs import ADAMW, Case, Dealt, SomeDiffer, weights
from tests.faults.runs import words
from tests.faults.table import row
from tests.helpers import PROJECT
from tests.strategies.test_module import Notebook, make_trainer
from tests.tiny import model_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MAX_STEPS, FAILS_AT = 4, 2


class Faulty(SomeDiffer):
    """Does something at the third step, in each process something of its own."""

    def __init__(self, fault):
        self.fault, self.calls = fault, 0

    def __call__(self, completions, questions):
        self.calls += 1
        if self.calls == FAILS_AT + 1:
            self.fault()
        return super().__call__(completions, questions)


class AtEnd(Callback):
    """Does something when the last step is done and saved."""

    def __init__(self, fault):
        self.fault = fault

    def on_train_end(self, *_):
        self.fault()


def nothing():
    pass


def fail():
    raise KeyError("no such word")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def hang_signalled():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)


def no_room():
    """In the backward pass of this step, at whose end the other process waits for the gradients."""

    def backward(*_, **__):
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    torch.Tensor.backward = backward


def signalled():
    os.kill(os.getpid(), signal.SIGTERM)


def hung_up():
    os.kill(os.getpid(), signal.SIGHUP)


def batch_signal():
    os.kill(os.getpid(), signal.SIGUSR1)


def train(folder, fault, ckpt_path=None, at_end=nothing, **settings):
    warnings.simplefilter("ignore")
    interrupt.FINISH_SECONDS, interrupt.INTERRUPT_SECONDS = 1.0, 0.3
    grpo = {"reward": Faulty(fault)}
    module = Case(str(model_folder()), optimizer=ADAMW, strategy=GRPO(), grpo=grpo).module()
    callbacks = [
        RunCheckpoint(dirpath=folder, every_n_train_steps=100),
        InterruptCheckpoint(),
        RunSummary(),
        AtEnd(at_end),
    ]
    kept = {"max_steps": MAX_STEPS, "devices": 2, "strategy": "ddp", "use_distributed_sampler": False, **settings}
    trainer = make_trainer(folder, logger=Notebook(), callbacks=callbacks, enable_checkpointing=True, **kept)
    trainer.fit(module, Dealt(), ckpt_path=ckpt_path)
    return module


def work(rank, arguments):
    folder, faults, at_end = arguments
    code = 70
    try:
        train(folder, faults[rank], at_end=at_end[rank])
        code = 0
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        code = 1
        raise
    finally:
        os._exit(code)


def exit_codes(folder, faults=(nothing, nothing), at_end=(nothing, nothing)):
    context, port = multiprocessing.get_context("spawn"), free_port()
    arguments, answers = (folder, faults, at_end), context.Queue()
    processes = [
        context.Process(target=_enter, args=(rank, port, work, arguments, answers)) for rank in range(WORLD_SIZE)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(400)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


FAULTS = {
    "an error in the second": ((nothing, fail), [1, 1]),
    "an error in the first": ((fail, nothing), [1, 1]),
    "memory runs out in the second": ((nothing, no_room), [1, 1]),
    "the second killed": ((nothing, die), [1, -9]),
    "the second hangs, both signalled": ((signalled, hang_signalled), [143, 143]),
    "the first hangs, both signalled": ((hang_signalled, signalled), [143, 143]),
    "one hangs, and only that one is signalled": ((nothing, hang_signalled), [1, 143]),
    "SIGHUP to the second": ((nothing, hung_up), [129, 129]),
    "SIGUSR1 to both": ((batch_signal, batch_signal), [138, 138]),
}


#: Where nothing hangs the step is finished.
FINISHED = ("SIGHUP to the second", "SIGUSR1 to both")


@pytest.mark.parametrize("name", FAULTS)
def test_both_end_and_the_state_before_the_step_is_saved(tmp_path, name):
    faults, wanted = FAULTS[name]
    codes = exit_codes(tmp_path / "run", faults)
    assert codes == wanted
    done = FAILS_AT + (name in FINISHED)
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == done
    is_exported = (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()
    assert is_exported == (1 in wanted)  # what was stopped by signals goes on
    row(f"two processes: {name}", 1, 1)


@pytest.mark.parametrize("at_end", [(nothing, signalled), (signalled, nothing), (hung_up, hung_up)])
def test_a_signal_after_the_last_step_ends_both_with_its_code(tmp_path, at_end):
    """There is no step left to stop at: what is left is done, export included."""
    codes = exit_codes(tmp_path / "run", at_end=at_end)
    assert codes == ([129, 129] if hung_up in at_end else [143, 143])
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == MAX_STEPS
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()
    row("two processes: a signal after the last step", 1, 1)


def whole_and_continued(rank, folder):  # noqa: ARG001
    whole = train(Path(folder) / "whole", nothing)
    rest = train(Path(folder) / "rest", nothing, ckpt_path=Path(folder) / "run" / "last.ckpt")
    one, other = weights(whole), weights(rest)
    return [torch.equal(one[name], other[name]) for name in one]


def test_what_one_process_saved_alone_is_continued_exactly(tmp_path):
    from tests.devices.launch import in_two_processes

    exit_codes(tmp_path / "run", FAULTS["the second killed"][0])
    for same in in_two_processes(whole_and_continued, str(tmp_path), timeout_seconds=600):
        assert same
        assert all(same)


SLOW_VALIDATION = """
import os, time
from pathlib import Path
from lightning.pytorch import Callback

class SlowValidation(Callback):
    def on_validation_batch_start(self, trainer, *_):
        Path(f"validates-{trainer.global_rank}").write_text(str(os.getpid()))
        time.sleep(0.5)
"""


def is_there(pid):
    """Whether the process runs; one that ended, and whose parent has not looked, does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_signal_in_the_validation_of_the_whole_command_line_ends_both(tmp_path):
    (tmp_path / "hooks.py").write_text(SLOW_VALIDATION)
    settings = {
        "root": None,
        "model.strategy": "SFT",
        "trainer.devices": 2,
        "trainer.accelerator": "cpu",
        "trainer.limit_val_batches": 1,
        "trainer.val_check_interval": 2,
        "trainer.callbacks": '[{"class_path": "hooks.SlowValidation"}]',
        "data.num_val_prompts": 4,
        "data.num_train_prompts_per_epoch": 16,
    }

    def start(*flags):
        command = [sys.executable, "-m", "remot", *words("fit", *flags, **settings)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(PROJECT)])}
        with (tmp_path / "log").open("a") as log:
            return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT)

    process, markers = start(), [tmp_path / f"validates-{rank}" for rank in range(2)]
    while not all(marker.exists() and marker.read_text() for marker in markers):
        assert process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    signalled = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    second = int(markers[1].read_text())
    while is_there(second) and time.monotonic() - signalled < 60:
        time.sleep(0.1)
    assert not is_there(second)
    (last,) = tmp_path.glob("runs/*/*/last.ckpt")
    assert read_checkpoint(last)["global_step"] == 3  # the step after the validation is done together
    assert start("--ckpt_path", "last").wait(timeout=600) == 0, (tmp_path / "log").read_text()
    assert read_checkpoint(last)["global_step"] == 4
    row("two processes: SIGTERM in the validation of the command line", 1, 1)
