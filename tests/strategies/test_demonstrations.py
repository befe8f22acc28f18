"""SFT on conversations that an environment demonstrates: which prompts and tokens, and the loss of the plain pass."""

from dataclasses import replace

import pytest
import torch

from remot.environments import Environment, Reply, TurnSettings
from remot.errors import ConfigError
from remot.strategies import SFT, SFTObjective
from remot.strategies.replay import first_fault
from tests.helpers import assert_close
from tests.models.test_parity import naive_inputs, naive_logits
from tests.strategies.test_module import ready_module
from tests.strategies.test_sft import ADDRESS, totals
from tests.tiny import make_batch, make_lora_policy

REQUEST = "Compare picture 1 and picture 3."
IMAGE = torch.arange(3 * 64 * 64, dtype=torch.int64).remainder(251).to(torch.uint8).view(3, 64, 64)


class Teaches(Environment):
    """Demonstrates a request to prompts of two images, an answer at once to the others."""

    def instructions(self, episode):  # noqa: ARG002
        return " Which way?"

    def demonstrate(self, episode):
        last = episode.question.response
        return [REQUEST, last] if len(episode.images) == 2 else [last]

    def respond(self, episode):
        return Reply("Which way?", [IMAGE]) if episode.response == REQUEST else None


class Silent(Teaches):
    """Does not reply to what it demonstrates."""

    def respond(self, episode):  # noqa: ARG002
        return None


def objective(environment=None, **settings):
    return SFTObjective(turns=TurnSettings(environment or Teaches()), **settings)


def naive_loss(policy, batch, loss_on):
    """Mean negative log-probability over the tokens of requests, and over those of answers or responses."""
    found = []
    for images, question in zip(batch.images, batch.questions, strict=True):
        inputs = [naive_inputs(policy, images, replace(question, text=question.text + " Which way?"))]
        pieces, wanted = [inputs[0]["input_ids"][0]], []
        if len(images) == 2:
            ids = policy.texts.tokens_of_response(REQUEST)[0]
            wanted += range(len(pieces[0]), len(pieces[0]) + len(ids))
            text = "\n<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Which way?<|im_end|>\n"
            reply = text + "<|im_start|>assistant\n"
            inputs.append(policy.processor(text=[reply], images=[[IMAGE]], return_tensors="pt"))
            pieces += [torch.tensor(ids), inputs[1]["input_ids"][0]]
        ids = policy.texts.tokens_of_response(question.response)[0]
        _, mask, _ = SFTObjective(loss_on=loss_on).targets(policy, [question.response])
        length = sum(map(len, pieces))
        wanted += [length + number for number in mask[0, 0].nonzero()[:, 0].tolist()]
        pieces.append(torch.tensor(ids))
        visual = {name: torch.cat([one[name] for one in inputs]) for name in ("pixel_values", "image_grid_thw")}
        tokens = torch.cat(pieces)
        logits = naive_logits(policy.core, {"input_ids": tokens[None], **visual}) + policy.logit_bias
        logprobs = torch.log_softmax(logits[[place - 1 for place in wanted]], -1)
        found.append(logprobs.gather(-1, tokens[wanted][:, None])[:, 0])
    return -torch.cat(found).mean()


@pytest.mark.parametrize("loss_on", ["answer", "response"])
@pytest.mark.parametrize("train_vision", [False, True])
def test_the_loss_is_that_of_the_plain_pass(loss_on, train_vision):
    policy, batch = make_lora_policy(train_vision=train_vision), make_batch(3)
    assert sorted(map(len, batch.images)) == [2, 2, 3]
    loss, _, gradients = totals(objective(loss_on=loss_on).prepare(policy, batch, ADDRESS, 2), policy)
    expected = naive_loss(policy, batch, loss_on)
    assert_close(loss, expected.item(), rtol=1e-5)
    policy.zero_grad()
    expected.backward()
    for name, parameter in policy.named_parameters():
        if parameter.grad is not None:
            assert (gradients[name] - parameter.grad).norm() <= 1e-5 * parameter.grad.norm() + 1e-8, name


def test_micro_batches_change_nothing():
    policy, batch = make_lora_policy(), make_batch(3)
    losses = [totals(objective().prepare(policy, batch, ADDRESS, size), policy)[0] for size in (8, 2, 1)]
    assert_close(losses[1], losses[0], rtol=1e-5)
    assert_close(losses[2], losses[0], rtol=1e-5)


def test_a_demonstration_that_ends_early_is_refused():
    with pytest.raises(ConfigError, match="Silent"):
        objective(Silent()).prepare(make_lora_policy(), make_batch(2), ADDRESS, 2)


def test_demonstrations_have_no_noise():
    with pytest.raises(ConfigError, match="noise"):
        objective(answer_noise=0.1)


def test_sharded_weights_are_refused():
    policy = make_lora_policy()
    policy.sharding = object()
    with pytest.raises(ConfigError, match=r"sft\.turns"):
        objective().prepare(policy, make_batch(1), ADDRESS, 1)


def test_each_turn_has_the_name_of_its_prompt():
    """A step that is looked through for a fault has a loss for each turn, and each is named."""
    module = ready_module(SFT())
    module.objectives = {**module.objectives, "SFT": objective()}
    batch = make_batch(3)
    assert first_fault(module, "SFT", 0, batch) == ""
    prepared = module.objectives["SFT"].prepare(module.policy, batch, ADDRESS, 1)
    two_images = [
        question.prompt_id for question, images in zip(batch.questions, batch.images, strict=True) if len(images) == 2
    ]
    assert list(prepared.prompt_ids) == [*(question.prompt_id for question in batch.questions), *two_images]
    assert prepared.num_micro_losses(1) == len(list(prepared.micro_losses(1))) == 5


class Acts(Teaches):
    """Answers in another element than <answer>, as FrameThinker does."""

    def demonstrate(self, episode):  # noqa: ARG002
        return ["<action>output answer: B</action>"]


@pytest.mark.parametrize("letter_weight", [0.0, 2.0])
def test_answers_in_other_elements_are_learnt_whole(letter_weight):
    policy, batch = make_lora_policy(), make_batch(2)
    ways = [objective(Acts(), loss_on=on, letter_weight=letter_weight) for on in ("answer", "response")]
    both = [totals(one.prepare(policy, batch, ADDRESS, 2), policy)[0] for one in ways]
    assert both[0] == both[1] > 0
