"""A standard output that takes no text, a log on a full disk or a closed one, ends no command before its end."""

import os
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from remot.cli import EXIT_BAD_INPUT, main
from remot.terminal import guard_output, lost_output, write_err, write_out
from tests.data.handmade import mixed_clips, write_folder
from tests.faults.runs import Run, words
from tests.faults.table import row

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")


@contextmanager
def writing_to(stream):
    """The standard output for what stands within; pytest changes it between a fixture and its test."""
    with redirect_stdout(stream):
        yield
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # so that it can be closed
    stream.close()


def test_what_is_lost_is_noted():
    with writing_to(FULL.open("w", encoding="utf-8")):
        guard_output()
        assert lost_output() is None
        write_out("text\n" * 10_000)
        sys.stdout.flush()
        assert lost_output().strerror == "No space left on device"


def test_a_command_is_done_and_does_not_end_well(monkeypatch, capfd):
    done = []

    def run(_):
        sys.stdout.write("a table\n" * 10_000)
        done.append(True)

    monkeypatch.setattr("remot.commands.run", run)
    with writing_to(FULL.open("w", encoding="utf-8")):
        for _ in range(2):  # a second guard in one process finds it, too
            with pytest.raises(SystemExit) as stop:
                main(["fit"])
            assert stop.value.code == EXIT_BAD_INPUT
    assert done == [True, True]
    assert "No space left on device" in capfd.readouterr().err


@pytest.mark.parametrize("is_none", [False, True])
def test_a_reward_that_closes_the_output_ends_no_run(monkeypatch, capsys, is_none):
    """What is written later is lost, and reported where there is anything to report it on."""
    done = []

    def run(_):
        if is_none:
            sys.stdout = sys.stderr = None
        else:
            sys.stdout.close()
        write_out("a table\n")
        write_err("a line\n")
        done.append(True)

    monkeypatch.setattr("remot.commands.run", run)
    with redirect_stdout(open(os.devnull, "w", encoding="utf-8")), redirect_stderr(sys.stderr):  # noqa: PTH123
        if is_none:
            main(["fit"])
        else:
            with pytest.raises(SystemExit) as stop:
                main(["fit"])
            assert stop.value.code == EXIT_BAD_INPUT
    assert done == [True]
    assert is_none or "standard output took no more text (it was closed)" in capsys.readouterr().err


def test_a_closed_output_takes_everything(monkeypatch):
    written = []
    monkeypatch.setattr("remot.commands.run", lambda _: written.append(sys.stdout.write("a table")))
    with redirect_stdout(None):
        main(["fit"])
    assert written == [7]


def test_letters_that_the_encoding_lacks_are_written_as_numbers(tmp_path):
    """As the names of clips with LANG=C."""
    with (tmp_path / "out").open("w", encoding="ascii") as file, writing_to(file):
        guard_output()
        write_out("B\u00e4lle \u0436\n")
        sys.stdout.flush()
    assert (tmp_path / "out").read_bytes() == b"B\\xe4lle \\u0436\n"


def test_other_errors_of_the_output_are_raised():
    """Such as that its reader has left, upon which the command ends."""
    reader, writer = os.pipe()
    os.close(reader)
    with writing_to(os.fdopen(writer, "w", encoding="utf-8")):
        guard_output()
        with pytest.raises(BrokenPipeError):
            write_out("text\n" * 100_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_whose_log_has_no_room_is_trained_and_exported(tmp_path):
    write_folder(tmp_path / "clips", mixed_clips(4))
    descriptor = os.open(FULL, os.O_WRONLY)
    run = Run(tmp_path, words("fit"), prepare=lambda: [os.dup2(descriptor, number) for number in (1, 2)])
    assert run.end() == EXIT_BAD_INPUT
    assert list(tmp_path.glob("runs/*/*/adapter/adapter_model.safetensors"))
    row("a log on a full disk", 1, 1)
