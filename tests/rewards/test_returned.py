"""What a user's reward returns is checked where it is called: the class, what came and what was expected."""

import math
import os
from dataclasses import replace

import pytest
import torch

from remot.errors import RewardError
from remot.rewards import CompositeReward, FunctionReward, PointwiseReward, Reward
from remot.rewards.base import FORKED, require_applicable, scored_by
from remot.strategies import GRPOObjective
from remot.strategies.objective import StepAddress
from remot.structures import RewardOutput
from tests.helpers import make_question
from tests.tiny import make_batch, make_policy

COMPLETIONS, QUESTIONS = ["a", "b", "c"], [make_question()] * 3


class Returns(Reward):
    """Returns what it is made with."""

    name = "returns"

    def __init__(self, make):
        self.make = make

    def __call__(self, completions, questions):  # noqa: ARG002
        return self.make()


def output(total):
    total = torch.as_tensor(total)
    return RewardOutput(total, {"returns": total}, torch.zeros(len(total), dtype=torch.bool))


def leave():
    raise SystemExit(0)


FAULTS = {
    "short": (lambda: output([1.0, 2.0]), "2 for 3 completions"),
    "one": (lambda: output([1.0]), "1 for 3 completions"),
    "list": (lambda: [1.0, 2.0, 3.0], "a list"),
    "nothing": (lambda: None, "a NoneType"),
    "columns": (lambda: output(torch.zeros(3, 1)), r"\(3, 1\)"),
    "integers": (lambda: output([1, 2, 3]), "torch.int64"),
    "booleans": (lambda: output([True, False, True]), "torch.bool"),
    "doubles": (lambda: output(torch.zeros(3, dtype=torch.float64)), "torch.float64"),
    "complex": (lambda: output(torch.zeros(3, dtype=torch.complex64)), "torch.complex64"),
    "gradient": (lambda: output(torch.zeros(3).requires_grad_()), "gradient"),
    "texts": (lambda: RewardOutput(["a"] * 3, {}, [True] * 3), "type list"),
    "no parts": (lambda: RewardOutput(torch.zeros(3), None, torch.zeros(3, dtype=torch.bool)), "NoneType"),
    "successes": (lambda: RewardOutput(torch.zeros(3), {}, torch.zeros(3)), "success of torch.float32"),
    "infinite": (lambda: output([0.0, -math.inf, 1.0]), "-inf for completion 1"),
    "huge": (lambda: output([0.0, 1.0, 1e38]), "1e\\+38 for completion 2"),
    "exit": (leave, r"sys\.exit\(0\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("within", [False, True])
def test_what_came_and_from_whom(fault, within):
    """Also as a term of a sum, which names the term and not itself."""
    make, came = FAULTS[fault]
    reward = CompositeReward([Returns(make)], [2.0]) if within else Returns(make)
    for num_tokens in (None, [1, 2, 3]):
        with pytest.raises(RewardError, match=rf"test_returned\.Returns .*{came}.*, expected"):
            scored_by(reward, COMPLETIONS, QUESTIONS, num_tokens)


class OwnEnd(BaseException):
    pass


def fail_of(kind):
    def fail():
        raise kind

    return fail


def test_an_error_without_a_text_is_named():
    class SilentError(Exception):
        def __str__(self):
            raise RuntimeError

    def fail():
        raise SilentError

    with pytest.raises(RewardError, match=r"raised SilentError: .*RuntimeError.*test_returned\.py:\d+"):
        scored_by(Returns(fail), COMPLETIONS, QUESTIONS, None)


@pytest.mark.parametrize("kind", [GeneratorExit, OwnEnd, StopIteration])
def test_what_is_raised_and_is_no_exception_is_named(kind):
    with pytest.raises(RewardError, match=rf"Returns raised {kind.__name__}"):
        scored_by(Returns(fail_of(kind)), COMPLETIONS, QUESTIONS, None)


@pytest.mark.parametrize("leave", [list, fail_of(KeyError)])
def test_a_process_that_a_reward_forks_does_not_leave_it(leave):
    """Otherwise two processes go on with the run."""
    children = []

    def fork():
        child = os.fork()
        if child == 0:
            leave()
        children.append(child)
        return output([1.0, 2.0, 3.0])

    assert scored_by(Returns(fork), COMPLETIONS, QUESTIONS, None).total.tolist() == [1.0, 2.0, 3.0]
    (child,) = children
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == FORKED


def test_a_reward_does_not_turn_gradients_off_for_the_update():
    def score():
        torch.set_grad_enabled(False)
        return output([1.0, 2.0, 3.0])

    scored_by(Returns(score), COMPLETIONS, QUESTIONS, None)
    assert torch.is_grad_enabled()


def test_what_a_reward_does_to_its_lists_reaches_no_other():
    class Spoils(Reward):
        name = "spoils"

        def __call__(self, completions, questions):
            scores = output([float(len(text)) for text in completions])
            completions[0], completions[1] = completions[1], "much longer than it was"
            questions.reverse()
            return scores

    class Length(Spoils):
        name = "length"

    lengths = [float(len(text)) for text in COMPLETIONS]
    completions = list(COMPLETIONS)
    found = scored_by(CompositeReward([Spoils(), Length()], [1.0, 1.0]), completions, QUESTIONS, None)
    assert found.total.tolist() == [2 * length for length in lengths]
    assert completions == list(COMPLETIONS)


def test_ctrl_c_is_no_fault_of_the_reward():
    with pytest.raises(KeyboardInterrupt):
        scored_by(Returns(fail_of(KeyboardInterrupt)), COMPLETIONS, QUESTIONS, None)


def test_what_fits_is_given_on():
    """NaN is "not applicable", and an empty list is scored by an empty one."""
    found = scored_by(Returns(lambda: output([0.5, math.nan, -2.0])), COMPLETIONS, QUESTIONS, None)
    assert found.total[::2].tolist() == [0.5, -2.0]
    assert found.total[1].isnan()
    assert len(scored_by(Returns(lambda: output(torch.zeros(0))), [], [], None).total) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_rewards_are_float32_whatever_the_precision_of_the_trainer(dtype):
    """``torch.tensor([257.0])`` is 256 in bfloat16, which is the default dtype inside a step of ``bf16-true``."""
    torch.set_default_dtype(dtype)
    try:
        found = scored_by(Returns(lambda: output(torch.tensor([257.0] * 3))), COMPLETIONS, QUESTIONS, None)
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.total.dtype == torch.float32
    assert found.total.tolist() == [257.0] * 3


@pytest.mark.parametrize("value", ["0.5", [1.0], torch.tensor(1.0), 1j])
def test_functions_return_numbers(value):
    reward = FunctionReward(lambda completion, question: value, name="mine")  # noqa: ARG005
    with pytest.raises(RewardError, match=f"mine.*{type(value).__name__} for completion 0, expected a number"):
        scored_by(reward, COMPLETIONS, QUESTIONS, None)


def test_some_reward_applies():
    reward = Returns(lambda: output([math.nan] * 6))
    require_applicable(reward, torch.tensor([[math.nan, 1.0]]))
    with pytest.raises(RewardError, match=r"Returns .*all 6 completions"):
        require_applicable(reward, torch.full((2, 3), math.nan))
    objective = GRPOObjective(num_completions=3, max_new_tokens=2, reward=reward)
    with pytest.raises(RewardError, match=r"Returns .*all 6 completions"):
        objective.prepare(make_policy(), make_batch(2), StepAddress(0, 0), 2)


class Judged(PointwiseReward):
    """Reads its parts out of what a judge replied, one reply for each completion."""

    name = "judged"

    def __init__(self, *replies):
        self.replies = iter(replies)

    def score(self, parsed, question):  # noqa: ARG002
        return next(self.replies)


@pytest.mark.parametrize(
    ("replies", "fact"),
    [
        (({"style": 1.0}, {"style": 1.0}), "no part 'judged' for completion 0 of prompt p"),
        (({"judged": 1.0, "style": 1.0}, {"judged": 1.0}), "no part 'style' for completion 1 of prompt p"),
        (({"judged": 1.0}, {"style": 1.0}), "no part 'judged' for completion 1 of prompt p"),
        (({"judged": 1.0}, {"judged": 1.0, "style": 1.0}), "part 'style' for completion 1 of prompt p"),
        ((None, {"judged": 1.0}), "NoneType for completion 0 of prompt p"),
        (({"judged": 1.0}, None), "NoneType for completion 1 of prompt p"),
    ],
)
def test_a_part_that_a_judge_left_out_is_named(replies, fact):
    """The key and the completion; a part beyond those of the first completion would be lost without a trace."""
    with pytest.raises(RewardError, match=rf"test_returned\.Judged .*{fact}") as caught:
        scored_by(Judged(*replies), COMPLETIONS[:2], [replace(make_question(), prompt_id="p")] * 2, None)
    assert caught.value.reason == "reward"
