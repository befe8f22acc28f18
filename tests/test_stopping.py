"""A signal ends a command with one line and 128 + its number, wherever it is."""

import os
import signal
import subprocess
import sys
import time

import pytest

from remot import stopping
from remot.stopping import StoppedBySignal, follow_launcher, is_unclaimed, stops_as_exits, watched

NUMBERS = [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU, signal.SIGUSR1]
#: A command that says when it has begun, then does something.
COMMAND = """
import sys, time
import remot.commands, remot.stopping
remot.stopping.HARD_SECONDS = 1.0
def run(args):
    print("begun", flush=True)
    {body}
remot.commands.run = run
from remot.cli import main
main([])
"""
BODIES = {
    "waits": "time.sleep(60)",
    "catches everything": "\n    while True:\n        try: time.sleep(60)\n        except BaseException: pass",
    "waits in a library": "import ctypes; [ctypes.CDLL(None).pause() for _ in range(9)]",
}


@pytest.fixture(autouse=True)
def _signals_as_before():
    before = {number: signal.signal(number, signal.SIG_DFL) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def started(body):
    words = [sys.executable, "-c", COMMAND.format(body=body)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_a_command_ends_in_one_line(number):
    process = started(BODIES["waits"])
    process.send_signal(number)
    _, text = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert text == f"remot: stopped by {number.name}\n"


@pytest.mark.parametrize("body", ["catches everything", "waits in a library"])
def test_what_does_not_react_is_ended(body):
    process = started(BODIES[body])
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143


def test_the_next_command_of_a_process_is_not_ended_by_a_signal_to_the_one_before():
    lines = [
        "import os, signal, time",
        "from remot import stopping",
        "stopping.HARD_SECONDS = 0.5",
        "try:",
        "    with stopping.stops_as_exits():",
        "        os.kill(os.getpid(), signal.SIGTERM)",
        "        time.sleep(10)",
        "except stopping.StoppedBySignal:",
        "    pass",
        "with stopping.stops_as_exits():",
        "    time.sleep(1.5)",
    ]
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], check=False, timeout=60).returncode == 0


def test_handlers_are_those_of_before_afterwards(monkeypatch):
    def mine(*_):
        pass

    signal.signal(signal.SIGHUP, mine)
    with stops_as_exits():
        assert signal.getsignal(signal.SIGHUP) is mine
        assert is_unclaimed(signal.SIGUSR1)
        with pytest.raises(StoppedBySignal) as stop:
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # what is being cleaned up is not disturbed
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with stops_as_exits():
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_a_worker_ends_by_the_signal_itself():
    heard, (reader, writer) = [], os.pipe()
    with stops_as_exits():
        if (worker := os.fork()) == 0:
            os.write(writer, b"begun")
            time.sleep(60)
            os._exit(0)
        os.read(reader, 5)
        with watched(heard.append):
            os.kill(worker, signal.SIGTERM)
            code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
            time.sleep(0.1)
        assert code == -signal.SIGTERM
    assert heard == []


@pytest.mark.parametrize("kind", ["one of several processes", "run of a sweep"])
def test_a_process_ends_when_the_one_that_launched_it_has(monkeypatch, kind):
    monkeypatch.setattr(stopping, "POLL_SECONDS", 0.05)
    reader, writer = os.pipe()
    if (launcher := os.fork()) == 0:
        with follow_launcher():
            if os.fork() == 0:
                if kind == "run of a sweep":
                    os.environ[stopping.SWEEP] = str(os.getppid())
                else:
                    os.environ["LOCAL_RANK"] = "1"
                signal.signal(signal.SIGTERM, lambda *_: (os.write(writer, b"ended"), os._exit(0)))
                with follow_launcher():
                    os.write(writer, b"begun")
                    time.sleep(30)
            time.sleep(60)
    assert os.read(reader, 5) == b"begun"
    os.kill(launcher, signal.SIGKILL)
    os.waitpid(launcher, 0)
    os.close(writer)
    assert os.read(reader, 5) == b"ended"
    assert stopping.LAUNCHER not in os.environ


def test_a_run_that_empties_the_environment_ends_well(monkeypatch):
    """As a reward may."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    held = dict(os.environ)
    try:
        with follow_launcher():
            os.environ.clear()
        assert stopping.LAUNCHER not in os.environ
    finally:
        os.environ.update(held)
