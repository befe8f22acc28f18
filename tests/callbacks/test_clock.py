from remot.callbacks import StepClock
from tests.helpers import assert_close


def test_nothing_is_known_before_the_first_step():
    clock = StepClock()
    assert clock.seconds_per_step is None
    clock.start(0, 10.0)
    assert clock.seconds_per_step is None
    assert clock.seconds_left(5) is None


def test_speed_and_time_left_by_hand():
    """Steps at 2 s and 6 s: 3 s each; 8 of 10 are left: 24 s."""
    clock = StepClock()
    clock.start(0, 100.0)
    clock.tick(1, 102.0)
    clock.tick(2, 106.0)
    assert_close([clock.seconds_per_step, clock.seconds_left(10), clock.seconds_left(1)], [3, 24, 0])
    assert clock.seconds_left(None) is None


def test_evaluation_is_left_out():
    """10 s of evaluation between two steps of 1 s."""
    clock = StepClock()
    clock.start(0, 0.0)
    clock.tick(1, 1.0)
    clock.pause(1.0)
    clock.resume(11.0)
    clock.resume(12.0)
    clock.tick(2, 12.0)
    assert_close(clock.seconds_per_step, 1)


def test_continued_runs_and_several_updates_a_rollout():
    """From step 40, four optimiser steps in 2 s."""
    clock = StepClock()
    clock.start(40, 0.0)
    clock.tick(44, 2.0)
    assert_close([clock.seconds_per_step, clock.seconds_left(48)], [0.5, 2])


def test_only_the_window_counts():
    clock = StepClock(window=2)
    clock.start(0, 0.0)
    for step, now in ((1, 100.0), (2, 101.0), (3, 102.0)):
        clock.tick(step, now)
    assert_close(clock.seconds_per_step, 1)
