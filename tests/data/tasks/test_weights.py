"""Draws by weight: shares, the stream of equal weights, and what a task without balanced answers draws."""

from dataclasses import replace

import numpy as np
import pytest

from remot.data.tasks.base import PromptSeed, Task, TaskPlan, UniformIndex
from remot.data.tasks.weights import WeightedDraw, weights_of
from tests.data.handmade import clip_of


class Anything(Task):
    """Asks the same about every clip."""

    name = "anything"

    def serves(self, clip):  # noqa: ARG002
        return True

    def plan(self, clip, generator):  # noqa: ARG002
        return TaskPlan((0,), "what?")


def test_numbers_are_drawn_by_their_weights():
    """Shares of 8000 draws by 1 : 0.5 : 2.5, within 5 standard deviations of the largest (0.0054)."""
    draw, generator = WeightedDraw([1.0, 0.5, 2.5]), np.random.default_rng(0)
    counts = np.bincount([draw(generator) for _ in range(8000)], minlength=3) / 8000
    assert counts == pytest.approx([0.25, 0.125, 0.625], abs=5 * 0.0054)


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_equal_weights_draw_what_no_weights_drew(weight):
    """A run from before there were weights goes on with its own prompts."""
    draw = WeightedDraw([weight] * 7)
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    assert [draw(first) for _ in range(50)] == [int(second.integers(7)) for _ in range(50)]


def test_the_ends_are_reached():
    """The largest number below 1 belongs to the last thing, 0 to the first."""

    class Fixed:
        def __init__(self, value):
            self.value = value

        def random(self):
            return self.value

    draw = WeightedDraw([0.1, 0.2, 0.7])
    assert (draw(Fixed(0.0)), draw(Fixed(np.nextafter(1, 0)))) == (0, 2)


def test_a_task_draws_clips_by_their_weights():
    """Three to one, within 5 deviations of 1500 draws (0.0112); a clip that the task cannot serve is never drawn."""
    clips = [clip_of(3, "out"), clip_of(3, "a"), replace(clip_of(3, "b"), weight=3.0)]
    assert weights_of(clips) == [1.0, 1.0, 3.0]
    index = UniformIndex(Anything(), clips, [None, (), ()], "train")
    drawn = [index.plan(PromptSeed(0, "train", address))[0].clip_id for address in range(1500)]
    assert set(drawn) == {"a", "b"}
    assert drawn.count("b") / 1500 == pytest.approx(0.75, abs=5 * 0.0112)
