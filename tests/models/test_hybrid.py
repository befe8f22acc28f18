"""Models with layers of linear attention: right log-probabilities and gradients without sharing a prompt."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from remot.errors import ConfigError
from remot.models import FullWeights, LoRA, ModelSource, VLMPolicy
from remot.rollout.sampling import SamplingSettings
from remot.structures import PromptBatch
from tests.models.packing.test_selection import warnings_of
from tests.models.test_parity import LOGPROB_TOLERANCE, assert_same_as_one_row_at_a_time, largest_gap, naive_batch
from tests.rollout.decoding.test_engine import real_tokens, roll_out, talkative
from tests.tiny import (
    HYBRID,
    HYBRID_MIXTURE,
    WORDINGS,
    encode,
    make_batch,
    make_lora_policy,
    make_policy,
    model_folder,
    random_completions,
    select,
)

#: Linear layers of both kinds of block, as transformers names them.
LINEAR_ATTENTION = {"in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj"}
FULL_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
FEED_FORWARD = {"gate_proj", "up_proj", "down_proj"}

KINDS = {
    "lora": lambda **settings: make_lora_policy(HYBRID, prefix_sharing="auto", **settings),
    "full with vision": lambda **settings: make_policy(
        HYBRID, FullWeights(), train_vision=True, prefix_sharing="auto", **settings
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_a_pass_equals_one_row_at_a_time(kind, gradient_checkpointing):
    """Log-probabilities and all gradients are those of the model's own forward pass over each completion."""
    policy = KINDS[kind](gradient_checkpointing=gradient_checkpointing)
    assert_same_as_one_row_at_a_time(policy, make_batch(3))


@pytest.mark.parametrize("family", [HYBRID, HYBRID_MIXTURE])
@pytest.mark.parametrize("sampling", [SamplingSettings(), SamplingSettings(temperature=0.7)])
def test_a_rollout_records_what_one_forward_pass_gives(family, sampling):
    """Completions of different lengths: rows leave the recurrent state when they end."""
    policy, batch = talkative(family, end=3.5, prefix_sharing="auto"), make_batch(3)
    rollout = roll_out(policy, batch, num_completions=4, max_new_tokens=10, sampling=sampling)
    assert len({len(ids) for row in range(3) for ids in real_tokens(rollout, row)}) > 2
    with torch.no_grad():
        mask = rollout.completion_mask
        scored = policy.completion_logprobs(encode(policy, batch), rollout.token_ids, temperature=sampling.temperature)[
            mask
        ]
        policy.logit_bias[policy.eos_token_ids[0]] = 0.0
        plain = policy.completion_logprobs(encode(policy, batch), rollout.token_ids)[mask]
        naive = naive_batch(policy.core, policy, batch, rollout.token_ids, mask)
    gaps = (rollout.logprobs[mask] - scored).abs()
    assert gaps.mean() < LOGPROB_TOLERANCE  # a state of another row, or one token late, is off by tenths
    assert gaps.max() < 1e-3  # steps add up the state in another order, and the gated norm of a small one amplifies it
    assert largest_gap(plain, naive) < LOGPROB_TOLERANCE


def alternating_batch():
    """Prompts of two lengths in turn; those of one length show images of other shapes, so that positions differ."""
    batch, generator = make_batch(5), torch.Generator().manual_seed(8)
    sizes = [(64, 64), (64, 64), (32, 128), (32, 128), (64, 64)]
    images = [[torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8)] for size in sizes]
    texts = [WORDINGS[row % 2] for row in range(5)]
    questions = [replace(one, text=text) for one, text in zip(batch.questions, texts, strict=True)]
    return PromptBatch(images, questions, batch.clip_ids)


@pytest.mark.parametrize("family", [HYBRID, HYBRID_MIXTURE, "lfm2_vl", "aya_vision", "kimi_k25"])
def test_prompts_of_one_length_are_decoded_together_and_say_the_same(family, monkeypatch):
    """A state takes in padding, so that prompts of two lengths stay apart; each gets its own completions back."""
    policy, batch, decoded = talkative(family, end=3.5, prefix_sharing="auto"), alternating_batch(), []
    prompts = encode(policy, batch).prompts
    assert len(set(prompts.prompt_lengths.tolist())) == 2
    assert family in ("lfm2_vl", "aya_vision", "kimi_k25") or len(set(prompts.next_position.tolist())) > 2
    real = policy.prefill_alone
    monkeypatch.setattr(policy, "prefill_alone", lambda some, n: decoded.append(len(some)) or real(some, n))
    together = roll_out(policy, batch, num_completions=3, max_new_tokens=9)
    assert decoded == [3, 2]
    assert len(set(together.num_tokens.flatten().tolist())) > 2
    for row in range(5):
        alone = roll_out(policy, select(batch, [row]), num_completions=3, max_new_tokens=9)
        assert real_tokens(alone, 0) == real_tokens(together, row)
    gaps = policy.completion_logprobs(encode(policy, batch), together.token_ids) - together.logprobs
    assert gaps[together.completion_mask].abs().mean() < LOGPROB_TOLERANCE


def test_no_prompt_is_shared_and_the_reason_is_one_line(caplog):
    policy = KINDS["lora"]()
    with caplog.at_level(logging.WARNING):
        assert policy.shares_prompts(encode(policy, make_batch(2))) is False
        assert policy.shares_prompts(encode(policy, make_batch(1))) is False
    (said,) = warnings_of(caplog)
    assert "qwen3_5-0" in said
    assert "1 of linear_attention" in said


@pytest.fixture(scope="module")
def sliding(tmp_path_factory):
    """A Qwen2.5-VL whose second layer looks back over 8 columns, a fraction of a prompt."""
    folder = Path(shutil.copytree(model_folder("qwen2_5_vl"), tmp_path_factory.mktemp("models") / "sliding"))
    held = json.loads((folder / "config.json").read_text())
    held["text_config"] |= {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    held["text_config"]["layer_types"] = ["full_attention", "sliding_attention"]
    (folder / "config.json").write_text(json.dumps(held))
    return str(folder)


@pytest.mark.parametrize("attention", ["auto", "sdpa", "eager"])
def test_a_window_counts_in_every_pass(sliding, attention, caplog):
    """Computed plainly, whatever the kernel; transformers' eager attention with its own masks is the reference."""
    naive = VLMPolicy(ModelSource(sliding, attention="eager"), prefix_sharing="off", with_reference=False)
    policy, batch = VLMPolicy(ModelSource(sliding, attention=attention), with_reference=False), make_batch(2)
    rollout = roll_out(policy, batch)
    mask = rollout.completion_mask
    with torch.no_grad():
        wanted = naive_batch(naive.core, naive, batch, rollout.token_ids, mask)
        scored = policy.completion_logprobs(encode(policy, batch), rollout.token_ids)[mask]
        whole = make_policy("qwen2_5_vl", FullWeights())
        assert largest_gap(naive_batch(whole.core, whole, batch, rollout.token_ids, mask), wanted) > 0.1
    assert largest_gap(scored, wanted) < LOGPROB_TOLERANCE
    assert largest_gap(rollout.logprobs[mask], wanted) < LOGPROB_TOLERANCE
    assert "1 of sliding_attention" in caplog.text


def test_sharing_that_is_asked_for_is_refused():
    """transformers gives layers of linear attention no mask of pairs: completions would silently see each other."""
    with pytest.raises(ConfigError, match=r"prefix_sharing.*linear_attention"):
        make_policy(HYBRID, prefix_sharing="on")


def test_adapters_cover_every_linear_layer_of_the_blocks():
    policy = make_policy(HYBRID, LoRA(rank=2), prefix_sharing="auto")
    adapted = [name.split(".lora_A")[0] for name, _ in policy.core.named_modules() if name.endswith(".lora_A")]
    blocks = policy.core.model.language_model.layers
    for block, expected in zip(blocks, (LINEAR_ATTENTION, FULL_ATTENTION), strict=True):
        named = {name for name, module in block.named_modules() if hasattr(module, "lora_A")}
        assert {name.rpartition(".")[2] for name in named} == expected | FEED_FORWARD
    assert len(adapted) == 5 + 4 + 2 * 3
    assert not any("visual" in name for name in adapted)


def test_four_steps_of_decoding_match_the_whole_row():
    """The state behind the prompt is copied for each completion, never shared between them."""
    policy, batch = KINDS["lora"](), make_batch(1)
    completions, _ = random_completions(policy, 1, 3, 4)
    encoded = encode(policy, batch)
    with policy.evaluating():
        hidden, cache = policy.prefill_alone(encoded, 3)
        position = encoded.prompts.next_position.expand(3)
        steps = [policy.decode_step(completions[0, :, t, None], position + t, cache)[:, 0] for t in range(3)]
        states = [hidden, *steps]
        logits = policy.logits(torch.stack(states, dim=1))  # [G, T, V]
        stepped = torch.log_softmax(logits, -1).gather(-1, completions[0, ..., None])[..., 0]
        assert largest_gap(stepped, policy.completion_logprobs(encoded, completions)[0]) < LOGPROB_TOLERANCE
