"""However a rollout is run (how often one looks, in which parts, in which kind of buffers), the tokens are the same."""

import itertools
import logging

import pytest
import torch

from remot.errors import ConfigError
from remot.models.packing.kv_cache import filled_from_the_end, fix_columns, keep_rows, preallocated_cache
from remot.rollout.decoding.cuda_graph import COLUMN_MULTIPLE, GraphDecoder, StaticDecoder
from remot.rollout.decoding.engine import RolloutEngine, RolloutSettings, generate
from remot.rollout.decoding.loop import DecodeRequest, EagerDecoder, decode
from remot.rollout.sampling import GREEDY, RolloutAddress, RolloutRequest, SamplingSettings, uniform_noise
from tests.rollout.decoding.test_engine import talkative
from tests.tiny import FAMILIES, encode, make_batch

PLAIN = SamplingSettings()
TRUNCATED = SamplingSettings(temperature=0.7, top_k=20, top_p=0.9, min_p=0.01)
NUM_TOKENS = 10


def noise(batch, num_completions=3, num_tokens=NUM_TOKENS):
    return uniform_noise(11, 0, [question.prompt_id for question in batch.questions], num_completions, num_tokens)


def roll_out(policy, batch, sampling=PLAIN, num_completions=3, engine=None, **settings):
    address = RolloutAddress(11, 0, tuple(question.prompt_id for question in batch.questions))
    request = RolloutRequest(num_completions, NUM_TOKENS, sampling, address)
    return generate(policy, encode(policy, batch), request, engine or RolloutEngine(RolloutSettings(**settings)))


def run_steps(kind, policy, batch, sampling=PLAIN, check_every=1, num_completions=3):
    """Tokens and log-probabilities of a loop with one kind of steps, and the steps."""
    request = DecodeRequest(noise(batch, num_completions), sampling, check_every)
    encoded = encode(policy, batch)
    with policy.evaluating():
        steps = kind(policy, encoded, request)
        return *decode(steps, request), steps


def assert_same_rollout(one, other, tolerance=1e-5):
    assert torch.equal(one.token_ids, other.token_ids)
    assert torch.equal(one.completion_mask, other.completion_mask)
    assert torch.equal(one.finished, other.finished)
    assert one.texts == other.texts
    assert (one.logprobs - other.logprobs).abs().max() < tolerance


def varied_batch_and_policy(family="qwen3_vl"):
    """Prompts that end at different times, the first of them early, so that rows leave in an order of their own."""
    policy, batch = talkative(family, end=4.0), make_batch(5)
    lengths = roll_out(policy, batch).num_tokens.amax(-1).tolist()
    assert len(set(lengths)) > 2, "prompts that end together would show nothing"
    return policy, batch


# -- how often one looks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check_every", [2, 3, 7, 64])
@pytest.mark.parametrize("family", FAMILIES)
def test_how_often_one_looks_changes_nothing(family, check_every):
    """Tokens sampled after all sequences have ended are cut off, and rows leave earlier or later."""
    policy, batch = varied_batch_and_policy(family)
    assert_same_rollout(roll_out(policy, batch, check_every=check_every), roll_out(policy, batch))


def test_decoding_looks_only_now_and_then(monkeypatch):
    """Ten tokens and a look at every fourth: two looks, before the fourth and the eighth step."""
    looks = []
    real = EagerDecoder.step
    policy, batch = talkative(end=-60.0), make_batch(2)
    monkeypatch.setattr(EagerDecoder, "step", lambda self: (looks.append("step"), real(self)))
    unfinished = "remot.rollout.decoding.loop.DecodeState.unfinished_rows"
    monkeypatch.setattr(unfinished, lambda _: (looks.append("look"), [0, 1])[1])
    roll_out(policy, batch, check_every=4)
    assert looks == ["step"] * 3 + ["look"] + ["step"] * 4 + ["look"] + ["step"] * 2


def test_all_ended_at_once_costs_the_steps_up_to_the_next_look():
    policy, batch = talkative(end=60.0), make_batch(2)
    calls = []
    policy.core.model.language_model.register_forward_pre_hook(lambda *_: calls.append(1))
    rollout = roll_out(policy, batch, check_every=4)
    assert rollout.token_ids.shape == (2, 3, 1)
    assert len(calls) == 1 + 3  # the prefill and the steps before the first look


# -- rows that leave -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "order"), [([0, 3, 4], [0, 4, 3]), ([1], [1]), ([0, 1], [0, 1]), ([2, 3], [3, 2]), ([], [])]
)
def test_gaps_are_filled_from_the_end(kept, order):
    assert filled_from_the_end(kept) == order


def test_a_row_that_stays_moves_at_most_once_and_never_up():
    for number in range(2**7):
        kept = [row for row in range(7) if number >> row & 1]
        order = filled_from_the_end(kept)
        assert sorted(order) == kept
        assert all(row >= place for place, row in enumerate(order))
        assert sum(row != place for place, row in enumerate(order)) <= 7 - len(kept)


def test_kept_rows_of_a_cache_stay_in_its_buffer():
    """Rows 0, 4, 3 of five; the next update goes behind them."""
    cache, states = preallocated_cache(1, room=2), torch.randn(5, 2, 3, 4)
    keys, _ = cache.update(states.clone(), states + 1, 0)
    address = keys.data_ptr()
    keep_rows(cache, [0, 4, 3])
    assert torch.equal(cache.layers[0].keys, states[[0, 4, 3]])
    new = torch.randn(3, 2, 1, 4)
    keys, values = cache.update(new, new + 1, 0)
    assert keys.data_ptr() == address
    assert torch.equal(keys, torch.cat([states[[0, 4, 3]], new], dim=2))
    assert torch.equal(values, keys + 1)


@pytest.mark.parametrize("kind", [EagerDecoder, StaticDecoder])
def test_finished_prompts_are_no_longer_computed(kind):
    policy, batch = varied_batch_and_policy()
    rows = []
    policy.core.model.language_model.register_forward_pre_hook(
        lambda *passed: rows.append(passed[-1]["inputs_embeds"].shape[0]), with_kwargs=True
    )
    tokens, _, steps = run_steps(kind, policy, batch)
    is_end = torch.isin(tokens, torch.tensor(policy.eos_token_ids))
    last = torch.where(is_end.any(-1), is_end.int().argmax(-1), NUM_TOKENS).amax(-1)  # [P] column of each prompt's end
    wanted = [int((last >= t).sum()) for t in range(1, NUM_TOKENS)]  # still open when token t is drawn
    wanted = [number for number in wanted[:-1] if number > 0] + ([rows[-1]] if wanted[-1] else [])
    assert rows[1:] == wanted
    assert len(set(rows)) > 2
    assert steps.num_rows == rows[-1]


# -- parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", [PLAIN, TRUNCATED, GREEDY])
@pytest.mark.parametrize("prompts_together", [1, 2, 4])
def test_prompts_decoded_in_parts_say_the_same(prompts_together, sampling):
    policy, batch = varied_batch_and_policy()
    in_parts = roll_out(policy, batch, sampling, prompts_together=prompts_together)
    assert_same_rollout(in_parts, roll_out(policy, batch, sampling))


class LimitedMemory:
    """Stands for an allocator that has room for the cache of some rows and no more."""

    def __init__(self, policy, most_rows):
        self.asked = []
        real = policy.prefill

        def prefill(encoded, room=0):
            self.asked.append(len(encoded))
            if len(encoded) > most_rows:
                raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
            return real(encoded, room)

        policy.prefill = prefill


def test_running_out_of_memory_halves_once_and_changes_nothing(caplog):
    policy, batch = varied_batch_and_policy()
    wanted = roll_out(policy, batch)
    memory, engine = LimitedMemory(policy, most_rows=2), RolloutEngine()
    with caplog.at_level(logging.WARNING):
        assert_same_rollout(roll_out(policy, batch, engine=engine), wanted)
    assert memory.asked == [5, 2, 2, 1]
    assert "decoding 5 prompts" in caplog.text
    memory.asked.clear()
    assert_same_rollout(roll_out(policy, batch, engine=engine), wanted)
    assert memory.asked == [2, 2, 1], "what did not fit once is not tried again"


def test_half_of_more_prompts_than_there_are_is_half_of_those():
    policy, batch = talkative(), make_batch(4)
    memory = LimitedMemory(policy, most_rows=2)
    roll_out(policy, batch, prompts_together=64)
    assert memory.asked == [4, 2, 2]


@pytest.mark.parametrize(("num_prompts", "asked"), [(5, [5, 2]), (1, [1])])
def test_what_does_not_fit_at_half_is_an_error(num_prompts, asked):
    policy, batch = talkative(), make_batch(num_prompts)
    memory = LimitedMemory(policy, most_rows=0)
    with pytest.raises(torch.OutOfMemoryError):
        roll_out(policy, batch)
    assert memory.asked == asked


# -- buffers of one size -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", [PLAIN, TRUNCATED, GREEDY])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("check_every", [1, 4])
def test_fixed_buffers_draw_what_the_plain_loop_draws(family, sampling, check_every):
    """The very function that a CUDA graph records, run step by step here."""
    policy, batch = varied_batch_and_policy(family)
    tokens, logprobs, _ = run_steps(StaticDecoder, policy, batch, sampling, check_every)
    wanted, wanted_logprobs, _ = run_steps(EagerDecoder, policy, batch, sampling)
    assert torch.equal(tokens, wanted)
    assert (logprobs - wanted_logprobs).abs().max() < 1e-5


class Replay:
    """Stands for a CUDA graph: what it was recorded with is done again at the addresses of that time."""

    def __init__(self, fixed):
        self.fixed = fixed
        self.addresses = addresses_of(fixed)

    def replay(self):
        assert addresses_of(self.fixed) == self.addresses
        self.fixed.step()


def addresses_of(fixed):
    """Where everything lies that lives from step to step."""
    state = fixed.state
    parts = [fixed.columns, fixed.position, fixed.own, fixed.allowed]
    parts += [state.uniforms, state.tokens, state.logprobs, state.finished, state.latest, state.column]
    parts += [part for layer in fixed.cache.layers for part in (layer.keys, layer.values)]
    return [(part.data_ptr(), tuple(part.shape)) for part in parts]


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_moves_between_replays(monkeypatch, family):
    """Warm-up, capture and replays without a GPU: each finds its tensors where they were at the capture."""
    policy, batch = varied_batch_and_policy(family)
    captured = []

    def capture(self):
        captured.append(self.num_rows)
        return Replay(self.fixed)

    def warm_up(self):
        self.num_warm += 1
        self.fixed.step()

    monkeypatch.setattr(GraphDecoder, "_capture", capture)
    monkeypatch.setattr(GraphDecoder, "_warm_up", warm_up)
    wanted, wanted_logprobs, _ = run_steps(EagerDecoder, policy, batch)
    tokens, logprobs, _ = run_steps(GraphDecoder, policy, batch)
    assert torch.equal(tokens, wanted)
    assert (logprobs - wanted_logprobs).abs().max() < 1e-5
    assert captured == [5], "so few steps are not worth another capture"
    captured.clear()
    monkeypatch.setattr(GraphDecoder, "LEAST_STEPS", 1)
    monkeypatch.setattr(GraphDecoder, "NUM_WARM_UP", 0)
    wanted, _, _ = run_steps(EagerDecoder, policy, batch, num_completions=1)
    tokens, _, _ = run_steps(GraphDecoder, policy, batch, num_completions=1)
    assert torch.equal(tokens, wanted)
    assert len(captured) > 1, "rows that left were not followed by another capture"
    assert all(2 * after <= before for before, after in itertools.pairwise(captured))


def test_a_step_reads_nothing_on_the_host_and_makes_no_shape_from_a_number():
    """Either would break a capture; a look at who has finished does the first."""
    policy, batch = talkative(end=-60.0), make_batch(2)
    request = DecodeRequest(noise(batch), TRUNCATED, 64)
    encoded = encode(policy, batch)
    with policy.evaluating():
        steps = StaticDecoder(policy, encoded, request)
        with HostReads() as reads:
            steps.step()
        assert reads.names == []
        with HostReads() as reads:
            int(steps.columns[0])
            steps.state.finished.nonzero()
        assert reads.names == ["_local_scalar_dense", "nonzero"]


class HostReads(torch.utils._python_dispatch.TorchDispatchMode):
    """Names of the operations that copy a tensor to the host or whose result has a shape that depends on numbers."""

    READING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "unique", "equal", "bincount")

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.split("::")[1]
        if name.startswith(self.READING):
            self.names.append(name)
        if name == "index" and any(index is not None and index.dtype == torch.bool for index in args[1]):
            self.names.append("index by a mask")
        return func(*args, **(kwargs or {}))


def test_fixed_columns_are_aligned_finite_and_enough():
    policy, batch = talkative(end=-60.0), make_batch(3)
    encoded = encode(policy, batch)
    request = DecodeRequest(noise(batch), PLAIN, 1)
    with policy.evaluating():
        steps = StaticDecoder(policy, encoded, request)
        length = encoded.prompts.input_ids.shape[1]
        total = steps.allowed.shape[-1]
        assert total % COLUMN_MULTIPLE == 0
        assert 0 <= total - (length + 3 * (NUM_TOKENS - 1)) < COLUMN_MULTIPLE
        for layer in steps.cache.layers:
            assert layer.keys.shape[2] == total
            assert not layer.keys[:, :, length:].any()
            assert layer.keys[:, :, :length].any()
        for _ in range(NUM_TOKENS - 1):
            steps.step()
    assert int(steps.columns[0]) == length + 3 * (NUM_TOKENS - 1)


def test_a_fixed_cache_writes_where_the_tensor_says():
    cache, states, columns = preallocated_cache(1, room=4), torch.randn(2, 1, 3, 4), torch.tensor([3, 4])
    cache.update(states, states, 0)
    fix_columns(cache, columns)
    for step in range(2):
        new = torch.full((2, 1, 2, 4), 1.0 + step)
        keys, _ = cache.update(new, new, 0)
        columns.add_(2)
    assert keys[0, 0, :, 0].tolist() == [*states[0, 0, :, 0].tolist(), 1, 1, 2, 2]


def test_graphs_need_a_gpu():
    """Told before the prompts are computed."""
    with pytest.raises(ConfigError, match=r"rollout\.decode: cuda_graph needs a GPU"):
        roll_out(talkative(), make_batch(1), decode="cuda_graph")


# -- on a GPU ------------------------------------------------------------------------------------------------------


@pytest.mark.needs_cuda
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sampling", [PLAIN, TRUNCATED])
def test_graphs_draw_what_the_plain_loop_draws_on_a_gpu(family, sampling):
    policy, batch = talkative(family, end=4.0), make_batch(5)
    policy.cuda()
    plain = roll_out(policy, batch, sampling, decode="plain")
    graph = roll_out(policy, batch, sampling, decode="cuda_graph")
    assert_same_rollout(graph, plain, tolerance=1e-4)  # the kernel may be another one for another length
    assert plain.token_ids.is_cuda


@pytest.mark.needs_cuda
def test_automatic_takes_graphs_on_a_gpu(monkeypatch):
    policy, batch = talkative(), make_batch(2)
    policy.cuda()
    captured = []
    real = GraphDecoder._capture
    monkeypatch.setattr(GraphDecoder, "_capture", lambda self: (captured.append(1), real(self))[1])
    roll_out(policy, batch)
    assert captured == [1]
