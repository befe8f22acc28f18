"""Scores per question: what identifies a question, what is kept, and that hostile files are refused."""

import json
import math
from dataclasses import replace

import pytest
import torch

from remot.errors import ConfigError
from remot.evaluation.answer_table import PolicyAnswers, read_answers
from remot.evaluation.question_scores import answer_lines, question_digest, question_scores
from remot.evaluation.scores import judge
from tests.helpers import assert_close
from tests.tiny import make_batch


@pytest.fixture(scope="module")
def batch():
    return make_batch(2)


def frames(batch, prompt=0):
    return [image.clone() for image in batch.images[prompt]]


def test_a_question_is_what_is_shown_asked_and_right(batch):
    question = batch.questions[0]
    digest = question_digest(question, frames(batch))
    assert digest == question_digest(replace(question, prompt_id="another address"), frames(batch))
    changed = frames(batch)
    changed[1][0, 0, 0] = 255 - changed[1][0, 0, 0]
    first_line, _, rest = question.text.partition("\n")
    slot = question.slots[0]
    gold = next(letter for letter in slot.letters if letter != slot.gold)
    others = [
        question_digest(question, changed),
        question_digest(question, frames(batch)[::-1]),
        question_digest(replace(question, text=f"{first_line}?\n{rest}"), frames(batch)),
        question_digest(replace(question, slots=(replace(slot, gold=gold), *question.slots[1:])), frames(batch)),
    ]
    assert len({digest, *others}) == 5


def test_how_to_answer_is_no_part_of_the_question(batch):
    question, asked = batch.questions[0], "Which way?\nfirst: A left, B right\n"
    texts = (f"{asked}Think, then answer: <think>...</think>", f"{asked}Answer: <answer>...</answer>")
    digests = {question_digest(replace(question, text=text), frames(batch)) for text in texts}
    assert len(digests) == 1


def test_frames_of_another_shape_are_others(batch):
    """The same bytes as one row or one column."""
    shapes = [torch.zeros(3, 1, 8, dtype=torch.uint8), torch.zeros(3, 8, 1, dtype=torch.uint8)]
    assert len({question_digest(batch.questions[0], [one]) for one in shapes}) == 2


def judged(question, *letters):
    answers = (f"<think>a</think><answer>{one}</answer>" for one in letters)
    return [judge(text, question, num_tokens=10 * (k + 1), cut_off=False) for k, text in enumerate(answers)]


def wrong(question):
    return "".join(next(c for c in slot.letters if c != slot.gold) for slot in question.slots)


def test_scores_are_means_over_the_completions_of_a_question(batch):
    question = batch.questions[0]
    scores = question_scores(judged(question, question.solution, wrong(question)))[question.prompt_id]
    assert_close([scores["overall"], scores["partial"], scores["num_tokens"], scores["cut_off"]], [0.5, 0.5, 15, 0])
    (attribute,) = [name for name in scores if name.startswith("attribute/")]
    assert attribute.endswith("/partial")


def table(batch):
    first, second = batch.questions
    base = judged(first, wrong(first)) + judged(second, wrong(second))
    final = judged(first, first.solution) + judged(second, wrong(second))
    digests = {one.prompt_id: f"digest {k}" for k, one in enumerate(batch.questions)}
    return "".join(answer_lines(digests, {"base": (base, base), "final": (final, final)})).encode()


def test_what_is_written_is_read(batch):
    found = read_answers("f", table(batch), ("base", "final"))
    assert list(found) == ["base", "final"]
    final = found["final"]
    assert final.mean("overall") == final.mean("overall_greedy") == 0.5
    assert found["base"].mean("overall") == 0
    assert math.isnan(final.mean("task/success"))
    keys = sorted(final.scores)
    assert [key[0] for key in keys] == sorted(one.prompt_id for one in batch.questions)
    assert {key[1] for key in keys} == {"digest 0", "digest 1"}
    assert set(final.scenes.values()) == {one.scene_id for one in batch.questions}
    assert isinstance(final, PolicyAnswers)


def test_a_run_without_a_base_has_one_side(batch):
    lines = [json.loads(line) for line in table(batch).splitlines()]
    text = "\n".join(json.dumps({key: one[key] for key in one if key != "base"}) for one in lines)
    assert list(read_answers("f", text.encode(), ("base", "final"))) == ["final"]


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"[" * 10_000, b'{"id": 1, "content": "a"}', b'{"id": "a"}', b'{"id": "a", "content": "b"}\nnull'],
    ids=["no text", "deep", "no address", "no digest", "no object"],
)
def test_other_files_are_refused(content):
    with pytest.raises(ConfigError, match=r"answers\.jsonl: line [12]"):
        read_answers("answers.jsonl", content, ("final",))


def test_what_is_no_finite_number_does_not_apply():
    line = b'{"id": "a", "content": "b", "final": {"x": NaN, "y": "1", "z": true, "partial": 1, "w": 1e999}}'
    assert read_answers("f", line, ("final",))["final"].metrics == ("partial",)
