"""What the policy does around its passes: prompts, images, modes, the reference, and text."""

import shutil

import pytest
import torch

from remot.answers import parse_response, render_response
from remot.models import FullWeights, LoRA, ModelSource, VLMPolicy
from remot.structures import PromptBatch
from tests.tiny import (
    FAMILIES,
    THINKING_PROMPT,
    encode,
    make_batch,
    make_lora_policy,
    make_policy,
    random_completions,
    randomise_,
    select,
    thinking_folder,
)


class Calls:
    """Counts the forward passes of a module."""

    def __init__(self, module):
        self.count = 0
        module.register_forward_pre_hook(self._one_more)

    def _one_more(self, *_):
        self.count += 1


# -- prompts and images ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_images_are_encoded_once_whatever_follows(family):
    """One call of the vision tower an ``encode``, none in prefill, in scoring and in scoring by the reference."""
    policy, batch = make_policy(family), make_batch(2)
    policies, references = Calls(policy.core.model.visual), Calls(policy.reference.model.visual)
    encoded = encode(policy, batch)
    assert (policies.count, references.count) == (1, 0)
    completions, _ = random_completions(policy, 2, 3, 4)
    policy.prefill(encoded)
    policy.completion_logprobs(encoded, completions).sum().backward()
    policy.completion_logprobs(encoded, completions, use_reference=True)
    policy.completion_logprobs(encoded.select(slice(1, 2)), completions[1:])
    assert (policies.count, references.count) == (1, 0)
    policy.encode(encoded.prompts, use_reference=True)
    assert (policies.count, references.count) == (1, 1)


def test_process_pads_on_the_right_and_counts_real_tokens():
    policy, batch = make_policy(), make_batch(3)
    prompts = policy.process(batch)
    lengths = prompts.prompt_lengths.tolist()
    assert prompts.images.counts == tuple(len(images) for images in batch.images) == (2, 3, 2)
    assert prompts.input_ids.shape[1] == max(lengths)
    for row, length in enumerate(lengths):
        assert prompts.prompt_mask[row].tolist() == [True] * length + [False] * (max(lengths) - length)
        text = policy.processor.tokenizer.decode(prompts.input_ids[row, :length])
        assert batch.questions[row].text in text
        assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")
        assert text.count("<|vision_start|>") == len(batch.images[row])


@pytest.mark.parametrize("family", FAMILIES)
def test_positions_by_hand(family):
    """One square image of 4 x 4 visual tokens: 3 tokens come before it, so it lies at 4 + (row, column).

    Before it: <|im_start|>, "user\\n" as some tokens, <|vision_start|>. All its 16 tokens have the same time; what
    follows goes on one after the largest row or column.
    """
    policy, batch = make_policy(family), make_batch(1)
    single = PromptBatch([batch.images[0][:1]], batch.questions, batch.clip_ids)
    prompts = policy.process(single)
    start = int(prompts.visual_mask[0].nonzero()[0])
    assert int(prompts.visual_mask.sum()) == 16
    time, row, column = prompts.position_ids[:, 0, start : start + 16]
    assert time.tolist() == [start] * 16
    assert row.tolist() == [start + k // 4 for k in range(16)]
    assert column.tolist() == [start + k % 4 for k in range(16)]
    rest = prompts.position_ids[:, 0, start + 16 :]
    assert rest.tolist() == [list(range(start + 4, start + 4 + rest.shape[1]))] * 3
    assert prompts.next_position.tolist() == [start + 4 + rest.shape[1]]


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3), slice(0, 3), slice(2, 3)])
@pytest.mark.parametrize("family", FAMILIES)
def test_part_of_a_batch_gives_what_it_gives_alone(family, rows):
    """Selecting prompts takes their images, features and positions along, of 2 and 3 images of several shapes."""
    policy, batch = make_policy(family), make_batch(3)
    completions, mask = random_completions(policy, 3, 2, 4)
    encoded = encode(policy, batch)
    alone = encode(policy, select(batch, range(*rows.indices(3))))
    part = encoded.select(rows)
    assert len(part) == len(part.prompts) == len(alone)
    assert torch.equal(part.prompts.images.patches, alone.prompts.images.patches)
    assert torch.equal(part.prompts.images.grid_thw, alone.prompts.images.grid_thw)
    assert part.prompts.images.counts == alone.prompts.images.counts
    assert torch.equal(part.prompts.next_position, alone.prompts.next_position)
    for one, other in zip(part.features, alone.features, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        of_part = policy.completion_logprobs(part, completions[rows])
        of_alone = policy.completion_logprobs(alone, completions[rows])
        of_all = policy.completion_logprobs(encoded, completions)
    torch.testing.assert_close(of_part[mask[rows]], of_alone[mask[rows]], rtol=0, atol=1e-5)
    torch.testing.assert_close(of_part[mask[rows]], of_all[rows][mask[rows]], rtol=0, atol=1e-5)


def test_deepstack_levels_reach_the_language_model():
    """Qwen3-VL adds features of earlier vision blocks to its first layers; Qwen2.5-VL has none."""
    policy = make_policy("qwen3_vl")
    encoded, (completions, _) = encode(policy, make_batch(1)), random_completions(policy, 1, 1, 3)
    assert len(encoded.features) == 2
    assert len(encode(make_policy("qwen2_5_vl"), make_batch(1)).features) == 1
    with torch.no_grad():
        before = policy.completion_logprobs(encoded, completions)
        encoded.features[1].mul_(2)
        after = policy.completion_logprobs(encoded, completions)
    assert (before - after).abs().max() > 1e-3


# -- reference -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_reference_of_adapters_is_the_base_model(family):
    policy, base, batch = make_lora_policy(family), make_policy(family), make_batch(2)
    assert policy.reference is None
    completions, mask = random_completions(policy, 2, 2, 5)
    encoded = encode(policy, batch)
    with torch.no_grad():
        policys = policy.completion_logprobs(encoded, completions)[mask]
        of_base = base.completion_logprobs(encode(base, batch), completions)[mask]
    reference = policy.completion_logprobs(encoded, completions, use_reference=True)[mask]
    assert torch.equal(reference, of_base)
    assert (policys - of_base).abs().max() > 0.01
    assert not reference.requires_grad


def test_adapters_are_on_again_after_the_reference_even_if_it_fails():
    policy, batch = make_lora_policy(), make_batch(1)
    completions, _ = random_completions(policy, 1, 2, 4)
    encoded = encode(policy, batch)
    with torch.no_grad():
        before = policy.completion_logprobs(encoded, completions)
        policy.completion_logprobs(encoded, completions, use_reference=True)
        with pytest.raises(RuntimeError, match="stop"), policy.reference_policy():
            raise RuntimeError("stop")
        after = policy.completion_logprobs(encoded, completions)
    assert torch.equal(before, after)


@pytest.mark.parametrize("train_vision", [False, True])
def test_frozen_copy_does_not_move_when_the_weights_do(train_vision):
    policy, batch = make_policy(adaptation=FullWeights(), train_vision=train_vision), make_batch(2)
    completions, mask = random_completions(policy, 2, 2, 4)

    def both():
        encoded = encode(policy, batch)
        seen = policy.encode(encoded.prompts, use_reference=True) if train_vision else encoded
        policys = policy.completion_logprobs(encoded, completions).detach()[mask]
        return policys, policy.completion_logprobs(seen, completions, use_reference=True)[mask]

    policy_before, reference_before = both()
    assert torch.equal(policy_before, reference_before)
    randomise_(policy.trainable_parameters(), seed=3)
    policy_after, reference_after = both()
    assert torch.equal(reference_before, reference_after)
    assert (policy_before - policy_after).abs().max() > 0.01
    assert not any(parameter.requires_grad for parameter in policy.reference.parameters())


def test_no_copy_is_kept_where_no_reference_is_wanted():
    assert make_policy(adaptation=FullWeights(), with_reference=False).reference is None


# -- modes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("train_vision", [False, True])
@pytest.mark.parametrize("kind", [make_policy, make_lora_policy])
def test_gradient_checkpointing_recomputes_and_changes_nothing(kind, train_vision):
    """Layers run twice in a pass with gradient, once in others; the gradients are those without it."""
    policies = [kind(train_vision=train_vision, gradient_checkpointing=on) for on in (False, True)]
    batch, results, runs = make_batch(2), [], []
    completions, mask = random_completions(policies[0], 2, 2, 4)
    for policy in policies:
        encoded = encode(policy, batch)
        policy.prefill(encoded)  # the key-value cache survives: nothing is recomputed here
        norm = Calls(policy.core.model.language_model.layers[1].input_layernorm)
        policy.completion_logprobs(encoded, completions)[mask].sum().backward()
        runs.append(norm.count)
        results.append({name: p.grad for name, p in policy.named_parameters() if p.grad is not None})
    assert runs == [1, 2]
    plain, checkpointed = results
    assert plain.keys() == checkpointed.keys()
    assert len(plain) > 10
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("trainer_sets", [True, False])
def test_cache_is_filled_in_whatever_mode_a_trainer_leaves(trainer_sets):
    """With checkpointing on and the model in training mode, transformers would drop the cache."""
    policy, batch = make_policy(gradient_checkpointing=True), make_batch(2)
    policy.train(trainer_sets)
    encoded = encode(policy, batch)
    _, cache = policy.prefill(encoded)
    assert cache.get_seq_length() == encoded.prompts.input_ids.shape[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_made_bfloat16_compute_as_weights_loaded_in_it(family):
    """``trainer.precision: bf16-true`` converts the module: rotary frequencies must not be rounded with it."""
    converted, loaded = make_policy(family).to(torch.bfloat16), make_policy(family, dtype="bfloat16")
    batch = make_batch()
    assert {weight.dtype for weight in converted.parameters()} == {torch.bfloat16}
    ids, _ = random_completions(loaded, 3, 2, 5)
    for use_reference in (False, True):
        got, wanted = (
            policy.completion_logprobs(encode(policy, batch), ids, use_reference=use_reference)
            for policy in (converted, loaded)
        )
        assert torch.equal(got, wanted)


def test_adapter_dropout_is_for_passes_with_gradient_only():
    policy, batch = make_policy(adaptation=LoRA(rank=3, dropout=0.5)), make_batch(1)
    randomise_(p for name, p in policy.named_parameters() if "lora_B" in name)
    completions, _ = random_completions(policy, 1, 2, 4)
    encoded = encode(policy, batch)

    def spread():
        values = torch.stack([policy.completion_logprobs(encoded, completions).detach() for _ in range(3)])
        return float((values - values[0]).abs().max())

    assert spread() > 0.01
    with torch.no_grad():
        assert spread() == 0
    assert spread() > 0.01


# -- text ----------------------------------------------------------------------------------------------------------


def test_response_round_trip():
    """What is learnt is what is read: the tokens of a response decode to it, and its offsets tile it."""
    policy, response = make_policy(), render_response("1: left, 2: right\n", "CAB")
    assert policy.texts.response_prefix == ""
    ids, offsets = policy.texts.tokens_of_response(response)
    assert policy.texts.responses([ids]) == [response]
    assert ids[-1] == policy.eos_token_ids[0]
    assert offsets[-1] == (len(response), len(response))
    assert "".join(response[start:end] for start, end in offsets) == response


def thinking_policy():
    return VLMPolicy(ModelSource(str(thinking_folder())), FullWeights(), with_reference=False)


def test_template_that_opens_the_think_element():
    """Qwen3-VL-Thinking's template ends with <think>: the model writes the rest, rewards and losses see the whole."""
    policy, batch = thinking_policy(), make_batch(1)
    assert policy.texts.response_prefix == "<think>\n"
    prompt = policy.processor.tokenizer.decode(policy.process(batch).input_ids[0])
    assert prompt.endswith(THINKING_PROMPT)
    ids, offsets = policy.texts.tokens_of_response(render_response("it rose", "CAB"))
    tokenizer = policy.processor.tokenizer
    assert tokenizer.decode(ids) == "it rose</think><answer>CAB</answer><|im_end|>"
    assert offsets[0][0] == len("<think>")
    (text,) = policy.texts.responses([ids])
    parsed = parse_response(text)
    assert parsed.well_formed
    assert (parsed.reasoning.strip(), parsed.answer) == ("it rose", "CAB")


def test_an_empty_think_element_opens_nothing(tmp_path):
    """Some templates write one to switch thinking off: it is over before the model begins."""
    folder = tmp_path / "closed"
    shutil.copytree(thinking_folder(), folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<think>\n", "<think>\n\n</think>\n\n"))
    assert VLMPolicy(ModelSource(str(folder)), with_reference=False).texts.response_prefix == ""
