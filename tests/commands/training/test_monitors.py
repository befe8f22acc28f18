"""Metrics that callbacks follow, checked before a model is loaded."""

from pathlib import Path

import pytest
from jsonargparse import Namespace

from remot.cli import main
from remot.commands.training.monitors import complaint_about_metric, require_callbacks_fit
from remot.errors import ConfigError
from tests.helpers import PROJECT

BEST = str(PROJECT / "configs" / "quickstart_best.yaml")
LIGHT = "lightning.pytorch.callbacks"
POLICY = Namespace(class_path="remot.callbacks.BestPolicy")


class OwnCheckpoint:
    """Of the user's own code: what it does is not known."""


def callback(name, **settings):
    return Namespace(class_path=name if "." in name else f"{LIGHT}.{name}", init_args=Namespace(**settings))


def config(*callbacks, trainer=None, data=None, checkpoint=None):
    """What the parser leaves of a run that validates every 10 of 60 steps."""
    lightning = {"limit_val_batches": 4, "fast_dev_run": False, "enable_checkpointing": None, "max_steps": 60}
    lightning |= {"val_check_interval": 10, "check_val_every_n_epoch": None, "callbacks": list(callbacks) or None}
    settings = Namespace(**{"monitor": None, "save_top_k": 0} | (checkpoint or {}))
    prompts = Namespace(**{"val_fraction": 0.1, "records": None, "tasks": None} | (data or {}))
    return Namespace(trainer=Namespace(**lightning | (trainer or {})), data=prompts, checkpoint=settings)


def best(monitor="val/overall", **settings):
    return callback("ModelCheckpoint", monitor=monitor, **{"save_top_k": 1} | settings)


@pytest.mark.parametrize(
    "monitor", ["val/overall", "val/cut_off", "val/attribute/camera_yaw/partial", "train/anything"]
)
@pytest.mark.parametrize("kind", ["ModelCheckpoint", "EarlyStopping"])
def test_metrics_of_a_run_pass(kind, monitor):
    require_callbacks_fit(config(callback(kind, monitor=monitor)))
    require_callbacks_fit(config(trainer={"callbacks": callback(kind, monitor=monitor)}))


@pytest.mark.parametrize(
    ("settings", "nearest"),
    [
        ({"monitor": "val/overal"}, "did you mean 'val/overall'?"),
        ({"monitor": "eval/final/overall"}, "did you mean 'val/overall'?"),  # which goes to loggers alone
        ({"monitor": "overall"}, "did you mean 'val/overall'?"),
        ({"monitor": "val/attribute/camera_yw/partial"}, "did you mean 'val/attribute/camera_yaw/partial'?"),
        ({"monitor": "zzz"}, "choose from val/overall, val/partial, val/logic, val/format, val/cut_off, train/loss"),
    ],
)
@pytest.mark.parametrize("kind", ["ModelCheckpoint", "EarlyStopping"])
def test_a_metric_that_no_callback_is_given_is_refused(kind, settings, nearest):
    with pytest.raises(ConfigError) as refused:
        require_callbacks_fit(config(callback(kind, **settings)))
    told = f"trainer.callbacks: {kind} has the monitor {settings['monitor']!r}, which this run gives to no callback; "
    assert str(refused.value) == told + nearest


@pytest.mark.parametrize(
    "unknown",
    [
        config(best("val/task/tracking/total")),
        config(best("val/attribute/mine/partial"), data={"tasks": [callback("mine.Task")]}),
        config(best("mine"), callback(f"{__name__}.OwnCheckpoint")),
        config(best("step")),
        config(best("zzz", save_top_k=0)),
        config(best("zzz"), trainer={"enable_checkpointing": False}),
        config(callback("EarlyStopping", monitor="zzz", strict=False)),
        config(best("lr-AdamW"), callback("LearningRateMonitor")),
        config(callback("Timer")),
    ],
)
def test_what_cannot_be_known_passes(unknown):
    require_callbacks_fit(unknown)


@pytest.mark.parametrize(
    ("trainer", "data", "reason"),
    [
        ({"limit_val_batches": 0}, {}, "trainer.limit_val_batches is 0"),
        ({"limit_val_batches": 0.0}, {}, "trainer.limit_val_batches is 0"),
        ({}, {"val_fraction": 0}, "data.val_fraction is 0"),
    ],
)
def test_a_score_of_a_run_that_never_validates_is_refused(trainer, data, reason):
    with pytest.raises(ConfigError) as refused:
        require_callbacks_fit(config(best(), trainer=trainer, data=data))
    assert str(refused.value) == (
        f"trainer.callbacks: ModelCheckpoint has the monitor 'val/overall', and this run never validates ({reason}); "
        "change that, or monitor a metric of training such as train/loss"
    )
    require_callbacks_fit(config(best("train/loss"), trainer=trainer, data=data))
    require_callbacks_fit(config(best(), trainer=trainer | {"fast_dev_run": True}, data=data))


def test_a_run_that_may_validate_passes():
    require_callbacks_fit(config(best(), data={"val_fraction": 0, "records": "prompts.jsonl"}))
    require_callbacks_fit(config(best(), trainer={"val_check_interval": 61}))  # cut short to try it


@pytest.mark.parametrize(
    ("callbacks", "trainer", "number"),
    [
        ([], {}, 0),
        ([best(None)], {}, 0),
        ([best(save_top_k=0)], {}, 0),
        ([best()], {"enable_checkpointing": False}, 0),
        ([best(), best("val/partial")], {}, 2),
    ],
)
def test_the_best_policy_needs_one_checkpoint_of_the_best_step(callbacks, trainer, number):
    with pytest.raises(ConfigError, match=f"BestPolicy takes the weights .* there are {number} such callbacks"):
        require_callbacks_fit(config(*callbacks, POLICY, trainer=trainer))


def test_the_runs_own_checkpoint_may_keep_the_best_step():
    require_callbacks_fit(config(POLICY, checkpoint={"monitor": "val/overall", "save_top_k": 1}))
    with pytest.raises(ConfigError, match=r"^checkpoint has the monitor 'val/overal'"):
        require_callbacks_fit(config(checkpoint={"monitor": "val/overal", "save_top_k": 1}))


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["--trainer.callbacks", "remot.callbacks.BestPolicy"], "BestPolicy takes the weights"),
        (["--trainer.limit_val_batches", "0"], "never validates (trainer.limit_val_batches is 0)"),
        (["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "val/x"], "has the monitor 'val/x'"),
    ],
)
def test_a_refused_run_leaves_nothing(words, fact, tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        pytest.fail("a model was loaded before the callbacks were checked")

    monkeypatch.setattr("remot.strategies.settings.VLMPolicy", refuse)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", BEST, *words])
    assert stop.value.code == 2
    assert fact in capsys.readouterr().err.splitlines()[-1]
    assert list(Path().iterdir()) == []


def test_late_complaints_of_lightning_become_one_sentence():
    checkpoint = (
        "`ModelCheckpoint(monitor='val/task/a/total')` could not find the monitored key in the returned metrics: "
        "['train/loss', 'val/task/b/total', 'epoch']. HINT: Did you call `log('val/task/a/total', value)` in the "
        "`LightningModule`?"
    )
    stopping = (
        "Early stopping conditioned on metric `zzz` which is not available. Pass in or modify your `EarlyStopping` "
        "callback to use any of the following: `train/loss`, `val/overall`"
    )
    assert complaint_about_metric(checkpoint) == (
        "trainer.callbacks: ModelCheckpoint has the monitor 'val/task/a/total', which this run has not logged; did you "
        "mean 'val/task/b/total'?"
    )
    assert complaint_about_metric(stopping) == (
        "trainer.callbacks: EarlyStopping has the monitor 'zzz', which this run has not logged; "
        "choose from train/loss, val/overall"
    )
    assert complaint_about_metric("something else") is None
