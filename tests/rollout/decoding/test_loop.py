"""However a rollout is run (how often one looks, in which parts, in which kind of buffers), the tokens are the same."""

import itertools
import logging
from functools import partial

import pytest
import torch

from remot.errors import ConfigError
from remot.rollout.decoding.cuda_graph import GraphDecoder
from remot.rollout.decoding.engine import RolloutEngine, RolloutSettings, decoded_groups, generate
from remot.rollout.decoding.loop import DecodeRequest, SharedDecoder, compacted, decode
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
    real = SharedDecoder.step
    policy, batch = talkative(end=-60.0), make_batch(2)
    monkeypatch.setattr(SharedDecoder, "step", lambda self: (looks.append("step"), real(self)))
    living = "remot.rollout.decoding.loop.DecodeState.living"
    monkeypatch.setattr(living, lambda _: (looks.append("look"), list(range(6)))[1])
    roll_out(policy, batch, check_every=4)
    assert looks == ["step"] * 3 + ["look"] + ["step"] * 4 + ["look"] + ["step"] * 2


def test_all_ended_at_once_costs_the_steps_up_to_the_next_look():
    policy, batch = talkative(end=60.0), make_batch(2)
    calls = []
    policy.core.model.language_model.register_forward_pre_hook(lambda *_: calls.append(1))
    rollout = roll_out(policy, batch, check_every=4)
    assert rollout.token_ids.shape == (2, 3, 1)
    assert len(calls) == 1 + 3  # the prefill and the steps before the first look


# -- completions that leave ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "grid"),
    [
        ([0, 1, 2, 3, 4, 5], [[0, 1, 2], [3, 4, 5]]),
        ([1, 2, 3, 5], [[1, 2], [3, 5]]),
        ([4], [[4]]),
        ([0, 2, 4], [[0, 2], [4, 3]]),  # place 3 has ended and fills the row up
        ([0, 1, 2, 5], [[0, 1, 2], [5, 3, 4]]),
    ],
)
def test_the_smallest_grid_of_rows_of_three(places, grid):
    assert compacted(places, 3) == grid


KINDS = {"growing": SharedDecoder, "fixed": partial(SharedDecoder, is_fixed=True)}


@pytest.fixture
def leaving_at_once(monkeypatch):
    """The grid is made smaller whenever it can be."""
    monkeypatch.setattr(SharedDecoder, "is_worthwhile", lambda self, kept, _: kept < self.num_rows * self.num_places)


@pytest.mark.usefixtures("leaving_at_once")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_has_ended_is_no_longer_computed(kind):
    """The grid is the smallest that holds what is open, and the output layer computes what is open alone."""
    policy, batch = talkative(end=6.0), make_batch(5)
    grids, logits = [], []
    policy.core.model.language_model.register_forward_pre_hook(
        lambda *passed: grids.append(tuple(passed[-1]["inputs_embeds"].shape[:2])), with_kwargs=True
    )
    policy.core.lm_head.register_forward_pre_hook(lambda *passed: logits.append(len(passed[1][0])))
    tokens, _, _ = run_steps(kind, policy, batch)
    is_end = torch.isin(tokens, torch.tensor(policy.eos_token_ids))
    last = torch.where(is_end.any(-1), is_end.int().argmax(-1), NUM_TOKENS)  # [P, G] column of each completion's end
    is_open = [last >= t for t in range(1, tokens.shape[-1])]  # when token t is drawn
    assert logits == [15, *(int(one.sum()) for one in is_open)]
    assert grids[1:] == [(int(one.any(-1).sum()), int(one.sum(-1).amax())) for one in is_open]
    assert len(set(grids[1:])) > 2


@pytest.mark.usefixtures("leaving_at_once")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_one_completion_and_early_ends(family, kind):
    """Against a loop in which nothing leaves."""
    policy, batch = varied_batch_and_policy(family)
    for num_completions in (1, 4):
        tokens, logprobs, steps = run_steps(kind, policy, batch, num_completions=num_completions)
        wanted, wanted_logprobs, whole = run_steps(kind, policy, batch, num_completions=num_completions, check_every=99)
        assert torch.equal(tokens, wanted)
        assert (logprobs - wanted_logprobs).abs().max() < 1e-5
        assert steps.num_rows * steps.num_places < whole.num_rows * whole.num_places == 5 * num_completions


@pytest.mark.parametrize(("num_kept", "num_steps", "is_worthwhile"), [(3, 3, False), (3, 4, True), (4, 99, False)])
def test_a_smaller_grid_has_to_make_up_for_its_copy(num_kept, num_steps, is_worthwhile):
    """Of four places three stay: three are copied, and each step is one shorter."""
    policy, batch = talkative(), make_batch(1)
    with policy.evaluating():
        decoder = SharedDecoder(policy, encode(policy, batch), DecodeRequest(noise(batch, 4), PLAIN, 1))
    assert decoder.is_worthwhile(num_kept, num_steps) is is_worthwhile


# -- parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", [PLAIN, TRUNCATED, GREEDY])
@pytest.mark.parametrize("prompts_together", [pytest.param(1, marks=pytest.mark.slow), 2, 4])
def test_prompts_decoded_in_parts_say_the_same(prompts_together, sampling):
    policy, batch = varied_batch_and_policy()
    in_parts = roll_out(policy, batch, sampling, prompts_together=prompts_together)
    assert_same_rollout(in_parts, roll_out(policy, batch, sampling))


def test_what_is_alike_is_decoded_together_in_parts_of_a_size():
    assert decoded_groups([7, 9, 7, 7, 9], 2) == [[0, 2], [3], [1, 4]]
    assert decoded_groups([0, 0, 0], 8) == [[0, 1, 2]]


class LimitedMemory:
    """Stands for an allocator that has room for the cache of some rows and no more."""

    def __init__(self, policy, most_rows):
        self.asked = []
        real = policy.prefill

        def prefill(encoded):
            self.asked.append(len(encoded))
            if len(encoded) > most_rows:
                raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
            return real(encoded)

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
@pytest.mark.parametrize("check_every", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_fixed_buffers_draw_what_the_plain_loop_draws(family, sampling, check_every):
    """The very function that a CUDA graph records, run step by step here."""
    policy, batch = varied_batch_and_policy(family)
    tokens, logprobs, _ = run_steps(KINDS["fixed"], policy, batch, sampling, check_every)
    wanted, wanted_logprobs, _ = run_steps(SharedDecoder, policy, batch, sampling)
    assert torch.equal(tokens, wanted)
    assert (logprobs - wanted_logprobs).abs().max() < 1e-5


class Replay:
    """Stands for a CUDA graph: what it was recorded with is done again at the addresses of that time."""

    def __init__(self, decoder):
        self.decoder = decoder
        self.addresses = addresses_of(decoder)

    def replay(self):
        assert addresses_of(self.decoder) == self.addresses
        SharedDecoder.step(self.decoder)


def addresses_of(decoder):
    """Where everything lies that lives from step to step."""
    state, cache = decoder.state, decoder.cache
    parts = [decoder.position, cache.column, cache.prompt_bias]
    parts += [state.noise, state.tokens, state.logprobs, state.finished, state.latest, state.column]
    parts += [state.drawn, state.places]
    parts += [part for layer in cache.layers for part in (layer.keys, layer.values, *layer.own)]
    return [(part.data_ptr(), tuple(part.shape)) for part in parts]


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_moves_between_replays(monkeypatch, family):
    """Warm-up, capture and replays without a GPU: each finds its tensors where they were at the capture."""
    policy, batch = varied_batch_and_policy(family)
    captured = []

    def capture(self):
        captured.append(self.num_rows * self.num_places)
        return Replay(self)

    def warm_up(self):
        self.num_warm += 1
        SharedDecoder.step(self)

    monkeypatch.setattr(GraphDecoder, "_capture", capture)
    monkeypatch.setattr(GraphDecoder, "_warm_up", warm_up)
    wanted, wanted_logprobs, _ = run_steps(SharedDecoder, policy, batch)
    tokens, logprobs, _ = run_steps(GraphDecoder, policy, batch)
    assert torch.equal(tokens, wanted)
    assert (logprobs - wanted_logprobs).abs().max() < 1e-5
    assert captured == [15], "so few steps are not worth another capture"
    captured.clear()
    monkeypatch.setattr(GraphDecoder, "LEAST_STEPS", 1)
    monkeypatch.setattr(GraphDecoder, "NUM_WARM_UP", 0)
    wanted, _, _ = run_steps(SharedDecoder, policy, batch, num_completions=1)
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
        steps = SharedDecoder(policy, encoded, request, is_fixed=True)
        with HostReads() as reads:
            steps.step()
        assert reads.names == []
        with HostReads() as reads:
            int(steps.position[0])
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
