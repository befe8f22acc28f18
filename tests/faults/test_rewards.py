"""Rewards of users that raise, hang, crash or end the process: named with the completion, and bounded."""

import os
import signal
import time

import pytest
import torch

from remot.errors import ConfigError, EngineError, RewardError
from remot.rewards import CompositeReward, IsolatedReward, ReMoTReward, Reward, base
from remot.rewards.base import scored_by
from remot.strategies import GRPOObjective, PostTrainingModule
from remot.structures import RewardOutput
from tests.helpers import make_question

COMPLETIONS = ["a", "bb", "ccc"]
QUESTIONS = [make_question(prompt_id=f"p{number}") for number in range(3)]


class Sized(Reward):
    """The length of a completion; does what ``fault`` names at completions of two characters."""

    name = "sized"

    def __init__(self, fault=""):
        self.fault = fault

    def __call__(self, completions, questions):  # noqa: ARG002
        if self.fault and any(len(text) == 2 for text in completions):
            getattr(self, self.fault)()
        total = torch.tensor([float(len(text)) for text in completions])
        return RewardOutput(total, {"sized": total, "none": torch.full_like(total, torch.nan)}, total > 2)

    def raises(self):
        raise KeyError("no such \x1b[31m word")

    def hangs(self):
        time.sleep(600)

    def crashes(self):
        os.kill(os.getpid(), signal.SIGSEGV)

    def leaves(self):
        os._exit(3)

    def no_memory(self):
        raise MemoryError

    def no_server(self):
        raise EngineError("the judge is away")


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: CompositeReward([one], [1.0])])
def test_a_reward_that_raises_is_named_with_the_completion_and_the_line(wrap):
    with pytest.raises(RewardError) as raised:
        scored_by(wrap(Sized("raises")), COMPLETIONS, QUESTIONS, None)
    for part in (
        "test_rewards.Sized raised KeyError",
        "no such",
        "test_rewards.py:",
        "completion 1 of prompt p1: 'bb'",
    ):
        assert part in str(raised.value)
    assert "\x1b" not in str(raised.value)


def short(total):
    return RewardOutput(total[:-1], {"sized": total[:-1]}, total[:-1] > 2)


@pytest.mark.parametrize(
    ("returned", "what"),
    [
        (short, "returned 2 for 3 completions"),
        (lambda total: total.tolist(), "returned a list"),
        (lambda total: RewardOutput(total.double(), {}, total > 2), "float64"),
        (lambda total: RewardOutput(total, {"x": total[None]}, total > 2), "shape"),
    ],
)
def test_what_is_no_number_for_each_is_named_with_the_completion(returned, what):
    """Wrong for what holds a "b" only; the completion is shown without control characters and cut off."""

    class Wrong(Sized):
        def __call__(self, completions, questions):
            good = super().__call__(completions, questions)
            return returned(good.total) if any("b" in text for text in completions) else good

    completions = ["a", "b\x1b[2J" + "x" * 500, "ccc"]
    with pytest.raises(RewardError) as raised:
        scored_by(Wrong(), completions, QUESTIONS, None)
    said = str(raised.value)
    assert what in said
    assert "completion 1 of prompt p1: 'b" in said
    assert "\x1b" not in said
    assert "\\x1b" not in said
    assert len(said) < 500


def test_a_slow_reward_is_named_while_it_computes(monkeypatch, caplog):
    """The innermost of several, once."""
    monkeypatch.setattr(base, "REPORT_SECONDS", 0.05)
    monkeypatch.setattr(Sized, "hangs", lambda _: time.sleep(0.4))
    other = Sized()
    other.name = "other"
    scored_by(CompositeReward([other, Sized("hangs")], [1.0, 1.0]), COMPLETIONS, QUESTIONS, None)
    (record,) = caplog.records
    assert "test_rewards.Sized" in record.getMessage()
    assert "p0, p1, p2" in record.getMessage()
    caplog.clear()
    scored_by(Sized(), COMPLETIONS, QUESTIONS, None)
    assert not caplog.records


def test_isolate_is_a_key_of_the_objective():
    """Whatever the reward is, that of the evaluation included."""
    objective = GRPOObjective(reward=Sized(), isolate=True, reward_seconds=7)
    assert isinstance(objective.scorer, IsolatedReward)
    assert (objective.scorer.reward, objective.scorer.max_seconds) == (objective.reward, 7)
    assert isinstance(GRPOObjective(isolate=True).scorer.reward, ReMoTReward)
    assert PostTrainingModule(grpo=objective).evaluation.reward is objective.scorer
    with pytest.raises(ConfigError, match="reward_seconds"):
        GRPOObjective(isolate=True, reward_seconds=0)


def test_other_errors_stay_what_they_are():
    with pytest.raises(MemoryError):
        scored_by(Sized("no_memory"), COMPLETIONS, QUESTIONS, None)
    with pytest.raises(EngineError):
        scored_by(Sized("no_server"), COMPLETIONS, QUESTIONS, None)


@pytest.fixture(scope="module")
def isolated():
    """One process for all faults: each starts another one only if it ends it."""
    reward = IsolatedReward(Sized())
    yield reward
    reward.close()


@pytest.mark.slow
def test_isolated_it_gives_the_same(isolated):
    for num_tokens in (None, [1, 2, 3]):
        one = scored_by(isolated, COMPLETIONS, QUESTIONS, num_tokens)
        other = scored_by(Sized(), COMPLETIONS, QUESTIONS, num_tokens)
        torch.testing.assert_close(vars(one), vars(other), rtol=0, atol=0, equal_nan=True)
    os.kill(isolated._process.pid, signal.SIGTERM)  # as a batch system sends it to all of a group
    assert scored_by(isolated, COMPLETIONS, QUESTIONS, None).total.tolist() == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("raises", "raised KeyError"),
        ("hangs", "within 2 s"),
        ("crashes", "code -11"),
        ("leaves", "code 3"),
        ("no_server", "the judge is away"),
    ],
)
def test_isolated_faults_are_bounded_and_leave_the_run_alone(fault, what):
    reward = IsolatedReward(Sized(fault), max_seconds=2)
    scored_by(reward, ["a"], QUESTIONS[:1], None)
    started = time.monotonic()
    with pytest.raises(RewardError, match=what) as raised:
        scored_by(reward, COMPLETIONS, QUESTIONS, None)
    assert time.monotonic() - started < 5
    assert "p1" in str(raised.value) or fault == "no_server"
    assert scored_by(reward, ["a"], QUESTIONS[:1], None).total.tolist() == [1]
    reward.close()


def test_seconds_have_to_be_positive():
    for seconds in (0, -1, float("nan")):
        with pytest.raises(ConfigError, match="max_seconds"):
            IsolatedReward(Sized(), seconds)
