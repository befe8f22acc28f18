"""Signals after the last step: while the final policy is evaluated, and while it is exported."""

import json
import os
import signal
import time

import pytest

from remot.callbacks import HeldOutEvaluation, RunSummary, StoppedBySignal
from remot.models import export
from remot.strategies.checkpoint_io import read_checkpoint
from tests.faults.test_steps import MAX_STEPS, make, run, signals_as_before
from tests.tiny import model_folder

pytestmark = [
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*:UserWarning"),
]
__all__ = ["signals_as_before"]
PLACES = {"evaluation": (HeldOutEvaluation, "on_fit_end"), "export": (export, "write_record")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("place", PLACES)
def test_a_signal_after_the_last_step_costs_nothing(tmp_path, monkeypatch, place, number):
    """Ends at once with the signal's code; the state is there, no half of an export, and continuing does the rest."""
    signal.signal(number, signal.SIG_DFL)  # SIGHUP stays ignored in a process that nohup has started
    where, name = PLACES[place]
    real = getattr(where, name)

    def signalled(*_, **__):
        os.kill(os.getpid(), number)
        time.sleep(60)

    monkeypatch.setattr(where, name, signalled)
    folder, started = tmp_path / "run", time.monotonic()
    with pytest.raises(StoppedBySignal) as stop:
        run(make(), folder, HeldOutEvaluation(enabled=False), RunSummary())
    assert stop.value.code == 128 + number
    assert time.monotonic() - started < 30
    assert read_checkpoint(folder / "last.ckpt")["global_step"] == MAX_STEPS
    assert sorted(one.name for one in folder.iterdir()) in (["last.ckpt"], ["last.ckpt", "previous.ckpt"])
    monkeypatch.setattr(where, name, real)
    run(make(), folder, HeldOutEvaluation(enabled=False), RunSummary(), ckpt_path=folder / "last.ckpt")
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_an_evaluation_that_was_killed_goes_on_with_the_replies_it_has(tmp_path):
    """``remot evaluate`` ends with the signal's code; no batch is asked again."""
    from PIL import Image

    from tests.faults.runs import Run

    Image.new("RGB", (56, 56)).save(tmp_path / "a.png")
    rows = [{"images": ["a.png"], "question": f"How many {k}?", "answer": k, "task": "count"} for k in range(24)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["evaluate", "--benchmark", "jsonl", "--data", "q.jsonl", "--model", str(model_folder()), "--out", "out",
             "--batch_size", "1", "--max_new_tokens", "48"]  # fmt: skip
    replies = tmp_path / "out" / "replies.jsonl"
    first = Run(tmp_path, words)
    while not (replies.exists() and replies.read_text().count("\n") > 1):
        assert time.monotonic() - first.started < 120, first.text()
        time.sleep(0.02)
    assert first.send(signal.SIGTERM).end() == 143
    assert first.text().endswith("remot: stopped by SIGTERM\n")
    kept = replies.read_text().splitlines()
    second = Run(tmp_path, words)
    assert second.end() == 0, second.text()
    assert replies.read_text().splitlines()[: len(kept)] == kept
    assert (tmp_path / "out" / "scores.json").is_file()
