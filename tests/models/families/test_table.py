"""The table of families: each is scored, sampled, trained and exported as transformers alone computes it.

The reference is the model's own forward pass and ``generate``, over what the processor makes of one prompt at a time.
"""

import inspect
import logging

import pytest
import torch

from remot.errors import ConfigError
from remot.models import FullWeights, LoRA
from remot.models.export import check_export, save_merged, save_trained
from remot.models.families.names import COMPARED
from remot.rollout.sampling import GREEDY, SamplingSettings, uniform_noise
from remot.strategies import AlternatingSFTGRPO
from tests.models.test_parity import (
    LOGPROB_TOLERANCE,
    assert_same_gradients,
    gradients_of,
    largest_gap,
    naive_metadata,
    weights_like,
)
from tests.rollout.decoding.test_engine import real_tokens, roll_out, talkative
from tests.strategies.test_module import fit, make_module, phases
from tests.tiny import (
    encode,
    make_batch,
    make_lora_policy,
    make_policy,
    make_video,
    moved,
    random_completions,
    select,
    snapshot,
)

#: How each family is computed. ``shared``: images encoded once, prompts and completions in one row. ``separate``:
#: images encoded once, each completion behind a copy of its prompt. ``whole``: the model's own forward pass.
WAYS = {
    "aya_vision": "separate",
    "cosmos3_edge": "shared",
    "gemma3": "whole",
    "gemma4": "whole",
    "glm46v": "shared",
    "glm4v": "shared",
    "idefics3": "shared",
    "internvl": "shared",
    "kimi_k25": "separate",
    "lfm2_vl": "separate",
    "llava": "shared",
    "llava_next": "shared",
    "llava_onevision": "shared",
    "mistral3": "shared",
    "molmo2": "whole",
    "ovis2": "whole",
    "paligemma": "whole",
    "qwen2_5_vl": "shared",
    "qwen2_vl": "shared",
    "qwen3_5": "separate",
    "qwen3_5_moe": "separate",
    "qwen3_vl": "shared",
    "qwen3_vl_moe": "shared",
    "smolvlm": "shared",
    "video_llama_3": "shared",
}
#: Families of which one of each way stands for the others where a test takes its time.
SOME = ("internvl", "lfm2_vl", "gemma3")


def slow_but(*fast):
    """All families, those that are not named in the slow tier."""
    return [pytest.param(name, marks=() if name in fast else pytest.mark.slow) for name in WAYS]


@pytest.fixture(params=WAYS)
def family(request):
    if request.param == "smolvlm":
        pytest.importorskip("num2words")  # its processor asks for it
    return request.param


def make(family, kind=make_lora_policy, **settings):
    return kind(family, **({"prefix_sharing": "auto"} | settings))


def full_with_vision(family, **settings):
    return make_policy(family, FullWeights(), train_vision=True, **settings)


def own_inputs(policy, images, question, completion=(), videos=()):
    """Inputs of a model's own forward pass over one prompt and completion, as a user of transformers makes them."""
    shown = [*[{"type": "image"}] * len(images), *[{"type": "video"}] * len(videos)]
    messages = [{"role": "user", "content": [*shown, {"type": "text", "text": question.text}]}]
    text = policy.processor.apply_chat_template(messages, add_generation_prompt=True)
    settings = {"do_sample_frames": False, "video_metadata": [naive_metadata(video) for video in videos]}
    settings |= {"return_metadata": True, "input_data_format": "channels_first"}
    moving = {"videos": [video.frames for video in videos], "videos_kwargs": settings} if videos else {}
    pictures = {"images": [list(images)]} if images else {}
    inputs = policy.processor(text=[text], return_tensors="pt", return_mm_token_type_ids=True, **pictures, **moving)
    taken = inspect.signature(policy.core.forward).parameters
    inputs = {name: tensor for name, tensor in inputs.items() if name in taken and name != "labels"}
    added = torch.as_tensor(completion, dtype=torch.long)[None]
    # What transformers' generation gives a new token: it counts, is text, and no prefix of PaliGemma's.
    causal = int(policy.core.config.model_type == "paligemma")
    values = {"attention_mask": 1, "mm_token_type_ids": 0, "token_type_ids": causal}
    for name, value in values.items():
        if name in inputs:
            inputs[name] = torch.cat([inputs[name], torch.full_like(added, value)], dim=1)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], added], dim=1)
    return inputs


def own_logits(policy, batch, completions, mask):
    """For each completion [t] of its own length, its tokens and [t, V] logits by one forward pass over one row."""
    for p, (images, question, videos) in enumerate(zip(batch.images, batch.questions, batch.videos, strict=True)):
        for g in range(completions.shape[1]):
            completion = completions[p, g][mask[p, g]]
            if hasattr(policy.core.model, "rope_deltas"):
                policy.core.model.rope_deltas = None  # of the last prompt
            inputs = own_inputs(policy, images, question, completion, videos)
            logits = policy.core(**inputs).logits[0, -len(completion) - 1 : -1]
            yield completion, logits.masked_fill(policy.logit_bias.isinf(), -torch.inf)


def own_logprobs(policy, batch, completions, mask):
    """Log-probabilities of all real tokens by the model's own forward pass over one row at a time."""
    return torch.cat(
        [
            torch.log_softmax(logits, -1).gather(-1, ids[:, None])[:, 0]
            for ids, logits in own_logits(policy, batch, completions, mask)
        ]
    )


def test_the_way_of_a_family(family, caplog):
    policy, batch = make(family), make_batch(2)
    with caplog.at_level(logging.INFO):
        encoded = encode(policy, batch)
        shares = policy.shares_prompts(encoded)
    whole = encoded.whole_reason
    assert ("whole" if whole else "shared" if shares else "separate") == WAYS[family]
    assert bool(encoded.features) == (whole is None)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("remot")]
    is_compared = family not in COMPARED  # before the first prompt, which is said
    assert len(said) == {"shared": 0, "separate": 1, "whole": 0}[WAYS[family]] + is_compared
    assert all(family in line for line in said)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(make_lora_policy, id="lora"),
        pytest.param(full_with_vision, id="full with vision", marks=pytest.mark.slow),
    ],
)
def test_a_pass_equals_one_row_at_a_time(family, kind):
    """Log-probabilities and the gradient of every trainable parameter."""
    policy, batch = make(family, kind), make_batch(2)
    completions, mask = random_completions(policy, 2, 2, 5)
    found = policy.completion_logprobs(encode(policy, batch), completions)[mask]
    weights = weights_like(found)
    actual = gradients_of(policy, (found * weights).sum())
    own = own_logprobs(policy, batch, completions, mask)
    assert largest_gap(found, own) < LOGPROB_TOLERANCE
    expected = gradients_of(policy, (own * weights).sum())
    assert any(bool(gradient.any()) for gradient in expected.values())
    # a bias of all keys moves no weight of a softmax: its gradient is 0 but for rounding
    kept = [name for name in expected if not name.endswith("k_proj.bias")]
    assert_same_gradients({name: actual[name] for name in kept}, {name: expected[name] for name in kept})


VIDEO_FAMILIES = (
    "cosmos3_edge", "gemma4", "glm46v", "glm4v", "internvl", "kimi_k25", "llava_onevision", "molmo2", "qwen2_5_vl",
    "qwen2_vl", "qwen3_5", "qwen3_5_moe", "qwen3_vl", "qwen3_vl_moe", "smolvlm", "video_llama_3",
)  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_videos(name):
    """A prompt with a video and one with images: as the model's own forward pass, or refused with the model's name."""
    if name == "smolvlm":
        pytest.importorskip("num2words")
    policy, batch = make(name), make_batch(2)
    batch.images = [[], batch.images[1]]
    batch.videos = [[make_video(4)], []]
    if name not in VIDEO_FAMILIES:
        with pytest.raises(ConfigError, match=rf"{name}.*no videos"):
            policy.process(batch)
        return
    completions, mask = random_completions(policy, 2, 2, 4)
    with torch.no_grad():
        found = policy.completion_logprobs(encode(policy, batch), completions)[mask]
        own = own_logprobs(policy, batch, completions, mask)
    assert largest_gap(found, own) < LOGPROB_TOLERANCE


@pytest.mark.parametrize("family", slow_but(*SOME, "llava", "molmo2"), indirect=True)
def test_greedy_equals_generate_of_transformers(family):
    policy, batch = make(family), make_batch(2)
    rollout = roll_out(policy, batch, num_completions=2, max_new_tokens=6, sampling=GREEDY)
    banned = policy.logit_bias.isinf().nonzero()[:, 0].tolist()
    for row in range(2):
        inputs = own_inputs(policy, batch.images[row], batch.questions[row])
        theirs = policy.core.generate(**inputs, max_new_tokens=6, do_sample=False, suppress_tokens=banned)
        ours = theirs[0, inputs["input_ids"].shape[1] :].tolist()
        assert real_tokens(rollout, row) == [ours, ours]


def assert_drawn_from_own_passes(policy, batch, temperature=0.8, num_completions=3, num_tokens=7):
    """Each token is where its addressed number falls in what the model's own pass gives behind the tokens before it."""
    sampling = SamplingSettings(temperature=temperature)
    rollout = roll_out(policy, batch, num_completions, num_tokens, sampling, step=2)
    mask = rollout.completion_mask
    noise = uniform_noise(11, 2, [one.prompt_id for one in batch.questions], num_completions, num_tokens).flatten(0, 1)
    with torch.no_grad():
        rows = list(own_logits(policy, batch, rollout.token_ids, mask))
    logprobs = []
    for (ids, logits), uniforms in zip(rows, noise, strict=True):
        tempered = torch.log_softmax((logits + policy.logit_bias) / temperature, -1)  # [t, V]
        below = tempered.double().exp().cumsum(-1)
        assert torch.searchsorted(below, uniforms[: len(ids), None], right=True)[:, 0].tolist() == ids.tolist()
        logprobs.append(tempered.gather(-1, ids[:, None])[:, 0])
    assert len({len(ids) for ids, _ in rows}) > 1, "completions that end together would show nothing"
    assert largest_gap(torch.cat(logprobs), rollout.logprobs[mask]) < 1e-4


@pytest.mark.parametrize("family", slow_but(*SOME, *sorted(COMPARED)), indirect=True)
def test_completions_are_drawn_from_the_own_forward_pass(family):
    """With adapters, which are merged for the rollout, of prompts of two lengths, one with a video where they go."""
    policy, batch = talkative(family, end=4.0, prefix_sharing="auto"), make_batch(2)
    assert_drawn_from_own_passes(policy, batch)
    if family in VIDEO_FAMILIES:
        batch.images, batch.videos = [[], batch.images[1]], [[make_video(4)], []]
        assert_drawn_from_own_passes(policy, batch)


@pytest.mark.parametrize("family", slow_but(*SOME, "llava", "molmo2"), indirect=True)
def test_sampler_and_scoring_pass_agree(family):
    policy, batch = make(family), make_batch(2)
    rollout = roll_out(policy, batch, num_completions=3, max_new_tokens=6)
    mask = rollout.completion_mask
    with torch.no_grad():
        scored = policy.completion_logprobs(encode(policy, batch), rollout.token_ids)
    assert largest_gap(scored[mask], rollout.logprobs[mask]) < 1e-4
    alone = roll_out(policy, select(batch, [1]), num_completions=3, max_new_tokens=6)
    assert real_tokens(alone, 0) == real_tokens(rollout, 1)


@pytest.mark.parametrize("family", slow_but(*SOME))
def test_it_trains(family, tmp_path):
    """A step of SFT, one of GRPO with a reference, and a validation."""
    if family == "smolvlm":
        pytest.importorskip("num2words")
    module = make_module(AlternatingSFTGRPO(k_sft=1, k_grpo=1), family=family)
    module.policy = make_policy(family, LoRA(rank=2), with_reference=True, prefix_sharing="auto")
    before = snapshot(module.policy)
    notebook, _ = fit(module, tmp_path, limit_val_batches=1, val_check_interval=1)
    assert phases(notebook) == ["SFT", "GRPO"]
    assert notebook.validated
    names = moved(module.policy, before)
    assert names
    assert all("lora_" in name for name in names)


@pytest.mark.parametrize("family", slow_but(*SOME))
@pytest.mark.parametrize("is_adapter", [True, False])
def test_an_export_computes_the_same(family, is_adapter, tmp_path):
    if family == "smolvlm":
        pytest.importorskip("num2words")
    policy = make(family)
    (save_trained if is_adapter else save_merged)(policy, tmp_path)
    check = check_export(policy, tmp_path, is_adapter=is_adapter)
    assert check.max_difference <= 1e-4 * check.max_logit
