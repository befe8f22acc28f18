"""What another engine sampled becomes a rollout the policy could have made."""

import math

import pytest
import torch

from remot.rollout.decoding.engine import generate
from remot.rollout.sampling import RolloutAddress, RolloutRequest, SamplingSettings
from remot.rollout.servers.base import CompletionLimits, ExternalEngine, SampledCompletion, external_rollout, within
from remot.rollout.servers.messages import encode_png
from tests.helpers import assert_close
from tests.tiny import encode, make_batch, make_lora_policy

LIMITS = CompletionLimits(eos_token_ids=(9, 8), banned=frozenset({5, 6}), vocabulary=10, max_new_tokens=4)
NAN = math.nan


def sampled(ids, ended=False, logprobs=None):
    return SampledCompletion(tuple(ids), tuple(logprobs or [-float(token) for token in ids]), ended)


@pytest.mark.parametrize(
    ("ids", "ended", "wanted", "wanted_ended"),
    [
        ((1, 2), True, (1, 2, 9), True),  # the end of turn it did not write
        ((1, 2), False, (1, 2), False),
        ((1, 9), True, (1, 9), True),
        ((1, 8), False, (1, 8), True),  # it ended, whatever the engine says
        ((1, 9, 2), True, (1, 9), True),  # nothing follows an end of turn
        ((1, 2, 5, 3), True, (1, 2), False),  # an image that is not there
        ((5,), True, (), False),
        ((1, 10), True, (1,), False),  # no token at all
        ((1, -1), True, (1,), False),
        ((1, 2, 3, 4), True, (1, 2, 3, 4), False),  # no room for an end of turn
        ((1, 2, 3, 4, 9), True, (1, 2, 3, 4), False),
        ((), True, (9,), True),
    ],
)
def test_only_what_the_policy_could_have_sampled(ids, ended, wanted, wanted_ended):
    found = within(sampled(ids, ended), LIMITS)
    assert (found.token_ids, found.is_ended) == (wanted, wanted_ended)
    kept = min(len(wanted), len(ids))
    assert found.logprobs[:kept] == tuple(-float(token) for token in ids[:kept])
    assert all(math.isnan(value) for value in found.logprobs[kept:])


def test_tokens_without_a_number_each_are_refused():
    with pytest.raises(ValueError, match="2 tokens have 1"):
        SampledCompletion((1, 2), (0.0,), is_ended=True)


class Scripted(ExternalEngine):
    """Gives a scripted reply."""

    def __init__(self, groups):
        self.groups = groups

    def check(self):
        pass

    def sync_weights(self, policy, step):
        pass

    def complete(self, *_):
        return self.groups


def request_of(batch, num_completions, max_new_tokens, temperature):
    address = RolloutAddress(0, 0, tuple(q.prompt_id for q in batch.questions))
    return RolloutRequest(num_completions, max_new_tokens, SamplingSettings(temperature), address)


def rollout_of(policy, batch, groups, max_new_tokens=6, temperature=1.0):
    request = request_of(batch, len(groups[0]), max_new_tokens, temperature)
    sampled = Scripted(groups).complete(policy, batch, request)
    return external_rollout(policy, encode(policy, batch), sampled, request)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_an_engine_with_the_policys_tokens_gives_its_results(temperature):
    """Ids handed on without any log-probability: the trainer's own are those of its sampler."""
    policy, batch = make_lora_policy(), make_batch(2)
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0
    own = generate(policy, encode(policy, batch), request_of(batch, 3, 6, temperature))
    rows = zip(own.token_ids, own.completion_mask, own.finished, strict=True)
    groups = [
        [
            SampledCompletion(tuple(ids[keep].tolist()), (NAN,) * int(keep.sum()), bool(end))
            for ids, keep, end in zip(*row, strict=True)
        ]
        for row in rows
    ]
    assert 0 < own.finished.sum() < own.finished.numel()
    found = rollout_of(policy, batch, groups, temperature=temperature)
    assert torch.equal(found.completion_mask, own.completion_mask)
    assert torch.equal(found.token_ids[found.completion_mask], own.token_ids[own.completion_mask])
    assert torch.equal(found.finished, own.finished)
    assert [list(texts) for texts in found.texts] == [list(texts) for texts in own.texts]
    assert_close(found.logprobs[found.completion_mask], own.logprobs[own.completion_mask], rtol=1e-4, atol=1e-4)
    assert (found.logprobs[~found.completion_mask] == 0).all()


def test_the_engines_logprobs_are_kept():
    """Only what it does not say is the trainer's."""
    policy, batch = make_lora_policy(), make_batch(1)
    allowed = policy.logit_bias.isfinite().nonzero()[:, 0]
    one, two = (int(token) for token in allowed[20:22])
    rollout = rollout_of(policy, batch, [[sampled((one, two), True, (-1.25, -2.5)), sampled((two,), False, (-0.5,))]])
    assert rollout.logprobs[0, 0, :2].tolist() == [-1.25, -2.5]
    assert rollout.logprobs[0, 0, 2] not in (0.0, NAN)
    assert rollout.logprobs[0, 0, 2].isfinite()
    assert rollout.logprobs[0, 1].tolist() == [-0.5, 0.0, 0.0]
    assert rollout.token_ids[0, 0].tolist() == [one, two, policy.eos_token_ids[0]]
    assert rollout.finished.tolist() == [[True, False]]


def test_images_placeholders_end_a_completion():
    policy, batch = make_lora_policy(), make_batch(1)
    placeholder = policy.core.config.image_token_id
    rollout = rollout_of(policy, batch, [[sampled((placeholder, 3), True), sampled((3, placeholder), True)]])
    assert rollout.num_tokens.tolist() == [[0, 1]]
    assert placeholder not in rollout.token_ids
    assert not rollout.finished.any()
    assert rollout.texts[0][0] == ""


def test_an_image_is_shown_as_it_is():
    import io

    import numpy as np
    from PIL import Image

    picture = torch.randint(0, 256, (3, 7, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with Image.open(io.BytesIO(encode_png(picture))) as image:
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), picture.permute(1, 2, 0).numpy())
