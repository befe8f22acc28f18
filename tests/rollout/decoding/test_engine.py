"""Rollouts: the same tokens whatever is decoded together, and the log-probabilities that the scoring pass gives."""

import pytest
import torch

from remot.rollout.decoding.engine import generate
from remot.rollout.sampling import GREEDY, RolloutAddress, RolloutRequest, SamplingSettings
from tests.tiny import SAMPLED, encode, make_batch, make_lora_policy, make_policy, select

PLAIN = SamplingSettings()


def roll_out(policy, batch, num_completions=3, max_new_tokens=8, sampling=PLAIN, step=0):
    address = RolloutAddress(11, step, tuple(question.prompt_id for question in batch.questions))
    return generate(policy, encode(policy, batch), RolloutRequest(num_completions, max_new_tokens, sampling, address))


def talkative(family="qwen3_vl", end=2.5, kind=make_lora_policy, **settings):
    """A policy that ends its turn with a probability of some per cent a token, so that lengths differ."""
    policy = kind(family, **settings)
    policy.logit_bias[policy.eos_token_ids[0]] = end
    return policy


def real_tokens(rollout, row):
    """The completions of one prompt without their padding."""
    pairs = zip(rollout.token_ids[row], rollout.completion_mask[row], strict=True)
    return [ids[mask].tolist() for ids, mask in pairs]


@pytest.mark.parametrize("family", SAMPLED)
@pytest.mark.parametrize(
    "sampling",
    [PLAIN, pytest.param(GREEDY, marks=pytest.mark.slow), SamplingSettings(temperature=0.7, top_k=20, top_p=0.9)],
)
def test_completions_do_not_depend_on_what_is_decoded_together(family, sampling):
    """Three prompts of different lengths and images at once, and each alone: the same tokens and texts."""
    policy, batch = talkative(family), make_batch(3)
    together = roll_out(policy, batch, sampling=sampling)
    for row in range(3):
        alone = roll_out(policy, select(batch, [row]), sampling=sampling)
        assert real_tokens(alone, 0) == real_tokens(together, row)
        assert alone.texts[0] == together.texts[row]
        assert alone.finished[0].tolist() == together.finished[row].tolist()


def test_a_smaller_group_is_the_beginning_of_a_larger_one():
    policy, batch = talkative(), make_batch(2)
    many, few = (roll_out(policy, batch, num_completions=n) for n in (4, 2))
    assert [real_tokens(many, row)[:2] for row in range(2)] == [real_tokens(few, row) for row in range(2)]


def test_a_shorter_limit_cuts_and_changes_nothing():
    policy, batch = talkative(end=0.0), make_batch(2)
    long, short = (roll_out(policy, batch, max_new_tokens=n) for n in (8, 3))
    assert torch.equal(long.token_ids[..., :3], short.token_ids)


def test_noise_follows_the_step():
    policy, batch = talkative(), make_batch(1)
    first, again, other = (roll_out(policy, batch, step=step) for step in (0, 0, 1))
    assert real_tokens(first, 0) == real_tokens(again, 0)
    assert real_tokens(first, 0) != real_tokens(other, 0)
    assert len({tuple(ids) for ids in real_tokens(first, 0)}) == 3


@pytest.mark.parametrize("family", SAMPLED)
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (1.7, 1.0), (0.6, 0.95)])
def test_sampler_and_scoring_pass_agree(family, temperature, top_p):
    """Step by step with a cache, or all at once in a packed row: the same log-probabilities, tempered alike."""
    sampling = SamplingSettings(temperature=temperature, top_p=top_p)
    policy, batch = talkative(family), make_batch(3)
    rollout = roll_out(policy, batch, sampling=sampling)
    mask = rollout.completion_mask
    with torch.no_grad():
        scored = policy.completion_logprobs(encode(policy, batch), rollout.token_ids, temperature=temperature)
        untempered = policy.completion_logprobs(encode(policy, batch), rollout.token_ids)
    assert int(mask.sum()) > 20
    assert (scored - rollout.logprobs)[mask].abs().max() < 1e-5
    assert temperature == 1 or (untempered - rollout.logprobs)[mask].abs().max() > 0.1


@pytest.mark.parametrize("family", SAMPLED)
def test_greedy_equals_generate_of_transformers(family):
    """transformers' own loop, prompt by prompt, with the same tokens suppressed."""
    policy, batch = make_policy(family), make_batch(3)
    rollout = roll_out(policy, batch, num_completions=1, max_new_tokens=6, sampling=GREEDY)
    banned = policy.logit_bias.isinf().nonzero()[:, 0].tolist()
    for row in range(3):
        prompts = policy.process(select(batch, [row]))
        theirs = policy.core.generate(
            input_ids=prompts.input_ids,
            attention_mask=prompts.prompt_mask.long(),
            pixel_values=prompts.images.patches,
            image_grid_thw=prompts.images.grid_thw,
            mm_token_type_ids=prompts.token_types,
            max_new_tokens=6,
            do_sample=False,
            suppress_tokens=banned,
        )
        assert real_tokens(rollout, row) == [theirs[0, prompts.input_ids.shape[1] :].tolist()]


@pytest.mark.parametrize("sampling", [PLAIN, GREEDY])
def test_placeholders_are_never_sampled_even_if_the_model_wants_nothing_else(sampling):
    """A sampled image placeholder would break the next forward pass."""
    policy, batch = make_policy(), make_batch(2)
    banned = policy.logit_bias.isinf()
    assert int(banned.sum()) == 4

    policy.core.lm_head.register_forward_hook(lambda *passed: passed[-1] + 60.0 * banned)
    rollout = roll_out(policy, batch, sampling=sampling)
    assert not banned[rollout.token_ids].any()
    assert rollout.logprobs[rollout.completion_mask].isfinite().all()


def test_end_of_turn_ends_and_the_rest_is_padding():
    policy, batch = talkative(end=5.0), make_batch(3)
    rollout = roll_out(policy, batch, num_completions=4, max_new_tokens=12)
    end, pad = policy.eos_token_ids[0], policy.pad_token_id
    lengths = rollout.num_tokens.flatten().tolist()
    assert len(set(lengths)) > 3, "completions of one length would show nothing"
    assert 0 < rollout.finished.sum() < 12
    parts = (rollout.token_ids, rollout.completion_mask, rollout.logprobs)
    rows = zip(*(part.flatten(0, 1) for part in parts), rollout.finished.flatten(), lengths, strict=True)
    for ids, mask, logprobs, finished, length in rows:
        assert mask.tolist() == [True] * length + [False] * (len(mask) - length)
        assert (ids[:length] == end).tolist() == [False] * (length - 1) + [bool(finished)]
        assert (ids[length:] == pad).all()
        assert (logprobs[length:] == 0).all()
        assert (logprobs[:length] < 0).all()
        assert bool(finished) or length == len(mask)
    tokenizer = policy.processor.tokenizer
    for row, texts in enumerate(rollout.texts):
        assert texts == [tokenizer.decode(ids, skip_special_tokens=True) for ids in real_tokens(rollout, row)]
        assert not any("<|im_end|>" in text or "<|endoftext|>" in text for text in texts)


def test_every_end_token_ends():
    policy, batch = make_policy(), make_batch(1)
    policy.eos_token_ids = (policy.eos_token_ids[0], 65)
    policy.logit_bias[65] = 60.0
    rollout = roll_out(policy, batch)
    assert rollout.token_ids.tolist() == [[[65]] * 3]
    assert rollout.finished.all()


def test_decoding_stops_when_all_have_ended():
    policy, batch = talkative(end=60.0), make_batch(2)
    calls = []
    policy.core.model.language_model.register_forward_pre_hook(lambda *_: calls.append(1))
    rollout = roll_out(policy, batch)
    assert rollout.token_ids.shape == (2, 3, 1)
    assert len(calls) == 1  # the prefill, and no decode step


def test_prompts_are_prefilled_once_for_the_group():
    """One pass over P prompts, then one step a token for all G of a row; the last token needs no step."""
    policy, batch = talkative(end=-60.0), make_batch(2)
    shapes = []
    policy.core.model.language_model.register_forward_pre_hook(
        lambda *passed: shapes.append(tuple(passed[-1]["inputs_embeds"].shape[:2])), with_kwargs=True
    )
    rollout = roll_out(policy, batch, num_completions=3, max_new_tokens=4)
    assert rollout.token_ids.shape == (2, 3, 4)
    assert not rollout.finished.any()
    length = policy.process(batch).input_ids.shape[1]
    assert shapes == [(2, length), (2, 3), (2, 3), (2, 3)]


def test_rollout_leaves_mode_and_gradients_alone_and_does_not_depend_on_them():
    """A trainer's training mode with gradient checkpointing would drop the cache."""
    policy, batch = talkative(kind=make_policy, gradient_checkpointing=True), make_batch(1)
    wanted = roll_out(policy, batch)
    policy.train()
    in_training = roll_out(policy, batch)
    assert policy.training
    assert policy.reference.training
    assert torch.equal(wanted.token_ids, in_training.token_ids)
    assert not in_training.logprobs.requires_grad
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_kernels_of_transformers_decode_the_same():
    batch = make_batch(2)
    ours, *others = (
        roll_out(make_policy(attention=attention, prefix_sharing="auto"), batch)
        for attention in ("auto", "sdpa", "eager")
    )
    assert all(torch.equal(ours.token_ids, other.token_ids) for other in others)
