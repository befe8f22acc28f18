"""Memory of a run: the numbers of the recipe's header, and settings that need less."""

from dataclasses import replace

import pytest

from remot.commands.diagnosis.memory import (
    RunShape,
    memory_demand,
    memory_finding,
    optimizer_bytes,
    smaller_demands,
)
from remot.commands.diagnosis.probe import process_bytes
from remot.models.memory import MemoryEstimate
from remot.models.sizes import ModelSizes
from remot.rollout.decoding.memory import decode_bytes, score_bytes

#: Qwen3-VL-4B in bfloat16 with adapters of rank 64 in float32.
SIZES = ModelSizes(
    memory=MemoryEstimate(
        36,
        2560,
        9728,
        1024,
        151_936,
        2,
        recomputes=True,
        query_size=4096,
        input_size=27_072,
        bytes_per_input=4,
    ),
    num_parameters=4_437_815_808,
    num_trained=132_120_576,
    weight_bytes=8_875_631_616,
    quantised_bytes=3_482_428_416,
    trained_bytes=528_482_304,
    adapted_bytes=7_266_631_680,
    prepacked_bytes=0,
    copies_prompts=False,
    max_positions=262_144,
    visual_side=32,
    pixels=(65_536, 16_777_216),
    known_from="test",
)
#: configs/grpo.yaml with prompts of 1,100 tokens.
SHAPE = RunShape(
    num_columns=1100,
    batch_size=16,
    num_completions=4,
    max_new_tokens=8192,
    micro_batch_prompts=1,
    prompts_together=1,
    evaluated_tokens=10_000,
    optimizer_bytes=8,
    copies_model=False,
)


def finding(sizes=SIZES, shape=SHAPE, available=None, is_quantised=False, is_gpu=True, library_bytes=0):
    return memory_finding(
        sizes, shape, available, is_quantised=is_quantised, is_gpu=is_gpu, library_bytes=library_bytes
    )


def test_the_recipe_needs_40_gb_and_32_with_half_the_tokens():
    """The header of configs/grpo.yaml: 17.2 GB for the update of a prompt, 5.2 GB for its rollout; 40 GB at least."""
    demand = memory_demand(SIZES, SHAPE)
    assert demand.weights == 8_875_631_616
    assert demand.training == 4 * 528_482_304  # adapters, their gradients, and two moments
    assert round(demand.rollout / 1e9, 1) == 5.2
    assert 17.2e9 < demand.update < 19.5e9
    assert demand.gpu_gb == 40
    assert memory_demand(SIZES, replace(SHAPE, max_new_tokens=4096)).gpu_gb == 32
    assert memory_demand(SIZES, replace(SHAPE, max_new_tokens=2048)).gpu_gb == 24


def test_completions_with_copies_of_their_prompt_need_more():
    """Caches of four prompts of 1,100 tokens, a prompt before each completion in the update; an evaluation has one."""
    plain = memory_demand(SIZES, SHAPE)
    for sizes, shape in (
        (replace(SIZES, copies_prompts=True), SHAPE),
        (SIZES, replace(SHAPE, copies_prompts=True)),
    ):
        copied = memory_demand(sizes, shape)
        assert copied.rollout == decode_bytes(SIZES.memory, 4 * 1100, 4, 8192)
        assert copied.rollout - plain.rollout > 3 * 1100 * SIZES.memory.cache_bytes
        assert copied.evaluation == plain.evaluation
        assert copied.update > score_bytes(SIZES.memory, 4 * 1100, 1, 4 * 8192, shares_prompts=False)
        one = memory_demand(sizes, replace(shape, num_completions=1))
        assert one.rollout == memory_demand(SIZES, replace(SHAPE, num_completions=1)).rollout


def test_sampling_on_a_cpu_holds_the_adapted_weights_twice():
    plain, merged = (memory_demand(SIZES, replace(SHAPE, merges_adapters=one)) for one in (False, True))
    assert merged.rollout - plain.rollout == merged.evaluation - plain.evaluation == 7_266_631_680
    assert merged.update == plain.update


def test_sampling_on_a_cpu_copies_small_weights_to_another_layout():
    sizes = replace(SIZES, prepacked_bytes=10**9)
    plain, packed = (memory_demand(sizes, replace(SHAPE, prepacks_weights=one)) for one in (False, True))
    assert packed.rollout - plain.rollout == packed.evaluation - plain.evaluation == 10**9


def test_a_sum_with_adapters_that_is_copied_to_another_layout_is_held_once():
    shape = replace(SHAPE, merges_adapters=True, prepacks_weights=True)
    for packed, copied in ((10**9, 7_266_631_680), (8 * 10**9, 8 * 10**9)):
        sizes = replace(SIZES, prepacked_bytes=packed)
        assert memory_demand(sizes, shape).rollout - memory_demand(sizes, SHAPE).rollout == copied


def test_the_memory_of_a_machine_holds_the_libraries_too():
    plain = finding(is_gpu=False, available=10**12)
    whole = finding(is_gpu=False, available=10**12, library_bytes=10**9)
    assert whole.facts["bytes"] - plain.facts["bytes"] == 10**9
    assert "libraries 1.0 GB" in whole.text
    assert "libraries" not in plain.text
    between = plain.facts["bytes"] + 10**9 // 2
    assert finding(is_gpu=False, available=between).level == "fine"
    assert finding(is_gpu=False, available=between, library_bytes=10**9).level == "fail"


def test_what_this_process_holds():
    assert process_bytes() > process_bytes("RssAnon") > 10**7
    assert process_bytes("VmNothing") is None


@pytest.mark.parametrize(("limit", "together"), [(None, 8), (512, 1), (1024, 1), (4096, 4), (100_000, 8)])
def test_a_limit_of_tokens_divides_completions(limit, together):
    """Two prompts with 512 tokens a completion: 1,024 tokens for one of each."""
    shape = replace(SHAPE, num_completions=8, max_new_tokens=512, micro_batch_prompts=2, micro_batch_tokens=limit)
    fewer = replace(shape, num_completions=together, micro_batch_tokens=None)
    assert memory_demand(SIZES, shape).update == memory_demand(SIZES, fewer).update


def test_a_backward_pass_holds_no_more_prompts_than_a_step_has():
    """As of the quickstart with a batch of two: its micro-batch of eight would be four times too many."""
    two, eight = (replace(SHAPE, batch_size=2, micro_batch_prompts=number) for number in (2, 8))
    assert memory_demand(SIZES, two).update == memory_demand(SIZES, eight).update
    limited = [replace(shape, micro_batch_tokens=4 * 8192) for shape in (two, eight)]
    assert [shape.completions_together for shape in limited] == [2, 2]


def test_full_weights_with_adam_and_a_copy():
    """In bfloat16: weights, gradients, two moments and the frozen copy, 2 bytes a number each."""
    whole = replace(SIZES, num_trained=SIZES.num_parameters, trained_bytes=SIZES.weight_bytes)
    demand = memory_demand(whole, replace(SHAPE, copies_model=True))
    assert demand.fixed == 5 * SIZES.weight_bytes
    assert memory_demand(whole, replace(SHAPE, optimizer_bytes=0)).training == SIZES.weight_bytes


def test_settings_that_need_less_are_named_with_what_they_need():
    shape = replace(SHAPE, micro_batch_prompts=2, num_completions=8)
    sizes = replace(SIZES, memory=replace(SIZES.memory, recomputes=False))
    total = memory_demand(sizes, shape).total
    found = dict(smaller_demands(sizes, shape, is_quantised=False))
    assert {words.split()[0] for words in found} == {
        "--model.micro_batch_prompts",
        "--model.policy.gradient_checkpointing",
        "--model.grpo.max_new_tokens",
        "--model.grpo.num_completions",
    } | {"model.policy.adaptation"} & {words.split()[0] for words in found}
    assert all(demand.total <= 0.95 * total for demand in found.values())
    one = memory_demand(sizes, replace(shape, micro_batch_prompts=1))
    assert found["--model.micro_batch_prompts 1"] == one
    assert (
        dict(smaller_demands(SIZES, SHAPE, is_quantised=False))["--model.policy.adaptation QLoRA"].weights
        == 3_482_428_416
    )
    assert not any("QLoRA" in words for words, _ in smaller_demands(SIZES, SHAPE, is_quantised=True))


@pytest.mark.parametrize(("available", "level"), [(None, "fine"), (10**9, "fail"), (80 * 10**9, "fine")])
def test_a_device_that_is_too_small_fails(available, level):
    found = finding(available=available)
    assert found.level == level
    assert found.facts["gpu_gb"] == 40
    assert "--model.grpo.max_new_tokens 2048" in found.advice
    assert "24 GB GPU" in found.advice


def test_more_than_any_gpu_has():
    found = finding(shape=replace(SHAPE, micro_batch_prompts=64))
    assert found.facts["gpu_gb"] is None
    assert "more than any one GPU" in found.text


@pytest.mark.parametrize(("name", "kept"), [("AdamW", 8), ("SGD", 0), ("PagedAdamW8bit", 2), ("Lion", 4)])
def test_what_optimizers_keep(name, kept):
    assert optimizer_bytes(name) == kept
