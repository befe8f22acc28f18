"""Numbers of settings that mean nothing are refused before a run begins, with the setting at fault."""

import math

import pytest

from remot.callbacks.held_out import HeldOutEvaluation
from remot.callbacks.progress import PhaseProgressBar
from remot.callbacks.samples import CompletionSamples
from remot.commands.parsing.functions import require_numbers
from remot.commands.training.checks import require_intervals, require_time
from remot.data.clips.splits import split_by_scene
from remot.data.datamodule import MotionDataModule
from remot.data.datasets.bad_clips import BadClips
from remot.errors import ConfigError
from remot.evaluation.benchmark import EvaluationSettings
from remot.evaluation.benchmarks.responders import AnswerSettings
from remot.losses import GRPOLoss
from remot.models import LoRA, ModelSource
from remot.rewards import ConcisenessReward, IsolatedReward, ReMoTReward
from remot.rollout.sampling import SamplingSettings
from remot.rollout.servers.client import JSONClient
from remot.strategies import GRPOObjective, ShuffledFrames
from remot.strategies.dpo.pairs import OwnCompletions
from remot.strategies.sft import SFTObjective

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("kind", "key", "values"),
    [
        (LoRA, "rank", (0, -1, 2**14 + 1, 10**9)),
        (LoRA, "alpha", (0.0, -1.0, INF, NAN)),
        (LoRA, "dropout", (-0.1, 1.0, INF, NAN)),
        (ModelSource, "max_pixels", (0, -1)),
        (ModelSource, "min_pixels", (0, 2**24 + 1, 10**9)),
        (ModelSource, "video_min_pixels", (0, -1, 2**24 + 1)),
        (lambda max_pixels: ModelSource(min_pixels=256, max_pixels=max_pixels), "max_pixels", (255,)),
        (GRPOLoss, "beta", (-0.1, INF, NAN)),
        (SFTObjective, "letter_weight", (-1.0, INF, NAN)),
        (ReMoTReward, "format_weight", (INF, -INF, NAN)),
        (ConcisenessReward, "target_length", (-1.0, INF, NAN)),
        (ConcisenessReward, "scale", (0.0, INF, NAN)),
        (EvaluationSettings, "max_new_tokens", (0, -1)),
        (EvaluationSettings, "num_completions", (0, -1)),
        (CompletionSamples, "num_shown", (-1,)),
        (CompletionSamples, "num_prompts", (-1,)),
        (HeldOutEvaluation, "num_pages", (-1,)),
        (PhaseProgressBar, "every_steps", (0, -1)),
        (PhaseProgressBar, "every_seconds", (-1.0, NAN)),
        (BadClips, "max_wait_seconds", (0.0, NAN, INF, 1e30)),
        (lambda max_seconds: IsolatedReward(ReMoTReward(), max_seconds), "max_seconds", (0.0, NAN, INF)),
        (lambda timeout_seconds: JSONClient("http://h", timeout_seconds, 0, 1), "timeout_seconds", (0.0, NAN, INF)),
        (lambda num_completions: GRPOObjective(num_completions, 64), "num_completions", (2**18 + 1, 10**9)),
        (lambda max_new_tokens: GRPOObjective(8, max_new_tokens), "max_new_tokens", (2**21 + 1, 10**9)),
        (EvaluationSettings, "max_new_tokens", (2**24 + 1,)),
        (SamplingSettings, "temperature", (1e-30, 1e-300)),
        (OwnCompletions, "num_completions", (2**24 + 1,)),
        (ShuffledFrames, "num_completions", (2**24 + 1,)),
        (AnswerSettings, "max_new_tokens", (0, 2**24 + 1)),
        (MotionDataModule, "num_workers", (-1, 1025, 10**6)),
        (MotionDataModule, "num_val_prompts", (2**20 + 1,)),
        (MotionDataModule, "num_test_prompts", (2**20 + 1,)),
        (
            lambda batch_size: MotionDataModule(batch_size=batch_size, num_train_prompts_per_epoch=10**12),
            "batch_size",
            (2**20 + 1, 10**9),
        ),
        (lambda val_fraction: split_by_scene((), val_fraction, 0.1), "val_fraction", (-0.1, 0.9, NAN, INF)),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", None),
)
def test_what_means_nothing_is_refused(kind, key, values):
    for value in values:
        with pytest.raises(ConfigError, match=key.removeprefix("format_").removesuffix("_weight")):
            kind(**{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("check_val_every_n_epoch", 0),
        ("check_val_every_n_epoch", -1),
        ("log_every_n_steps", -1),
        ("devices", 10**6),
        ("devices", "1000000"),
        ("devices", -2),
        ("num_nodes", 0),
        ("num_nodes", 10**6),
    ],
)
def test_intervals_of_lightning(key, value):
    with pytest.raises(ConfigError, match=f"trainer.{key} is {value}"):
        require_intervals({key: value})


def test_devices_that_can_be_meant():
    for value in (1, 8, -1, "auto", "2", "0,1", [0, 1], "-1", None):
        require_intervals({"devices": value})


@pytest.mark.parametrize(
    "value", ["99999999999999999999:00:00:00", {"days": 1e30}, {"seconds": -1}, {"weeks": INF}, {"minutes": "1"}]
)
def test_a_time_that_is_no_duration(value):
    with pytest.raises(ConfigError, match=r"trainer\.max_time is .*(99:00|\{)"):
        require_time(value)
    require_time("00:00:00:04")
    require_time({"weeks": 1, "hours": 0.5})
    require_time(None)


def test_nan_is_named_wherever_it_stands():
    with pytest.raises(ConfigError, match=r"model\.tasks\.1\.scale is NaN"):
        require_numbers({"model": {"tasks": [1.0, {"scale": NAN}]}})
    require_numbers({"model": {"tasks": (INF, "nan", None)}})


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**4000], ids=["above", "below", "far"])
def test_an_integer_of_more_than_64_bits_is_named(value):
    with pytest.raises(ConfigError, match=r"trainer\.max_steps has \d+ bits"):
        require_numbers({"trainer": {"max_steps": value}})
    require_numbers({"trainer": {"max_steps": 2**63 - 1, "min_steps": -(2**63), "barebones": True}})
