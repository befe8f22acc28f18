"""What is drawn from the global generators in a step, such as dropout, depends on seed, step and prompts alone."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from remot.models import LoRA
from remot.rewards.base import scored_by
from remot.strategies import GRPO, SFT
from remot.structures import RewardOutput
from tests.helpers import make_question
from tests.strategies.grpo.test_objective import FirstLetterReward
from tests.strategies.test_module import fit, grpo_objective, ready_module
from tests.tiny import snapshot

DROPOUT = LoRA(rank=2, dropout=0.3)


def reseed():
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)


def draw():
    return random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002


def meddle():
    draw()
    reseed()
    draw()


class Meddling(FirstLetterReward):
    """Draws from the global generators, and seeds them."""

    def __call__(self, completions, questions):
        meddle()
        return super().__call__(completions, questions)


class Drawing(FirstLetterReward):
    """Keeps a number drawn from each global generator."""

    def __init__(self):
        self.drawn = []

    def __call__(self, completions, questions) -> RewardOutput:
        self.drawn.append(draw())
        return super().__call__(completions, questions)


def trained(folder, reward, **arguments):
    module = ready_module(GRPO(), DROPOUT, grpo=replace(grpo_objective(), reward=reward))
    fit(module, folder, **arguments)
    return snapshot(module.policy)


def test_a_reward_that_seeds_the_global_generators_changes_no_weight(tmp_path):
    plain, meddled = (trained(tmp_path, reward, max_steps=3) for reward in (FirstLetterReward(), Meddling()))
    torch.testing.assert_close(meddled, plain, rtol=0, atol=0)


def test_a_reward_leaves_the_global_generators_as_they_were():
    reseed()
    wanted = draw()
    reseed()
    scored_by(Meddling(), ["a"], [make_question()], None)
    assert draw() == wanted


def test_what_a_reward_draws_depends_on_seed_step_and_prompts(tmp_path):
    """The same in a run of the same seed whatever was drawn before, another in each step."""
    first, again = Drawing(), Drawing()
    trained(tmp_path, first, max_steps=3)
    trained(tmp_path, again, max_steps=3, adapter_seed=1)
    assert first.drawn == again.drawn
    for of_generator in zip(*first.drawn, strict=True):
        assert len(set(of_generator)) == 3


@pytest.mark.parametrize("num_before", [1, 2])
def test_a_resumed_run_with_dropout_is_the_same_run(tmp_path, num_before):
    whole, first, second = (ready_module(SFT(), DROPOUT) for _ in range(3))
    fit(whole, tmp_path, max_steps=3)
    _, trainer = fit(first, tmp_path, max_steps=num_before)
    trainer.save_checkpoint(tmp_path / "some.ckpt")
    fit(second, tmp_path, max_steps=3, ckpt_path=tmp_path / "some.ckpt", adapter_seed=9)
    torch.testing.assert_close(snapshot(second.policy), snapshot(whole.policy), rtol=0, atol=0)
