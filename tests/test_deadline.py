"""Waits are bounded, and a process that was stopped meanwhile has not waited."""

import os
import signal
import time

import pytest

from remot.deadline import SLICE_SECONDS, in_time, waited


def test_a_call_gives_what_it_returns_raises_or_a_timeout():
    assert in_time(lambda: 7, 5.0) == 7
    assert in_time(lambda: 7, None) == 7
    with pytest.raises(KeyError, match="no"):
        in_time(lambda: {}["no"], 5.0)
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"0\.2 s"):
        in_time(lambda: time.sleep(5), 0.2)
    assert time.monotonic() - started < 2


def test_the_slices_are_as_long_as_the_wait():
    slices = []
    assert not waited(slices.append, 2.2 * SLICE_SECONDS)
    assert sum(slices) == pytest.approx(2.2 * SLICE_SECONDS)
    assert waited(lambda seconds: seconds > 0, 1.0)


@pytest.mark.slow
def test_time_in_which_a_process_is_stopped_does_not_count():
    """Such as SIGSTOP of the whole run, with what it waits for."""
    reader, writer = os.pipe()
    if (process := os.fork()) == 0:
        try:
            in_time(lambda: os.read(reader, 1), 6 * SLICE_SECONDS)
        except TimeoutError:
            os._exit(1)
        os._exit(0)
    time.sleep(0.3)
    os.kill(process, signal.SIGSTOP)
    time.sleep(8 * SLICE_SECONDS)
    os.kill(process, signal.SIGCONT)
    time.sleep(0.3)
    os.write(writer, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
