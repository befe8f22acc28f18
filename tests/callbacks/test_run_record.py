"""``run.json``, cost and device metrics of a real trainer, and the scores per question that a run keeps."""

import gc
import json
import math

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger

from remot.callbacks import HeldOutEvaluation, RunCheckpoint, RunRecord
from remot.evaluation.answer_table import read_answers
from remot.strategies import GRPO, SFT
from remot.tracking import read_run_file, write_run_file
from tests.helpers import assert_close
from tests.strategies.test_module import RandomPrompts, make_trainer, ready_module


class Kept(CSVLogger):
    """Keeps what it is given."""

    def __init__(self, folder):
        super().__init__(folder)
        self.points = []

    def log_metrics(self, metrics, step=None):
        self.points += [(name, step, value) for name, value in metrics.items()]


def fitted(folder, *more, steps=2, strategy=None, **settings):
    logger, record = Kept(folder), RunRecord()
    checkpoint = RunCheckpoint(dirpath=folder / "run")
    trainer = make_trainer(
        folder,
        max_steps=steps,
        logger=logger,
        callbacks=[record, checkpoint, *more],
        enable_checkpointing=True,
        **settings,
    )
    trainer.fit(ready_module(strategy or GRPO()), RandomPrompts())
    return logger, record


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    (folder / "run").mkdir()
    return folder, *fitted(folder, HeldOutEvaluation(num_pages=1), log_every_n_steps=1)


class Frozen(Callback):
    """How many objects full collections pass over, after each step; then ``fault``."""

    def __init__(self, fault=lambda: None):
        self.fault, self.counts = fault, []

    def on_train_batch_end(self, *_):
        self.counts.append(gc.get_freeze_count())
        self.fault()


def test_collections_pass_over_what_was_there_before_the_training(tmp_path):
    """Libraries alone are more than 100,000 objects; a run that has ended, in any way, keeps none of them alive."""
    seen = Frozen()
    fitted(tmp_path / "good", seen, strategy=SFT())
    assert min(seen.counts) > 100_000
    assert gc.get_freeze_count() == 0

    def fail():
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 (as it is raised above)
        fitted(tmp_path / "bad", Frozen(fail), strategy=SFT())
    assert gc.get_freeze_count() == 0


def values(logger, name):
    return {step: value for key, step, value in logger.points if key == name}


def test_the_cost_is_that_of_the_run(run):
    """Tokens are those of the rollouts of both steps, by the metrics of the steps."""
    _, logger, record = run
    tokens = values(logger, "train/rollout/num_tokens")
    assert set(tokens) == {0, 1}
    assert values(logger, "cost/sampled_tokens") == {2: sum(tokens.values())}
    assert tokens[0] > 0
    (seconds,) = values(logger, "cost/seconds").values()
    assert seconds > sum(values(logger, "train/seconds_per_step").values())
    assert values(logger, "cost/peak_memory_gib")[2] > 0.05
    assert record.cost()["sampled_tokens"] == sum(tokens.values())


def test_device_metrics_stand_at_the_steps_of_the_training(run):
    _, logger, _ = run
    assert set(values(logger, "device/memory_gib")) == set(values(logger, "train/loss")) == {0, 1}
    assert all(0 <= cores < 1000 for cores in values(logger, "device/cpu_cores").values())


def test_the_folder_says_what_the_run_is(run):
    folder, _, record = run
    held = read_run_file(folder / "run")
    assert (held["name"], held["state"], held["step"], held["mlflow"]) == ("run", "finished", 2, None)
    assert held["tags"]["remot.strategy"] == "GRPO"
    assert held["cost"]["sampled_tokens"] == record.cost()["sampled_tokens"]


def test_scores_per_question_are_those_of_the_table(run):
    folder = run[0] / "run"
    sides = read_answers("f", (folder / "held_out_answers.jsonl").read_bytes(), ("base", "final"))
    table = json.loads((folder / "held_out.json").read_text())
    for kind, suffix in (("sampled", ""), ("greedy", "_greedy")):
        for name, numbers in table[kind].items():
            for side, key in (("base", "base"), ("final", "trained")):
                wanted, found = numbers[key]["mean"], sides[side].mean(f"{name}{suffix}")
                assert math.isnan(found) if wanted is None else found == pytest.approx(wanted)


def test_pages_go_to_the_folder_where_no_logger_takes_them(run):
    folder = run[0] / "run"
    assert "<h3>" not in (folder / "samples" / "held_out_base.html").read_text()
    both = (folder / "samples" / "held_out_final.html").read_text()
    assert both.count("<article") == both.count("<h3>base</h3>") == both.count("<h3>trained</h3>") == 1
    assert (folder / "final_table.txt").read_text()
    assert "torch==" in (folder / "environment.txt").read_text()


def test_a_continued_run_counts_on(tmp_path):
    (tmp_path / "run").mkdir()
    _, first = fitted(tmp_path, steps=1)
    second = RunRecord()
    second.load_state_dict(first.state_dict())
    before = first.state_dict()["cost"]
    assert_close(second.cost()["sampled_tokens"], before["sampled_tokens"])
    assert second.cost()["seconds"] >= before["seconds"]


@pytest.mark.parametrize(("error", "state"), [(KeyboardInterrupt(), "interrupted"), (ValueError("x"), "failed")])
def test_how_a_run_ended_is_kept(tmp_path, error, state):
    (tmp_path / "run").mkdir()

    class Stops(SFT):
        def phase(self, step):
            if step == 1:
                raise error
            return "SFT"

    with pytest.raises((SystemExit, ValueError, KeyboardInterrupt)):
        fitted(tmp_path, strategy=Stops())
    held = read_run_file(tmp_path / "run")
    assert (held["state"], held["step"]) == (state, 1)


def test_an_evaluation_that_fails_leaves_the_record_of_the_training(tmp_path):
    """``remot predict --ckpt_path`` works in the folder of a run, whose state ``remot sweep`` reads."""
    (tmp_path / "run").mkdir()
    write_run_file(tmp_path / "run", {"state": "finished", "step": 60})

    class Fails(Callback):
        def on_predict_start(self, *_):
            raise TimeoutError

    kept = [RunRecord(), RunCheckpoint(dirpath=tmp_path / "run"), Fails()]
    trainer = make_trainer(tmp_path, callbacks=kept, enable_checkpointing=True)
    with pytest.raises(TimeoutError):
        trainer.predict(ready_module(SFT()), RandomPrompts())
    assert read_run_file(tmp_path / "run") == {"state": "finished", "step": 60}
