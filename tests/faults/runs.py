"""Runs of the command line in processes that can be killed, which share what this process has imported."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from remot.cli import main
from tests.helpers import PROJECT
from tests.tiny import model_folder

QUICKSTART = str(PROJECT / "configs" / "quickstart.yaml")
SMALL = {
    "root": "clips",
    "trainer.max_steps": 4,
    "trainer.limit_val_batches": 0,
    "trainer.num_sanity_val_steps": 0,
    "trainer.logger": "false",
    "model.grpo.num_completions": 2,
    "model.grpo.max_new_tokens": 4,
    "model.evaluation.max_new_tokens": 4,
    "data.batch_size": 2,
    "data.num_train_prompts_per_epoch": 8,
    "data.num_val_prompts": 2,
    "data.num_test_prompts": 2,
    "data.num_workers": 0,
    "held_out.enabled": "false",
    "samples.every_n_steps": 0,
    "progress.every_steps": 1,
    "checkpoint.every_n_train_steps": 1,
}
#: Longest time of a run, on a machine that does other work.
MAX_SECONDS = 600.0


def words(command, *flags, recipe=None, **settings):
    """The command line of a small run, with a recipe on top of the quickstart; a setting of None is left out."""
    named = SMALL | {"model.policy.source.pretrained": model_folder()} | settings
    pairs = [("--config", str(PROJECT / "configs" / recipe))] if recipe else []
    pairs += [(f"--{key}", str(value)) for key, value in named.items() if value is not None]
    return [command, "--config", QUICKSTART, *(word for pair in pairs for word in pair), *flags]


class Run:
    """A command in a process of its own.

    Args:
        folder: Working folder.
        arguments: Of the command line.
        environment: Variables to set.
        prepare: Called in the process before it runs.
    """

    number = 0

    def __init__(self, folder, arguments, environment=None, prepare=lambda: None):
        Run.number += 1
        self.folder, self.log = Path(folder), Path(folder) / f"log-{Run.number}.txt"
        self.log.touch()
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                os.chdir(folder)
                os.environ.update(environment or {})
                file = self.log.open("w", buffering=1)
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
                sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for name in ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1"):
                    signal.signal(signal.Signals[name], signal.SIG_DFL)
                prepare()
                code = self._run(arguments)
            finally:
                os._exit(code)

    @staticmethod
    def _run(arguments):
        import traceback

        try:
            main(arguments)
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        except BaseException:  # noqa: BLE001 (as Python does at the end of a process)
            traceback.print_exc()
            return 1
        return 0

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, marker):
        """Until the output holds ``marker``."""
        while marker not in self.text():
            assert time.monotonic() - self.started < MAX_SECONDS, self.text()
            done, status = os.waitpid(self.pid, os.WNOHANG)
            assert not done, f"ended with {os.waitstatus_to_exitcode(status)}: {self.text()}"
            time.sleep(0.01)
        return self

    def send(self, number):
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return self

    def end(self):
        """Exit code, negative for a signal that killed it."""
        while True:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() - self.started > MAX_SECONDS:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"still running: {self.text()}")
            time.sleep(0.01)


def finish(folder, *flags, environment=None, **settings):
    """A run to its end: exit code and output."""
    run = Run(folder, words("fit", *flags, **settings), environment)
    return run.end(), run.text()


def kill_and_go_on(folder, generator, num_kills, **settings):
    """Kill a run at any moment and go on from ``last``, so many times, then let it end: how often it was killed."""
    killed = 0
    for _ in range(num_kills):
        flags = ("--ckpt_path", "last") if list(folder.glob("runs/*/*/*.ckpt")) else ()
        run = Run(folder, words("fit", *flags, **settings))
        run.wait_for("s/step")
        time.sleep(generator.uniform(0, 0.3))
        run.send(signal.SIGKILL)
        killed += run.end() == -signal.SIGKILL
    flags = ("--ckpt_path", "last") if list(folder.glob("runs/*/*/*.ckpt")) else ()
    code, text = finish(folder, *flags, **settings)
    assert code == 0, text
    return killed
