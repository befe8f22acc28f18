"""The packed pass must be indistinguishable from what transformers computes for one completion at a time."""

import importlib

import pytest
import torch

from remot.models import FullWeights
from remot.structures import PromptBatch
from tests.tiny import FAMILIES, encode, make_batch, make_lora_policy, make_policy, random_completions

#: Largest difference of two log-probabilities; they are about -6, so this is some ten units in the last place.
LOGPROB_TOLERANCE = 1e-5
#: Largest difference of two gradients, as a share of the gradient's size.
GRADIENT_TOLERANCE = 1e-5

KINDS = {
    "lora": make_lora_policy,
    "full": lambda family, **settings: make_policy(family, FullWeights(), **settings),
    "full with vision": lambda family, **settings: make_policy(family, FullWeights(), train_vision=True, **settings),
    "lora with vision": lambda family, **settings: make_lora_policy(family, train_vision=True, **settings),
}


#: What of a processor's output is no text.
VISUAL = ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw", "second_per_grid_ts")


def naive_metadata(video):
    """A video's times as frames of a recording at ten images a second, some of which are shown."""
    indices = [round(10 * time) for time in video.pts_seconds]
    spacing = (indices[-1] - indices[0]) / (len(indices) - 1)
    return {"fps": 10, "frames_indices": indices, "total_num_frames": spacing * len(indices)}


def naive_inputs(policy, images, question, videos=()):
    """One prompt as a user of transformers writes it, without this library and without padding."""
    pictures = "<|vision_start|><|image_pad|><|vision_end|>" * len(images)
    clips = "<|vision_start|><|video_pad|><|vision_end|>" * len(videos)
    text = f"<|im_start|>user\n{pictures}{clips}{question.text}<|im_end|>\n<|im_start|>assistant\n"
    settings = {"do_sample_frames": False, "video_metadata": [naive_metadata(video) for video in videos]}
    moving = {"videos": [video.frames for video in videos], "videos_kwargs": settings} if videos else {}
    return policy.processor(text=[text], images=[images] if images else None, return_tensors="pt", **moving)


def naive_logits(model, inputs, completion=()):
    """Logits [columns, V] of one unpadded row by the whole model's own forward pass."""
    ids = torch.cat([inputs["input_ids"][0], torch.as_tensor(completion, dtype=torch.long)])[None]
    kinds = (ids == model.config.image_token_id).int() + 2 * (ids == model.config.video_token_id).int()
    visual = {name: inputs[name] for name in VISUAL if name in inputs}
    # Qwen2.5-VL computes positions once and keeps them for rows that continue the last one; this one does not.
    model.model.rope_deltas = None
    return model(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=kinds, **visual).logits[0]


def naive_logprobs(model, policy, inputs, completion, temperature=1.0):
    """Log-probabilities [T] of one unpadded completion by one forward pass over prompt and completion."""
    logits = naive_logits(model, inputs, completion)[-len(completion) - 1 : -1]
    logits = (logits / temperature).masked_fill(policy.logit_bias.isinf(), -torch.inf)
    return torch.stack([torch.log_softmax(row, -1)[token] for row, token in zip(logits, completion, strict=True)])


def naive_batch(model, policy, batch, completions, mask, temperature=1.0):
    """Log-probabilities of all real tokens, prompt by prompt and completion by completion: [number of True in mask]."""
    rows = []
    prompts = zip(batch.images, batch.questions, batch.videos, strict=True)
    for p, (images, question, videos) in enumerate(prompts):
        inputs = naive_inputs(policy, images, question, videos)
        rows += [
            naive_logprobs(model, policy, inputs, completions[p, g][mask[p, g]], temperature)
            for g in range(completions.shape[1])
        ]
    return torch.cat(rows)


def gradients_of(policy, scalar):
    """Gradient of every trainable parameter by name, zeros where there is none; clears them."""
    policy.zero_grad()
    scalar.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in policy.named_parameters()
        if p.requires_grad
    }


def weights_like(tokens):
    """Numbers to weigh log-probabilities with, so that no error of one cancels that of another."""
    return torch.randn(tokens.shape, generator=torch.Generator().manual_seed(5))


def largest_gap(one, other):
    return (one - other).detach().abs().max().item()


def assert_same_gradients(actual, expected, tolerance=GRADIENT_TOLERANCE):
    assert actual.keys() == expected.keys()
    for name, wanted in expected.items():
        difference = float((actual[name] - wanted).norm())
        assert difference <= tolerance * float(wanted.norm()) + 1e-9, name


def assert_same_as_one_row_at_a_time(policy, batch, num_completions=3, num_tokens=7):
    """Log-probabilities and the gradient of every trainable parameter."""
    completions, mask = random_completions(policy, len(batch), num_completions, num_tokens)
    packed = policy.completion_logprobs(encode(policy, batch), completions)[mask]
    weights = weights_like(packed)
    actual = gradients_of(policy, (packed * weights).sum())
    naive = naive_batch(policy.core, policy, batch, completions, mask)
    expected = gradients_of(policy, (naive * weights).sum())
    assert packed.shape == naive.shape
    assert largest_gap(packed, naive) < LOGPROB_TOLERANCE
    assert_same_gradients(actual, expected)
    has_gradient = [bool(gradient.any()) for gradient in expected.values()]
    assert all(has_gradient), "a parameter without a gradient proves nothing"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sharing", ["on", "off"])
def test_a_pass_equals_one_row_at_a_time(family, kind, sharing):
    """3 prompts of 3 lengths, 3 completions each, packed and each behind a copy of its prompt."""
    policy, batch = KINDS[kind](family, prefix_sharing=sharing), make_batch(3)
    assert sorted(map(len, batch.images)) == [2, 2, 3]
    assert len(set(policy.process(batch).prompt_lengths.tolist())) == 3
    assert_same_as_one_row_at_a_time(policy, batch)
    assert policy.shares_prompts(encode(policy, batch)) == (sharing == "on")


@pytest.mark.parametrize(
    "family", ["qwen3_vl", *(pytest.param(one, marks=pytest.mark.slow) for one in FAMILIES if one != "qwen3_vl")]
)
@pytest.mark.parametrize("kind", KINDS)
def test_with_gradient_checkpointing_too(family, kind):
    assert_same_as_one_row_at_a_time(KINDS[kind](family, gradient_checkpointing=True), make_batch(3))


def batch_with_images(*numbers):
    """Prompts that show so many images, of four shapes."""
    generator, batch = torch.Generator().manual_seed(4), make_batch(len(numbers))
    sizes = [(64, 64), (32, 128), (96, 48), (64, 96)]
    images = [
        [torch.randint(0, 256, (3, *sizes[k % 4]), generator=generator, dtype=torch.uint8) for k in range(number)]
        for number in numbers
    ]
    return PromptBatch(images, batch.questions, batch.clip_ids)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("numbers", [(1,), (1, 8), (4, 2, 6), (3, 5, 7)])
@pytest.mark.parametrize("kind", ["lora", "full with vision"])
def test_one_to_eight_images(family, numbers, kind):
    batch = batch_with_images(*numbers)
    assert tuple(map(len, batch.images)) == numbers
    assert_same_as_one_row_at_a_time(KINDS[kind](family), batch, num_completions=2, num_tokens=4)


@pytest.mark.parametrize("family", FAMILIES)
def test_temperature_divides_the_logits(family):
    policy, batch = make_policy(family), make_batch(2)
    completions, mask = random_completions(policy, 2, 2, 5)
    with torch.no_grad():
        packed = policy.completion_logprobs(encode(policy, batch), completions, temperature=0.6)[mask]
        naive = naive_batch(policy.core, policy, batch, completions, mask, temperature=0.6)
        untempered = naive_batch(policy.core, policy, batch, completions, mask)
    assert largest_gap(packed, naive) < LOGPROB_TOLERANCE
    assert largest_gap(packed, untempered) > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_of_transformers_compute_plainly(family):
    sdpa, eager = (make_policy(family, attention=name, prefix_sharing="off") for name in ("sdpa", "eager"))
    batch = make_batch(2)
    completions, mask = random_completions(sdpa, 2, 2, 5)
    with torch.no_grad():
        one = sdpa.completion_logprobs(encode(sdpa, batch), completions)[mask]
        other = eager.completion_logprobs(encode(eager, batch), completions)[mask]
        naive = naive_batch(eager.core, eager, batch, completions, mask)
    assert largest_gap(one, other) < LOGPROB_TOLERANCE
    assert largest_gap(naive, other) < LOGPROB_TOLERANCE


@pytest.mark.parametrize("wrong", ["position", "mask", "column"])
def test_the_comparison_notices_a_mistake(monkeypatch, wrong):
    """Positions one further, a completion that does not see all of its prompt, states one to the left."""
    mistakes = {
        "position": ("forward.packed_position_ids", lambda real: lambda p, n, *rest: real(p, n + 1, *rest)),
        "mask": ("attention.completion_bias", lambda real: lambda *a: real(*a).roll(1, -1)),
        "column": ("forward.packed_predictor_columns", lambda real: lambda *a: real(*a).roll(1, -1)),
    }
    name, mistake = mistakes[wrong]
    module, _, function = name.partition(".")
    module = importlib.import_module(f"remot.models.packing.{module}")
    policy, batch = make_policy(), make_batch(2)
    completions, mask = random_completions(policy, 2, 2, 5)
    monkeypatch.setattr(module, function, mistake(getattr(module, function)))
    with torch.no_grad():
        packed = policy.completion_logprobs(encode(policy, batch), completions)[mask]
        naive = naive_batch(policy.core, policy, batch, completions, mask)
    assert largest_gap(packed, naive) > 100 * LOGPROB_TOLERANCE


def test_padding_of_completions_does_not_matter():
    """What stands behind the end of a completion changes neither its log-probabilities nor the gradient."""
    policy, batch = make_lora_policy(), make_batch(2)
    completions, mask = random_completions(policy, 2, 3, 6)
    encoded = encode(policy, batch)
    other = completions.masked_fill(~mask, 7)
    assert not torch.equal(completions, other)
    one, two = (policy.completion_logprobs(encoded, ids)[mask] for ids in (completions, other))
    assert torch.equal(one, two)
    assert_same_gradients(gradients_of(policy, one.sum()), gradients_of(policy, two.sum()))
