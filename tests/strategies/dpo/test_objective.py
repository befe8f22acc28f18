"""Preference optimisation: where pairs come from, and that a step prefers the chosen response."""

import math
from dataclasses import replace

import pytest
import torch

from remot.answers import answer_char_span
from remot.errors import ConfigError
from remot.rollout.sampling import SamplingSettings
from remot.strategies import (
    ChangedInputs,
    DPOObjective,
    FrozenFrames,
    GRPOObjective,
    OwnCompletions,
    PostTrainingModule,
    ShuffledFrames,
    WrongLetters,
)
from remot.strategies.objective import StepAddress
from remot.structures import Question
from tests.helpers import assert_close, make_question
from tests.strategies.grpo.test_objective import ADDRESS, FirstLetterReward, assert_same_update, update
from tests.tiny import encode, make_batch, make_lora_policy, make_policy

SOURCES = {
    "letters": WrongLetters(),
    "own": OwnCompletions(num_completions=3, max_new_tokens=5, reward=FirstLetterReward()),
    "changed": ChangedInputs(
        num_completions=4, max_new_tokens=5, reward=FirstLetterReward(), counterfactual=ShuffledFrames(4)
    ),
}
every_source = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())


def ragged(policy):
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0  # completions of different lengths
    return policy


def texts_of(policy, pairs):
    """Decoded responses without special tokens, pairs of them."""
    decode = policy.processor.tokenizer.decode
    zipped = zip(pairs.token_ids, pairs.mask, strict=True)
    return [[decode(ids[m], skip_special_tokens=True) for ids, m in zip(*row, strict=True)] for row in zipped]


# -- pairs ---------------------------------------------------------------------------------------------------------


def test_wrong_letters_differ_from_the_right_response_in_one_letter():
    policy, batch = make_policy(), make_batch(4)
    pairs = WrongLetters()(policy, batch, ADDRESS)
    assert pairs.is_pair.all()
    for question, (chosen, rejected) in zip(batch.questions, texts_of(policy, pairs), strict=True):
        assert chosen == question.response
        start, end = answer_char_span(chosen)
        right, wrong = chosen[start:end], rejected[start:end]
        assert (rejected[:start], rejected[end:]) == (chosen[:start], chosen[end:])
        assert sum(one != other for one, other in zip(right, wrong, strict=True)) == 1
        assert set(wrong) <= set("ABC")


def test_wrong_letters_follow_the_address():
    def wrong(num_wrong=1, **address):
        source = WrongLetters(num_wrong)
        return [source._pair(make_question("ABC", prompt_id=f"q{n}"), StepAddress(**address))[1] for n in range(12)]

    assert wrong(seed=1, step=2) == wrong(seed=1, step=2)
    assert wrong(seed=1, step=2) != wrong(seed=1, step=3)
    for response in wrong(num_wrong=9, seed=1, step=2):
        assert all(one != right for one, right in zip(response.split("<answer>")[1], "ABC", strict=False))


def test_answers_that_are_not_letters_have_no_pair():
    policy, batch = make_policy(), make_batch(2)
    batch.questions[1] = Question("q", "?", (), "d", "s", target="<answer>12</answer>", task="count")
    assert WrongLetters()(policy, batch, ADDRESS).is_pair.tolist() == [True, False]


def test_own_completions_are_the_best_and_the_worst():
    policy, batch = ragged(make_policy()), make_batch(4)
    source = SOURCES["own"]
    pairs = source(policy, batch, ADDRESS)
    assert pairs.is_pair.any()
    for sample, is_pair, texts in zip(pairs.samples, pairs.is_pair.tolist(), texts_of(policy, pairs), strict=True):
        totals = [parts["total"] for parts in sample.rewards]
        assert is_pair is (max(totals) > min(totals))
        assert texts[0] == sample.completions[totals.index(max(totals))]
        assert texts[1] == sample.completions[totals.index(min(totals))]


def test_a_gap_that_is_too_small_is_no_pair():
    policy, batch = make_policy(), make_batch(4)
    source = replace(SOURCES["own"], least_gap=1e6)
    assert not source(policy, batch, ADDRESS).is_pair.any()


def test_completions_for_changed_frames_are_rejected(monkeypatch):
    """Those for the frames as they are score 1, those for shuffled ones 0; what is scored is the unchanged prompt."""
    policy, batch = ragged(make_policy()), make_batch(3)
    batch.images[1] = batch.images[1][:1]  # nothing to shuffle
    totals = {"shuffled": 0.0}

    def scores(self, completions, questions):
        output = real(self, completions, questions)
        total = torch.tensor([totals.get(one.prompt_id.rpartition("/")[2], 1.0) for one in questions])
        return replace(output, total=total)

    real = FirstLetterReward.__call__
    monkeypatch.setattr(FirstLetterReward, "__call__", scores)
    pairs = SOURCES["changed"](policy, batch, ADDRESS)
    assert pairs.is_pair.tolist() == [True, False, True]
    assert torch.equal(pairs.encoded.prompts.input_ids, encode(policy, batch).prompts.input_ids)
    totals["shuffled"] = 2.0  # a better answer without the frames is not to be rejected
    assert not SOURCES["changed"](policy, batch, ADDRESS).is_pair.any()


@every_source
def test_pairs_follow_the_address(source):
    policy, batch = ragged(make_policy()), make_batch(3)
    one, same, other = (source(policy, batch, StepAddress(0, step)) for step in (1, 1, 2))
    assert torch.equal(one.token_ids, same.token_ids)
    assert one.token_ids.shape != other.token_ids.shape or not torch.equal(one.token_ids, other.token_ids)


# -- the step ------------------------------------------------------------------------------------------------------


class Unchangeable(FrozenFrames):
    """Changes no prompt."""

    def change(self, shown, generator):  # noqa: ARG002
        return None


def test_where_no_frames_can_be_changed_there_is_no_pair():
    """Nor a second rollout; the completions are still shown."""
    policy, batch = make_policy(), make_batch(2)
    pairs = replace(SOURCES["changed"], counterfactual=Unchangeable())(policy, batch, ADDRESS)
    assert not pairs.is_pair.any()
    assert pairs.token_ids[:, 1].eq(policy.pad_token_id).all()
    assert pairs.mask[:, 1].sum(-1).tolist() == [1, 1]
    assert len(pairs.samples) == 2


def test_completions_are_drawn_and_scored_as_those_of_grpo():
    """Unless the pairs say otherwise."""
    grpo = GRPOObjective(max_new_tokens=9, sampling=SamplingSettings(temperature=0.7), reward=FirstLetterReward())
    module = PostTrainingModule(grpo=grpo, dpo=DPOObjective(OwnCompletions(max_new_tokens=3)))
    pairs = module.objectives["DPO"].pairs
    assert (pairs.max_new_tokens, pairs.sampling.temperature, pairs.reward) == (3, 0.7, grpo.reward)
    assert PostTrainingModule(grpo=grpo).objectives["DPO"].pairs.max_new_tokens == 9
    assert PostTrainingModule(dpo=DPOObjective(WrongLetters(2))).objectives["DPO"].pairs == WrongLetters(2)


@every_source
@pytest.mark.parametrize("train_vision", [False, True])
def test_micro_batches_change_nothing(source, train_vision):
    policy, batch = ragged(make_lora_policy(train_vision=train_vision)), make_batch(4)
    objective = DPOObjective(source)
    updates = [update(objective.prepare(policy, batch, ADDRESS, size), policy) for size in (4, 3, 1)]
    assert any(gradient.any() for gradient in updates[0][1].values())
    for other in updates[1:]:
        assert_same_update(other, updates[0])


def test_the_first_loss_is_log_two_and_a_step_prefers_the_chosen_response():
    """With adapters that change nothing yet the policy is the reference: margins are 0."""
    policy, batch = make_policy(), make_batch(3)
    objective = DPOObjective(WrongLetters(), beta=0.5)
    prepared = objective.prepare(policy, batch, ADDRESS, 2)
    loss = sum(output.loss for output in prepared.micro_losses())
    assert_close(loss, math.log(2), rtol=1e-5)
    loss.backward()
    with torch.no_grad():
        for parameter in policy.trainable_parameters():
            parameter.sub_(0.5 * parameter.grad)
    after = list(prepared.micro_losses())
    assert sum(output.metrics["margin"] for output in after) > 0
    assert sum(output.loss for output in after) < math.log(2)


def test_pairs_of_one_batch_are_counted():
    policy, batch = make_policy(), make_batch(2)
    batch.questions[1] = Question("q", "?", (), "d", "s", target="<answer>12</answer>", task="count")
    assert DPOObjective(WrongLetters()).prepare(policy, batch, ADDRESS, 2).metrics["frac_pairs"] == 0.5


@pytest.mark.parametrize(
    "build",
    [
        lambda: DPOObjective(beta=0.0),
        lambda: DPOObjective(label_smoothing=0.5),
        lambda: WrongLetters(0),
        lambda: OwnCompletions(num_completions=1),
        lambda: OwnCompletions(least_gap=0.0),
        lambda: OwnCompletions(max_new_tokens=0),
    ],
)
def test_settings_that_cannot_work(build):
    with pytest.raises(ConfigError):
        build()
