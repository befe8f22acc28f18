"""The base model in the package: small, and made for the questions that the package asks today."""

from pathlib import Path

import pytest
import torch

from remot.answers import parse_response
from remot.evaluation.benchmark import EvaluationSettings, answer_batch
from remot.models import ModelSource, VLMPolicy
from remot.rollout.sampling import GREEDY
from tests.data.made import data_module


@pytest.fixture(scope="module")
def policy():
    return VLMPolicy(ModelSource("remot-tiny"), with_reference=False)


@pytest.fixture(scope="module")
def batch():
    """28 held-out prompts, four of each attribute."""
    data = data_module(batch_size=28, num_test_prompts=28)
    data.setup()
    return next(iter(data.test_dataloader()))


def test_is_small(policy):
    assert sum(parameter.numel() for parameter in policy.model.parameters()) <= 3_000_000
    (weights,) = Path(ModelSource("remot-tiny").resolve()).glob("*.safetensors")
    assert weights.stat().st_size <= 8_000_000


def test_its_vocabulary_is_that_of_the_questions(policy, batch):
    """A changed wording that the vocabulary has never seen falls apart into bytes: more tokens than words and signs."""
    tokenizer = policy.processor.tokenizer
    for question in batch.questions:
        pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(question.text.replace("<", " "))
        assert len(tokenizer(question.text)["input_ids"]) <= len(pieces)


def test_sees_and_keeps_the_contract_but_likes_the_letter_a(policy, batch):
    with torch.no_grad():
        judged = answer_batch(policy, batch, EvaluationSettings(max_new_tokens=48), GREEDY).judged
    assert sum(one.format for one in judged) >= 0.9 * len(judged)
    vertical = [
        (one, slot.label.value)
        for one, question in zip(judged, batch.questions, strict=True)
        if one.attribute == "effector_vertical"
        for slot in question.slots
    ]
    told = [word for one, _ in vertical[::3] for word in verdicts(one.completion)]
    assert sum(a == b for a, (_, b) in zip(told, vertical, strict=True)) >= 10  # of 12; 4 by guessing
    answers = "".join(one.answer for one in judged)
    assert answers.count("A") > len(answers) / 2  # of the right letters a third are


def verdicts(completion):
    """The word before the letter in each part, such as ``up`` in ``first y6 y3 up B``."""
    return [part.split()[-2] for part in parse_response(completion).reasoning.split(",")]
