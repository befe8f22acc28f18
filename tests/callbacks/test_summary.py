"""What is kept of steps that were not finite."""

import os
import time
from types import SimpleNamespace

from remot.callbacks.summary import _keep_state


def test_the_states_that_stay_are_those_of_the_last_steps_whatever_the_clock(tmp_path):
    trainer = SimpleNamespace(is_global_zero=True, save_checkpoint=lambda path, **_: path.touch())
    for step in (8, 9, 10):
        _keep_state(trainer, tmp_path / f"step-{step}.ckpt")
        ahead = time.time() + 86400 * (11 - step)
        os.utime(tmp_path / f"step-{step}.ckpt", (ahead, ahead))
    assert {path.name for path in tmp_path.iterdir()} == {"step-9.ckpt", "step-10.ckpt"}
