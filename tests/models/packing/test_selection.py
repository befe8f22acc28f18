"""Models that do not compute the same in packed rows are found out with the first prompts, and computed plainly."""

import logging

import pytest
import torch

from remot.errors import ConfigError
from remot.models import QLoRA
from remot.models.packing import selection as sharing_module
from remot.models.packing.forward import separate_rows
from tests.models.test_parity import LOGPROB_TOLERANCE, largest_gap, naive_batch
from tests.rollout.decoding.test_engine import real_tokens, roll_out, talkative
from tests.tiny import FAMILIES, encode, make_batch, make_lora_policy, make_policy, random_completions, select


def automatic(family="qwen3_vl", **settings):
    return make_lora_policy(family, prefix_sharing="auto", **settings)


def warnings_of(caplog):
    """What the comparison said; other libraries have things to say too."""
    return [record.getMessage() for record in caplog.records if record.name == "remot.models.packing.selection"]


def ignoring_masks(policy):
    """An attention that is causal whatever it is asked for, as a kernel of its own would be.

    A single token looks at everything that is there, so a decode step with a row for each completion is right.
    """
    for layer in policy.core.model.language_model.layers:
        real = layer.self_attn.forward

        def forward(*arguments, real=real, **settings):
            settings |= {"attention_mask": None, "row_layout": None, "shared_cache": None}
            return real(*arguments, **settings)

        layer.self_attn.forward = forward
    return policy


def carrying_a_state(policy):
    """A layer that adds what came just before it in the row, as a short convolution does."""
    layer = policy.core.model.language_model.layers[0]

    def shifted(_module, _arguments, output):
        return output + 0.5 * torch.nn.functional.pad(output[:, :-1], (0, 0, 1, 0))

    layer.mlp.register_forward_hook(shifted)
    return policy


def refusing_layouts(policy):
    """A model whose attention takes nothing that it does not know."""
    model, real = policy.core.model.language_model, policy.core.model.language_model.forward

    def forward(*arguments, **settings):
        if "row_layout" in settings:
            msg = "unexpected row_layout\nand more words"
            raise ValueError(msg)
        return real(*arguments, **settings)

    model.forward = forward
    return policy


def giving_nan(policy):
    """Packed rows overflow."""
    model = policy.core.model.language_model

    def forward(_module, _arguments, settings, output):
        if "row_layout" in settings:
            output.last_hidden_state.fill_(torch.nan)

    model.register_forward_hook(forward, with_kwargs=True)
    return policy


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_prompts", [1, 3])
def test_a_matching_model_shares_prompts_without_a_warning(caplog, family, num_prompts):
    policy = automatic(family)
    with caplog.at_level(logging.WARNING):
        assert policy.shares_prompts(encode(policy, make_batch(num_prompts)))
    assert warnings_of(caplog) == []


@pytest.mark.parametrize(("compute_dtype", "shares"), [("bfloat16", True), ("float32", False)])
def test_four_bit_weights_are_compared_as_precisely_as_they_compute(caplog, monkeypatch, compute_dtype, shares):
    """Their products round to bfloat16, and a thousandth is no fault, though the embeddings beside are in float32."""
    policy = make_policy(adaptation=QLoRA(rank=2, compute_dtype=compute_dtype), prefix_sharing="auto")
    encoded = encode(policy, make_batch(2))
    assert policy.core.get_input_embeddings().weight.dtype is torch.float32
    real = sharing_module._decoded
    monkeypatch.setattr(sharing_module, "_decoded", lambda *arguments: real(*arguments) + 1e-3)
    with caplog.at_level(logging.WARNING):
        assert policy.shares_prompts(encoded) is shares
    assert all("the decode loop are off by 0.001" in said for said in warnings_of(caplog))
    assert bool(warnings_of(caplog)) is not shares


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (ignoring_masks, "the scoring pass are off by"),
        (carrying_a_state, "the scoring pass are off by"),
        (refusing_layouts, "ValueError: unexpected row_layout)"),
        (giving_nan, "off by nan"),
    ],
)
def test_a_model_that_does_not_is_found_out(caplog, broken, reason):
    policy = broken(automatic())
    encoded = encode(policy, make_batch(2))
    with caplog.at_level(logging.WARNING):
        assert policy.shares_prompts(encoded) is False
        assert policy.shares_prompts(encoded) is False
    (said,) = warnings_of(caplog)
    assert said.startswith("qwen3_vl-0: completions that share their prompt are not computed as one by one")
    assert reason in said


def test_a_decode_loop_that_differs_is_found_out(caplog, monkeypatch):
    """The scoring pass is right, the shared cache is not: a step that takes another completion's token."""
    policy = automatic()
    real = policy.decode_step
    monkeypatch.setattr(policy, "decode_step", lambda ids, position, cache: real(ids.flip(1), position, cache))
    with caplog.at_level(logging.WARNING):
        assert policy.shares_prompts(encode(policy, make_batch(2))) is False
    assert "the decode loop are off by" in caplog.text


def test_memory_that_runs_out_is_not_taken_for_a_broken_model(monkeypatch):
    def fails(*_, **__):
        raise torch.OutOfMemoryError("simulated")

    policy = automatic()
    encoded = encode(policy, make_batch(2))
    monkeypatch.setattr(policy, "prefill", fails)
    with pytest.raises(torch.OutOfMemoryError):
        policy.shares_prompts(encoded)


@pytest.mark.parametrize("sharing", ["on", "off"])
def test_what_is_set_is_not_compared(monkeypatch, sharing):
    policy = make_lora_policy(prefix_sharing=sharing)
    encoded = encode(policy, make_batch(2))
    monkeypatch.setattr(policy, "scored", lambda *_, **__: pytest.fail("compared"))
    assert policy.shares_prompts(encoded) == (sharing == "on")


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_kernels_of_transformers_share_nothing(caplog, attention):
    policy = make_lora_policy(prefix_sharing="auto", attention=attention)
    with caplog.at_level(logging.WARNING):
        assert not policy.shares_prompts(encode(policy, make_batch(1)))
    assert f"attention: {attention} shares no prompt" in caplog.text
    with pytest.raises(ConfigError, match=f"prefix_sharing: on .* attention: {attention}"):
        make_lora_policy(prefix_sharing="on", attention=attention)


def test_the_comparison_leaves_no_gradient_and_the_mode_as_it_was():
    policy, batch = automatic(train_vision=True), make_batch(2)
    completions, mask = random_completions(policy, 2, 2, 4)
    policy.train()
    policy.completion_logprobs(encode(policy, batch), completions)[mask].sum().backward()
    assert policy.training
    assert all(p.grad is not None for p in policy.trainable_parameters())


@pytest.mark.parametrize("broken", [ignoring_masks, carrying_a_state, refusing_layouts])
def test_a_broken_model_is_scored_as_transformers_scores_it(broken):
    """With each completion behind a copy of its prompt the model computes what it always does."""
    policy, batch = broken(automatic()), make_batch(3)
    completions, mask = random_completions(policy, 3, 2, 5)
    with torch.no_grad():
        ours = policy.completion_logprobs(encode(policy, batch), completions)[mask]
        wanted = torch.cat(
            [one_row(policy, select(batch, [p]), completions[p, g][mask[p, g]]) for p in range(3) for g in range(2)]
        )
    assert largest_gap(ours, wanted) < LOGPROB_TOLERANCE


def one_row(policy, batch, completion):
    """One prompt and one completion, no padding and no mask, through the model's own forward."""
    prompts = policy.process(batch)
    ids = torch.cat([prompts.input_ids[0], completion])[None]
    logits = policy.core(
        input_ids=ids,
        pixel_values=prompts.images.patches,
        image_grid_thw=prompts.images.grid_thw,
        mm_token_type_ids=(ids == policy.core.config.image_token_id).int(),
    ).logits[0, -len(completion) - 1 : -1]
    logits = logits.masked_fill(policy.logit_bias.isinf(), -torch.inf)
    return torch.log_softmax(logits, -1).gather(-1, completion[:, None])[:, 0]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_completions_whether_prompts_are_shared_or_not(family):
    batch = make_batch(3)
    on, off, auto = (talkative(family, end=4.0, prefix_sharing=how) for how in ("on", "off", "auto"))
    shared, separate, chosen = (roll_out(policy, batch) for policy in (on, off, auto))
    assert len({len(ids) for row in range(3) for ids in real_tokens(shared, row)}) > 1
    for rollout in (separate, chosen):
        assert torch.equal(rollout.token_ids, shared.token_ids)
        assert rollout.texts == shared.texts
        assert largest_gap(rollout.logprobs, shared.logprobs) < LOGPROB_TOLERANCE
    assert not off.shares_prompts(encode(off, batch))


def test_a_broken_model_falls_back_to_unpacked_results():
    """Sampler and scoring pass of a model that ignores masks agree once it is found out; shared, they would not."""
    batch = make_batch(3)
    gaps = {}
    for sharing in ("auto", "on"):
        policy = ignoring_masks(talkative(prefix_sharing=sharing))
        rollout = roll_out(policy, batch)
        with torch.no_grad():
            scored = policy.scored(encode(policy, batch), rollout.token_ids, shares_prompts=False)
        gaps[sharing] = largest_gap(scored[rollout.completion_mask], rollout.logprobs[rollout.completion_mask])
    assert gaps["auto"] < LOGPROB_TOLERANCE
    assert gaps["on"] > 100 * LOGPROB_TOLERANCE


def test_separate_rows_by_hand():
    """Two prompts of different lengths, two completions of two tokens: no gap between prompt and completion."""
    policy, batch = make_lora_policy(), make_batch(2)
    encoded = encode(policy, batch)
    completions = torch.tensor([[[5, 6], [7, 8]], [[9, 10], [11, 12]]])
    rows = separate_rows(encoded, completions)
    lengths = encoded.prompts.prompt_lengths.tolist()
    assert rows.input_ids.shape == (4, max(lengths) + 2)
    for p in range(2):
        for g in range(2):
            row = rows.input_ids[2 * p + g].tolist()
            assert row[: lengths[p]] == encoded.prompts.input_ids[p, : lengths[p]].tolist()
            assert row[lengths[p] : lengths[p] + 2] == completions[p, g].tolist()
            start = int(encoded.prompts.next_position[p])
            positions = rows.position_ids[:, 2 * p + g]
            assert torch.equal(positions[:, : lengths[p]], encoded.prompts.position_ids[:, p, : lengths[p]])
            assert positions[:, lengths[p] : lengths[p] + 2].tolist() == [[start, start + 1]] * 3
            assert rows.predictor_columns[2 * p + g].tolist() == [lengths[p] - 1, lengths[p]]
    counts = encoded.prompts.visual_mask.sum(-1).tolist()
    assert len(rows.features[0]) == 2 * sum(counts) == int(rows.visual_mask.sum())
    assert torch.equal(rows.features[0][counts[0] : 2 * counts[0]], encoded.features[0][: counts[0]])


def test_naive_is_what_the_other_tests_call_naive():
    """The forward used above and the one of the parity tests are one."""
    policy, batch = make_lora_policy(), make_batch(1)
    completions, mask = random_completions(policy, 1, 1, 4)
    with torch.no_grad():
        other = naive_batch(policy.core, policy, batch, completions, mask)
        assert largest_gap(one_row(policy, batch, completions[0, 0][mask[0, 0]]), other) < LOGPROB_TOLERANCE
