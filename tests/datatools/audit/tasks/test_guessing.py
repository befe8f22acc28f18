"""What can be guessed without images, on prompts that give themselves away and on prompts that do not."""

import math

import numpy as np
import pytest

from remot.datatools.audit.baselines import TextOnlyPrompt, boxes_overlap, relative_accuracy, times_overlap
from remot.datatools.audit.blind import score_guesses
from remot.structures import Question, Reference
from tests.helpers import assert_close

NUM = 80


def prompt(number, reference, text="What is it?", seconds=1.0, answers=()):
    question = Question(str(number), text, (), "d", f"scene {number % 20}", task="t", reference=reference)
    return TextOnlyPrompt(question, seconds, answers)


def letters(right_of, options_of):
    """Prompts with options, of which ``right_of(k)`` is right."""
    found = []
    for k in range(NUM):
        options = options_of(k)
        lines = [f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=False)]
        found.append(prompt(k, Reference(answer="ABCD"[options.index(right_of(k))]), "\n".join(["Which?", *lines])))
    return found


def shuffled(k):
    rng = np.random.default_rng(k)
    return [str(one) for one in rng.permutation(["table", "chair", "lamp", "sofa"])]


def test_letters_that_are_right_too_often():
    (found,) = score_guesses(letters(lambda k: shuffled(k)[1], shuffled))
    assert (found.measure, found.chance, found.halved_by) == ("right", 0.25, "scene")
    assert found.by_model["majority_answer"] == 1


def test_options_that_are_right_too_often():
    """The table is always right, at whatever letter: letters tell nothing, words everything."""
    (found,) = score_guesses(letters(lambda _: "table", shuffled))
    assert found.by_model["likely_option"] == 1
    assert found.by_model["majority_answer"] < 0.5
    assert found.best in {"likely_option", "answer_from_text"}


def test_nothing_to_find():
    """By chance 1/4, with a standard error of sqrt(3/16/80) = 0.048."""
    rng = np.random.default_rng(7)
    (found,) = score_guesses(letters(lambda k: shuffled(k)[int(rng.integers(4))], shuffled))
    assert all(abs(score - 0.25) < 4 * 0.048 for score in found.by_model.values()), found.by_model


def test_words_have_the_tasks_answers_as_chance():
    words = [prompt(k, Reference(answer="dark" if k % 4 else "clean"), answers=("dark", "clean")) for k in range(NUM)]
    (found,) = score_guesses(words)
    assert found.chance == 0.5
    assert found.by_model["majority_answer"] == 0.75


def test_numbers():
    """Chairs are 50, tables 200: the words tell them, and the better constant is right about half of them."""
    named = [
        prompt(k, Reference(answer=str(size), number=size), f"How long is the {name} at {k} s?")
        for k, (name, size) in zip(range(NUM), [("chair", 50), ("table", 200), ("chair", 50)] * NUM, strict=False)
    ]
    (found,) = score_guesses(named)
    assert found.measure == "relative_accuracy"
    assert found.chance is None
    assert found.by_model["constant_by_question"] == 1
    chairs = sum(one.reference.number == 50 for one in named) / NUM
    assert_close(found.by_model["best_constant"], chairs)


@pytest.mark.parametrize(
    ("guess", "right", "score"),
    [(10, 10, 1.0), (10.5, 10, 1.0), (10.6, 10, 0.9), (15, 10, 0.1), (15.1, 10, 0.0), (-10, 10, 0.0), (0.3, 0, 0.5)],
)
def test_relative_accuracy_by_hand(guess, right, score):
    """The share of the tolerances 5 %, 10 %, … 50 % that the error keeps."""
    assert_close(relative_accuracy(guess, right), score)


def test_times():
    """From 0.25 to 0.75 of a clip of 8 s against 2 to 4 and 7 to 8: 2 s of 5 s."""
    spans = prompt(0, Reference(intervals=((2.0, 4.0), (7.0, 8.0))), seconds=8.0)
    assert_close(times_overlap((0.25, 0.75), spans), 2 / 5)
    middle = [prompt(k, Reference(intervals=((1.0 + k, 2.0 + 2 * k),)), seconds=2.0 + 2 * k) for k in range(NUM)]
    (found,) = score_guesses(middle)  # always the second half
    assert found.by_model["best_constant"] > 0.95


def test_boxes():
    """Two boxes, one hit by half of the guess's area and one not at all: (1/3 + 0) / 2."""
    boxes = ((0.0, 0.0, 0.2, 0.2), (0.5, 0.5, 0.7, 0.7))
    assert_close(boxes_overlap((0.1, 0.0, 0.3, 0.2), prompt(0, Reference(boxes=boxes))), 1 / 6)
    rng, given = np.random.default_rng(0), []
    for k in range(NUM):
        left, top = (float(one) for one in rng.uniform(0, 0.8, 2).round(3))
        box = (left, top, round(left + 0.2, 3), round(top + 0.2, 3))
        text = f"It begins at [{', '.join(f'{edge:g}' for edge in box)}]."
        given.append(prompt(k, Reference(boxes=(box,) * 4), text))
    (found,) = score_guesses(given)
    assert found.by_model["given_box_stays"] == 1
    assert found.best == "given_box_stays"
    (hidden,) = score_guesses([prompt(k, one.reference) for k, one in enumerate(given)])
    assert "given_box_stays" not in hidden.by_model


def test_letters_and_times_are_distinguished():
    both = [
        prompt(k, Reference(answer="AB"[k % 2], intervals=((0.2, 0.4),)), "Which?\nA. it\nB. that") for k in range(NUM)
    ]
    assert [one.measure for one in score_guesses(both)] == ["right", "overlap"]


def test_one_scene_is_halved_by_prompts_and_one_prompt_not_at_all():
    alone = [TextOnlyPrompt(Question(str(k), "?", (), "d", "s", reference=Reference(answer="x"))) for k in range(8)]
    (found,) = score_guesses(alone)
    assert found.halved_by == "prompt"
    assert found.chance is None
    assert score_guesses(alone[:1]) == []
    assert score_guesses([]) == []


def test_standard_errors_have_scenes_as_units():
    """Scenes of four prompts each, all right or all wrong: the error is twice that of independent prompts."""
    words = [
        TextOnlyPrompt(
            Question(str(k), "?", (), "d", f"scene {k // 4}", reference=Reference(answer="a" if k // 4 % 2 else "b"))
        )
        for k in range(NUM)
    ]
    (found,) = score_guesses(words)
    share = found.by_model["majority_answer"]
    assert_close(found.standard_errors["majority_answer"], math.sqrt(share * (1 - share) / (NUM / 4)))
