"""The supervised objective: which tokens are learnt, from which responses, with which loss."""

import math
import re
from dataclasses import replace

import pytest
import torch
import yaml

from remot.answers import answer_char_span, answer_char_spans, render_response
from remot.errors import ConfigError
from remot.models.tiny import THINK_TOKENS, build_tokenizer
from remot.motion import PAIRS
from remot.strategies import SFTObjective
from remot.strategies.objective import StepAddress
from remot.structures import MotionLabel, Question, Reference, Slot
from tests.helpers import PROJECT, assert_close, make_question
from tests.tiny import encode, make_batch, make_lora_policy, make_policy

ADDRESS = StepAddress(seed=0, step=0)
LETTERS = ("CAB", "ABB", "CCC", "BAC", "AAA", "BCA")


def learnt_texts(objective, policy, response):
    """The tokens that the loss is taken on, as texts."""
    ids, mask, _ = objective.targets(policy, [response])
    return [policy.processor.tokenizer.decode([token]) for token in ids[0, 0][mask[0, 0]].tolist()]


# -- which responses of tasks --------------------------------------------------------------------------------------


def task_question(target, **more):
    return Question("q", "?", (), "d", "s", target=target, task="grounded_qa", reference=Reference(), **more)


def test_the_target_of_a_task_is_learnt_as_it_is():
    """With noise, too: only letters of slots are exchanged."""
    response = "<think>so</think><answer>B</answer><glue>[(1.00, 2.00)]</glue>"
    for noise in (0.0, 1.0):
        assert SFTObjective(answer_noise=noise).response(task_question(response), ADDRESS) == response
    with pytest.raises(ConfigError, match=r"prompt q \(grounded_qa\)"):
        SFTObjective().response(task_question(""), ADDRESS)


def test_the_loss_is_taken_on_answer_and_glue():
    response = "<think>so</think><answer>B</answer><glue>[(1.00, 2.00)]</glue>"
    assert [response[slice(*span)] for span in answer_char_spans(response)] == ["B", "[(1.00, 2.00)]"]
    assert answer_char_spans("<glue>1</glue><answer>B</answer>") == [(22, 23)]
    learnt = "".join(learnt_texts(SFTObjective(), make_policy(with_reference=False), response))
    assert learnt.startswith("B")
    assert "1.00, 2.00" in learnt
    assert "so" not in learnt
    assert "answer" not in learnt


# -- which tokens --------------------------------------------------------------------------------------------------


def gluing_policy():
    """A policy whose tokenizer, like Qwen's own, has no answer tags and so glues their last symbol to a letter."""
    texts = [f"so{THINK_TOKENS[1]}<answer>{letters}</answer>" for letters in LETTERS] * 5
    texts += [f"<answer>{letter}" for letter in "ABC"] * 20
    policy = make_policy(with_reference=False)
    policy.processor.tokenizer = build_tokenizer(texts, 400, whole_tags=THINK_TOKENS)
    return policy


def touches_the_answer(tokenizer, response):
    """For each token, found without offsets by adding up the bytes of the tokens: does it hold a letter?"""
    start, end = (len(response[:index].encode()) for index in answer_char_span(response))
    verdicts, position = [], 0
    byte_of = {v: k for k, v in bytes_to_unicode().items()}
    for token in tokenizer.convert_ids_to_tokens(tokenizer(response, add_special_tokens=False)["input_ids"]):
        length = len(token) if token in THINK_TOKENS else len(bytes(byte_of[letter] for letter in token))
        verdicts.append(position < end and position + length > start)
        position += length
    assert position == len(response.encode())
    return verdicts


def bytes_to_unicode():
    """GPT-2's printable stand-ins for bytes, in which a byte-level vocabulary is written."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def test_the_tokenizer_really_glues():
    """`>C` is one token in the response, and tokenising the pieces apart gives other tokens."""
    tokenizer = gluing_policy().processor.tokenizer
    whole = tokenizer.tokenize("<think>so</think><answer>CAB</answer>")
    glued = [token for token in whole if token.startswith(">") and token[1:2].isalpha()]
    assert glued, whole
    pieces = ("<think>so</think><answer>", "CAB", "</answer>")
    assert whole != [token for piece in pieces for token in tokenizer.tokenize(piece)]


@pytest.mark.parametrize("letters", LETTERS)
@pytest.mark.parametrize("reasoning", ["so", "", "it rose by 3° – naïve 目", "A > B <answer", "1: left\n\n2: right\n"])
def test_answer_tokens_are_exactly_those_that_hold_a_letter(letters, reasoning):
    """Glued tokens included, reasoning of several bytes a character before them."""
    policy, response = gluing_policy(), render_response(reasoning, letters)
    _, mask, _ = SFTObjective().targets(policy, [response])
    *of_response, of_end = mask[0, 0].tolist()
    assert of_response == touches_the_answer(policy.processor.tokenizer, response)
    assert of_end is False
    learnt = "".join(learnt_texts(SFTObjective(), policy, response))
    assert letters in learnt
    assert len(learnt) <= len(letters) + 2  # at most the symbol before and the symbol behind


def test_tags_that_are_tokens_leave_the_letters_alone():
    policy = make_policy(with_reference=False)
    learnt = learnt_texts(SFTObjective(), policy, render_response("A then B", "CAB"))
    assert "".join(learnt) == "CAB"


def test_the_whole_response_ends_with_the_turn():
    policy, response = make_policy(with_reference=False), render_response("rose", "CAB")
    learnt = learnt_texts(SFTObjective(loss_on="response"), policy, response)
    assert "".join(learnt) == response + "<|im_end|>"


def test_what_the_template_opened_is_not_learnt():
    """After a template that ends with <think> the first target is the reasoning; the answer is found all the same."""
    policy, response = make_policy(with_reference=False), render_response("rose", "CAB")
    policy.texts.response_prefix = "<think>\n"
    assert "".join(learnt_texts(SFTObjective(loss_on="response"), policy, response)) == response[7:] + "<|im_end|>"
    assert "".join(learnt_texts(SFTObjective(), policy, response)) == "CAB"


def test_shorter_responses_are_padded_and_padding_is_not_learnt():
    policy = make_policy(with_reference=False)
    responses = [render_response("a long way to the answer", "CAB"), render_response("", "B")]
    ids, mask, _ = SFTObjective(loss_on="response").targets(policy, responses)
    lengths = [len(policy.texts.tokens_of_response(response)[0]) for response in responses]
    assert ids.shape == mask.shape == (2, 1, max(lengths))
    assert mask.sum(-1)[:, 0].tolist() == lengths
    assert (ids[1, 0, lengths[1] :] == policy.pad_token_id).all()


# -- which responses -----------------------------------------------------------------------------------------------


def test_response_follows_from_the_question():
    question = replace(make_question("CAB"), reasoning="it rose")
    assert SFTObjective().response(question, ADDRESS) == "<think>it rose</think><answer>CAB</answer>"


def noisy_letters(objective, solution, seed=0, step=0, prompt_id="q"):
    question = make_question(solution, prompt_id=prompt_id)
    response = objective.response(question, StepAddress(seed, step))
    start, end = answer_char_span(response)
    return response[start:end]


def test_noise_replaces_its_share_of_letters():
    """Of 3000 letters "A", 0.6 are drawn again, 2/3 of those become B or C: 0.4 ± 5 standard deviations (0.009)."""
    objective = SFTObjective(answer_noise=0.6)
    letters = "".join(noisy_letters(objective, "AAA", prompt_id=f"q{n}") for n in range(1000))
    shares = [letters.count(letter) / len(letters) for letter in "ABC"]
    assert sum(shares) == 1
    assert abs(shares[0] - 0.6) < 5 * 0.009
    assert abs(shares[1] - shares[2]) < 5 * 0.012


def test_noise_follows_the_address():
    objective = SFTObjective(answer_noise=1.0)

    def many(**address):
        return [noisy_letters(objective, "ABC", prompt_id=f"q{n}", **address) for n in range(8)]

    assert many(seed=1, step=2) == many(seed=1, step=2)
    assert many(seed=1, step=2) != many(seed=1, step=3)
    assert many(seed=1, step=2) != many(seed=2, step=2)
    assert len(set(many(seed=1, step=2))) > 1


def test_no_noise_is_the_solution():
    assert all(noisy_letters(SFTObjective(), "CAB", prompt_id=f"q{n}") == "CAB" for n in range(50))


def test_bias_replaces_its_share_by_the_first_letter():
    """Of 3000 letters "B", 0.4 become A and 0.3 are drawn again: A 0.5, B 0.4, C 0.1, each ± 5 standard deviations."""
    objective = SFTObjective(answer_noise=0.3, answer_bias=0.4)
    letters = "".join(noisy_letters(objective, "BBB", prompt_id=f"q{n}") for n in range(1000))
    for letter, share in zip("ABC", (0.5, 0.4, 0.1), strict=True):
        assert abs(letters.count(letter) / len(letters) - share) < 5 * 0.0092


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_noise_out_of_range(share):
    with pytest.raises(ConfigError, match="answer_noise"):
        SFTObjective(answer_noise=share)
    with pytest.raises(ConfigError, match="sum to at most 1"):
        SFTObjective(answer_noise=0.6, answer_bias=0.5)
    with pytest.raises(ConfigError, match="letter_weight"):
        SFTObjective(letter_weight=-1.0)


def asked_for(letters, solution, tolerance=None):
    slots = tuple(
        Slot(MotionLabel(pair, "camera_yaw", "right", 20.0, "degrees"), tuple(letters), gold, letters, tolerance)
        for pair, gold in zip(PAIRS, solution, strict=True)
    )
    return Question("q", "?", slots, "test", "s", reasoning="it turned")


@pytest.mark.parametrize("objective", [SFTObjective(answer_noise=1.0), SFTObjective(answer_bias=1.0)])
def test_numbers_are_left_as_they_are(objective):
    """There is no letter to replace one by."""
    question = asked_for("", ("20", "0", "-30"), 5.0)
    for step in range(20):
        response = objective.response(question, StepAddress(0, step))
        assert response == "<think>it turned</think><answer>20, 0, -30</answer>"


def test_noise_and_bias_on_claims_stay_among_their_letters():
    noisy = {
        letter
        for step in range(40)
        for letter in re.findall(
            "[TF]+", SFTObjective(answer_noise=1.0).response(asked_for("TF", "TFT"), StepAddress(0, step))
        )
        for letter in letter
    }
    assert noisy == {"T", "F"}
    biased = SFTObjective(answer_bias=1.0).response(asked_for("TF", "TFT"), ADDRESS)
    assert biased.endswith("<answer>TTT</answer>")


def test_the_loss_on_numbers_is_on_all_their_characters():
    policy = make_policy(with_reference=False)
    response = SFTObjective().response(asked_for("", ("20", "0", "-30"), 5.0), ADDRESS)
    assert "".join(learnt_texts(SFTObjective(), policy, response)) == "20, 0, -30"


def test_letters_of_claims_weigh_in_the_reasoning_too():
    policy, response = make_policy(with_reference=False), render_response("first left T, second none F", "TF")
    ids, _, on_letters = SFTObjective(loss_on="response").targets(policy, [response])
    learnt = [policy.processor.tokenizer.decode(token) for token in ids[on_letters]]
    assert "".join(learnt).replace(" ", "") == "TFTF"


# -- which loss ----------------------------------------------------------------------------------------------------


def totals(prepared, policy):
    """Summed loss, metrics and gradients of one update."""
    policy.zero_grad()
    loss, nll = 0.0, 0.0
    for output in prepared.micro_losses():
        output.loss.backward()
        loss, nll = loss + output.loss.item(), nll + output.metrics["nll"]
    return loss, nll, {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("loss_on", ["answer", "response"])
def test_loss_is_the_mean_over_the_target_tokens_of_the_batch(loss_on):
    policy, batch, objective = make_lora_policy(), make_batch(3), SFTObjective(loss_on=loss_on)
    loss, nll, _ = totals(objective.prepare(policy, batch, ADDRESS, 4), policy)
    responses = [objective.response(question, ADDRESS) for question in batch.questions]
    ids, mask, _ = objective.targets(policy, responses)
    with torch.no_grad():
        logprobs = policy.completion_logprobs(encode(policy, batch), ids)
    assert_close(loss, -logprobs[mask].mean(), rtol=1e-5)
    assert nll == loss
    assert int(mask.sum()) == 9 if loss_on == "answer" else int(mask.sum()) > 30


def test_letters_of_the_reasoning_count_too():
    policy, response = make_policy(with_reference=False), render_response("A Bow, first up B, second none A", "BA")
    ids, on_response, on_letters = SFTObjective(loss_on="response").targets(policy, [response])
    learnt = [policy.processor.tokenizer.decode(token) for token in ids[on_letters]]
    assert "".join(learnt).replace(" ", "") == "ABABA"
    assert int(on_response.sum()) == ids.shape[-1]


def test_letters_weigh_as_much_as_asked_for():
    """The batch's reasoning holds no option letter, so that the letters are those of the answer."""
    policy, batch = make_lora_policy(), make_batch(3)
    answer, response, weighted = (
        totals(objective.prepare(policy, batch, ADDRESS, 2), policy)
        for objective in (
            SFTObjective(loss_on="answer"),
            SFTObjective(loss_on="response"),
            SFTObjective(loss_on="response", letter_weight=2.5),
        )
    )
    assert_close(weighted[0], 2.5 * answer[0] + response[0], rtol=1e-5)
    assert_close(weighted[1], response[1], rtol=1e-5)
    for name, gradient in weighted[2].items():
        wanted = 2.5 * answer[2][name] + response[2][name]
        assert (gradient - wanted).norm() <= 1e-5 * wanted.norm() + 1e-9, name


def test_the_recipe_of_dft_weighs_tokens_by_their_probability():
    held = yaml.safe_load((PROJECT / "configs" / "losses" / "dft.yaml").read_text())["model"]["sft"]
    policy, batch, objective = make_lora_policy(), make_batch(3), SFTObjective(**held)
    loss, nll, _ = totals(objective.prepare(policy, batch, ADDRESS, 2), policy)
    ids, mask, _ = objective.targets(policy, [objective.response(question, ADDRESS) for question in batch.questions])
    with torch.no_grad():
        logprobs = policy.completion_logprobs(encode(policy, batch), ids)[mask]
    assert_close(loss, -(logprobs.exp() * logprobs).mean(), rtol=1e-5)
    assert_close(nll, -logprobs.mean(), rtol=1e-5)


@pytest.mark.parametrize("train_vision", [False, True])
def test_micro_batches_change_nothing(train_vision):
    policy, batch = make_lora_policy(train_vision=train_vision), make_batch(4)
    results = [totals(SFTObjective().prepare(policy, batch, ADDRESS, size), policy) for size in (4, 1, 2, 3)]
    whole, *parts = results
    for loss, nll, gradients in parts:
        assert_close(loss, whole[0], rtol=1e-5)
        assert_close(nll, whole[1], rtol=1e-5)
        assert gradients.keys() == whole[2].keys()
        for name, gradient in gradients.items():
            assert (gradient - whole[2][name]).norm() <= 1e-5 * whole[2][name].norm() + 1e-9, name


def test_one_update_without_reference_or_samples():
    policy = make_policy(with_reference=False)
    prepared = SFTObjective().prepare(policy, make_batch(2), ADDRESS, 1)
    assert prepared.num_updates == 1
    assert not prepared.samples
    assert not SFTObjective().needs_reference
    assert len(list(prepared.micro_losses())) == 2


@pytest.mark.parametrize(("train_vision", "num_calls"), [(False, 1), (True, 3)])
def test_images_are_encoded_once_unless_their_encoder_is_trained(train_vision, num_calls):
    policy, calls = make_policy(train_vision=train_vision, with_reference=False), []
    policy.core.model.visual.register_forward_pre_hook(lambda *_: calls.append(1))
    list(SFTObjective().prepare(policy, make_batch(3), ADDRESS, 1).micro_losses())
    assert len(calls) == num_calls
