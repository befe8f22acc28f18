"""The engine on the fake CUDA device: its GPU-only code paths, with the numbers of a processor."""

import contextlib
import copy
import logging
from functools import partial

import pytest
import torch

from remot.errors import ConfigError
from remot.models.memory import MemoryEstimate
from remot.rollout.decoding.cuda_graph import GraphDecoder
from remot.rollout.decoding.engine import RolloutEngine, RolloutSettings
from remot.rollout.decoding.loop import Decoder, DecodeRequest, SharedDecoder, decode
from remot.rollout.decoding.memory import PLANNED_SHARE, decode_bytes, free_bytes
from tests.fake_cuda.gpu import FakeCudaDevice, to_gpu
from tests.rollout.decoding.test_engine import talkative
from tests.rollout.decoding.test_loop import NUM_TOKENS, PLAIN, TRUNCATED, noise, roll_out
from tests.tiny import FAMILIES, encode, make_batch, make_mixed_batch

BATCHES = {"images": lambda: make_batch(5), "images and videos": make_mixed_batch}


def on_gpu(policy):
    """A copy of a policy, moved."""
    return to_gpu(copy.deepcopy(policy))


def assert_same(there, here):
    """Completions drawn there, and those drawn on the processor."""
    assert there.token_ids.is_cuda
    assert there.token_ids.tolist() == here.token_ids.tolist()
    assert there.texts == here.texts
    assert (there.logprobs.inner - here.logprobs).abs().max() < 1e-5


@pytest.fixture(scope="module", params=FAMILIES)
def policy(request):
    """Completions end early and late. To be copied, not changed."""
    return talkative(request.param, end=4.0)


@pytest.fixture(scope="module")
def one_policy():
    """For what does not depend on the family."""
    return talkative(end=4.0)


@pytest.mark.parametrize(
    ("kind", "sampling"), [("images", PLAIN), pytest.param("images and videos", TRUNCATED, marks=pytest.mark.slow)]
)
def test_the_defaults_draw_what_a_processor_draws(policy, kind, sampling):
    """Prompts processed and encoded there, prefilled, two steps, a graph of the third, replays."""
    here = roll_out(copy.deepcopy(policy), BATCHES[kind](), sampling)
    with FakeCudaDevice() as gpu:
        assert_same(roll_out(on_gpu(policy), BATCHES[kind](), sampling), here)
        (graph,) = gpu.runtime.graphs
        assert graph.num_replays == NUM_TOKENS - 1 - GraphDecoder.NUM_WARM_UP
        assert len(graph.operations) > 100
        assert gpu.runtime.current is gpu.runtime.main


@pytest.mark.parametrize(
    ("kind", "num_completions"), [pytest.param("plain", 3, marks=pytest.mark.slow), ("cuda_graph", 1)]
)
def test_rows_leave_and_graphs_are_recorded_anew(one_policy, kind, num_completions, monkeypatch):
    monkeypatch.setattr(GraphDecoder, "LEAST_STEPS", 1)
    monkeypatch.setattr(GraphDecoder, "NUM_WARM_UP", 1)
    here = roll_out(copy.deepcopy(one_policy), make_batch(5), num_completions=num_completions)
    with FakeCudaDevice() as gpu:
        settings = {"decode": kind, "check_every": 2, "num_completions": num_completions}
        assert_same(roll_out(on_gpu(one_policy), make_batch(5), **settings), here)
    assert len(gpu.runtime.graphs) > 1 if kind == "cuda_graph" else not gpu.runtime.graphs


@pytest.mark.parametrize("steps", [SharedDecoder, partial(SharedDecoder, is_fixed=True), GraphDecoder])
@pytest.mark.parametrize("check_every", [4, pytest.param(64, marks=pytest.mark.slow)])
def test_the_host_waits_for_a_look_and_for_the_result_only(one_policy, steps, check_every):
    """A look is one read. The result's are two: how much has been drawn, and how long the longest completion is."""
    policy = copy.deepcopy(one_policy)
    policy.logit_bias[list(policy.eos_token_ids)] = -torch.inf  # no sequence ends, none leaves
    batch = make_batch(3)
    with FakeCudaDevice() as gpu:
        to_gpu(policy)
        request = DecodeRequest(noise(batch).cuda(), TRUNCATED, check_every)
        encoded = encode(policy, batch)
        with policy.evaluating():
            made = steps(policy, encoded, request)
            gpu.reads.clear()
            gpu.uploads.clear()
            decode(made, request)
    num_looks = (NUM_TOKENS - 1) // check_every
    assert gpu.reads == ["tolist"] * num_looks + ["_local_scalar_dense"] * 2
    assert gpu.uploads == []


@pytest.mark.parametrize("kind", BATCHES)
def test_processing_waits_for_nothing(policy, kind):
    """All that is asked of the numbers of a prompt is asked before they are sent."""
    with FakeCudaDevice() as gpu:
        prompts = on_gpu(policy).process(BATCHES[kind]())
        assert gpu.reads == []
        assert prompts.input_ids.is_cuda
        assert all(part.is_cuda for part in (prompts.position_ids, prompts.images.patches, prompts.next_position))


# -- what goes wrong -----------------------------------------------------------------------------------------------


def _reads(self):
    int(self.position[0])


def _sends(self):
    self.position.add_(torch.tensor([0], device=self.position.device))


BREAKS_A_CAPTURE = {"reads a number": _reads, "sends a number": _sends}


@pytest.mark.parametrize("name", ["reads a number", pytest.param("sends a number", marks=pytest.mark.slow)])
def test_what_cannot_be_recorded_is_decoded_plainly(one_policy, name, monkeypatch, caplog):
    """The warning is given once, nothing is recorded again, and work goes on in the queue that it was in."""
    real = SharedDecoder.step
    monkeypatch.setattr(SharedDecoder, "step", lambda self: (BREAKS_A_CAPTURE[name](self), real(self))[1])
    here = roll_out(copy.deepcopy(one_policy), make_batch(2))
    engine = RolloutEngine()
    with FakeCudaDevice() as gpu, caplog.at_level(logging.WARNING):
        there = on_gpu(one_policy)
        for _ in range(2):
            assert_same(roll_out(there, make_batch(2), engine=engine), here)
            assert gpu.runtime.current is gpu.runtime.main
    assert caplog.text.count("no CUDA graph of a decode step") == 1
    assert len(gpu.runtime.graphs) == 1
    assert not engine.can_record


def test_a_graph_that_is_wanted_and_cannot_be_recorded_is_an_error(one_policy, monkeypatch):
    real = SharedDecoder.step
    monkeypatch.setattr(SharedDecoder, "step", lambda self: (_reads(self), real(self))[1])
    with FakeCudaDevice() as gpu, pytest.raises(RuntimeError, match="capture"):
        roll_out(on_gpu(one_policy), make_batch(2), decode="cuda_graph")
    assert gpu.runtime.current is gpu.runtime.main


def test_sharded_weights_are_not_recorded(one_policy):
    here = roll_out(copy.deepcopy(one_policy), make_batch(2))
    with FakeCudaDevice() as gpu:
        there = on_gpu(one_policy)
        there.sharding = AlwaysGathered()
        assert_same(roll_out(there, make_batch(2)), here)
        assert gpu.runtime.graphs == []
        with pytest.raises(ConfigError, match="divided over processes"):
            roll_out(there, make_batch(2), decode="cuda_graph")


class AlwaysGathered:
    """Stands for weights divided over processes, in a rollout."""

    def gathered(self):
        return contextlib.nullcontext()


def test_a_mask_of_the_host_is_an_error(one_policy, monkeypatch):
    real = SharedDecoder.__init__

    def made(self, *args, **settings):
        real(self, *args, **settings)
        self.cache._columns = torch.arange(NUM_TOKENS - 1)

    monkeypatch.setattr(SharedDecoder, "__init__", made)
    with FakeCudaDevice(), pytest.raises(RuntimeError, match="on the same device"):
        roll_out(on_gpu(one_policy), make_batch(2), decode="cuda_graph")


def test_a_step_that_keeps_something_to_itself_draws_other_tokens(one_policy, monkeypatch):
    """A position that is bound anew: run step by step it is right, replayed it stands still."""

    def step(self):
        self.state.draw(self.policy.decode_step(self.state.latest, self.position, self.cache))
        self.kept = [*getattr(self, "kept", []), self.position]
        self.position = self.position + 1

    here = roll_out(copy.deepcopy(one_policy), make_batch(2))
    monkeypatch.setattr(SharedDecoder, "step", step)
    with FakeCudaDevice():
        there = roll_out(on_gpu(one_policy), make_batch(2))
    assert there.token_ids.shape != here.token_ids.shape or there.token_ids.tolist() != here.token_ids.tolist()


@pytest.mark.parametrize(
    "when", [pytest.param("warm-up", marks=pytest.mark.slow), "capture", pytest.param("replay", marks=pytest.mark.slow)]
)
def test_running_out_of_memory_halves_once_and_changes_nothing(one_policy, when, monkeypatch, caplog):
    here = roll_out(copy.deepcopy(one_policy), make_batch(4))
    calls = []

    def fail(self, where, real):
        calls.append((where, self.num_rows))
        if where == when and self.num_rows == 4:
            raise torch.OutOfMemoryError("CUDA out of memory (fake)")
        return real(self)

    warm_up, capture, step = GraphDecoder._warm_up, GraphDecoder._capture, GraphDecoder.step
    monkeypatch.setattr(GraphDecoder, "_warm_up", lambda self: fail(self, "warm-up", warm_up))
    monkeypatch.setattr(GraphDecoder, "_capture", lambda self: fail(self, "capture", capture))
    monkeypatch.setattr(GraphDecoder, "step", lambda self: fail(self, "replay" if self.graph else "", step))
    engine = RolloutEngine()
    with FakeCudaDevice() as gpu, caplog.at_level(logging.WARNING):
        assert_same(roll_out(on_gpu(one_policy), make_batch(4), engine=engine), here)
    assert (engine.most_prompts, engine.can_record) == (2, True)
    assert len(gpu.runtime.graphs) == 2 + (when == "replay")
    assert "decoding 4 prompts" in caplog.text


@pytest.mark.slow
def test_memory_that_is_free_decides_how_many_are_decoded_together(one_policy, monkeypatch):
    """Room for two of five prompts and a half."""
    rows = []
    real = Decoder.__init__
    monkeypatch.setattr(
        Decoder,
        "__init__",
        lambda self, of, asked, *more: (rows.append(len(asked.uniforms)), real(self, of, asked, *more))[1],
    )
    here = roll_out(copy.deepcopy(one_policy), make_batch(5))
    with FakeCudaDevice() as gpu:
        there = on_gpu(one_policy)
        assert isinstance(there.footprint, MemoryEstimate)
        columns = there.process(make_batch(5)).input_ids.shape[1]
        by_prompt = decode_bytes(there.footprint, columns, 3, NUM_TOKENS)
        gpu.runtime.free_bytes = int(2.5 * by_prompt / PLANNED_SHARE)
        assert free_bytes(there.device) == gpu.runtime.free_bytes
        rows.clear()
        assert_same(roll_out(there, make_batch(5), decode="plain"), here)
    assert rows == [2, 2, 1]


def test_a_model_that_cannot_share_is_decoded_there_too(one_policy):
    here = roll_out(copy.deepcopy(one_policy), make_batch(2))
    with FakeCudaDevice() as gpu:
        there = on_gpu(one_policy)
        there.prefix_sharing = "off"
        assert_same(roll_out(there, make_batch(2), **vars(RolloutSettings())), here)
    assert gpu.runtime.graphs == []
