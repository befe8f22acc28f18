"""A real ``transformers serve`` on this machine, with the model that ships inside the package."""

import os
import subprocess
import sys
import time

import pytest
import torch
from transformers.utils.import_utils import is_serve_available

from remot.errors import EngineError
from remot.losses import GRPOLoss
from remot.models import LoRA, ModelSource, VLMPolicy
from remot.rewards import ReMoTReward
from remot.rollout import ServerEngine, TransformersServe
from remot.rollout.decoding.engine import generate
from remot.rollout.sampling import GREEDY, RolloutAddress, RolloutRequest, SamplingSettings
from remot.rollout.servers.base import external_rollout
from remot.strategies import GRPOObjective
from remot.strategies.objective import StepAddress
from tests.data.made import data_module
from tests.devices.launch import free_port
from tests.strategies.grpo.test_objective import update
from tests.tiny import encode, randomise_

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(280),
    pytest.mark.skipif(not is_serve_available(), reason="needs remot[serve]"),
]
NUM_TOKENS = 40
silent = pytest.mark.filterwarnings("ignore:.*gives no log-probabilities")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Address of a server that has loaded nothing yet."""
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", "--host", "127.0.0.1"]
    log = (tmp_path_factory.mktemp("serve") / "log.txt").open("w")
    server = subprocess.Popen(
        [*command, "--port", str(port), "--device", "cpu"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


@pytest.fixture
def engine(url, tmp_path):
    engine = ServerEngine(TransformersServe(), url, tmp_path, num_parallel=1, num_retries=0, timeout_seconds=120)
    for _ in range(120):
        try:
            engine.check()
        except EngineError:
            time.sleep(0.5)
        else:
            return engine
    pytest.fail("the server does not start")


@pytest.fixture(scope="module")
def batch():
    """Two held-out prompts of the embedded clips."""
    data = data_module(batch_size=2, num_test_prompts=2, num_train_prompts_per_epoch=2)
    data.setup()
    return next(iter(data.test_dataloader()))


@pytest.fixture
def policy():
    """remot-tiny with adapters that change what it says."""
    torch.manual_seed(0)
    policy = VLMPolicy(ModelSource(), LoRA(rank=4))
    randomise_((p for name, p in policy.named_parameters() if "lora_B" in name), std=0.02, seed=1)
    return policy


def request_of(batch, step=0, num_completions=1, sampling=GREEDY):
    address = RolloutAddress(0, step, tuple(question.prompt_id for question in batch.questions))
    return RolloutRequest(num_completions, NUM_TOKENS, sampling, address)


def greedy(policy, batch):
    """What the policy says itself."""
    return generate(policy, encode(policy, batch), request_of(batch))


def said_by(rollout, row):
    """Tokens of a prompt's only completion."""
    return rollout.token_ids[row, 0][rollout.completion_mask[row, 0]].tolist()


@silent
def test_greedy_answers_are_those_of_the_policy(engine, policy, batch):
    """Token by token, end of turn included: the same weights, images, template and tokens on both sides."""
    engine.sync_weights(policy, 0)
    found = engine.complete(policy, batch, request_of(batch))
    own = greedy(policy, batch)
    for row, (one,) in enumerate(found):
        assert list(one.token_ids) == said_by(own, row)
        assert one.is_ended is bool(own.finished[row, 0])
    assert own.finished.any()


@silent
def test_new_weights_give_new_answers(engine, policy, batch):
    """What the server says after a hand-over is what the changed policy says, and not what the old one said."""
    said = []
    for step in range(2):
        engine.sync_weights(policy, step)
        (one,), (other,) = engine.complete(policy, batch, request_of(batch))
        said.append((one.token_ids, other.token_ids))
        own = greedy(policy, batch)
        assert [list(ids) for ids in said[-1]] == [said_by(own, row) for row in range(len(batch))]
        randomise_((p for name, p in policy.named_parameters() if "lora_B" in name), std=0.06, seed=5)
    assert said[0] != said[1]


@silent
def test_samples_differ_and_come_again(engine, policy, batch):
    engine.sync_weights(policy, 0)
    encoded, drawn = encode(policy, batch), []
    for step in (0, 0, 1):
        request = request_of(batch, step, 4, SamplingSettings())
        drawn.append(external_rollout(policy, encoded, engine.complete(policy, batch, request), request))
    assert drawn[0].texts == drawn[1].texts != drawn[2].texts
    assert len({text for group in drawn[0].texts for text in group}) > 2
    mask = drawn[0].completion_mask
    again = policy.completion_logprobs(encoded, drawn[0].token_ids).detach()
    assert torch.allclose(drawn[0].logprobs[mask], again[mask], atol=1e-5)


def test_a_step_of_training(engine, policy, batch):
    """Sampled there, compared and differentiated here."""
    objective = GRPOObjective(
        num_completions=4,
        max_new_tokens=NUM_TOKENS,
        reward=ReMoTReward(target_length=20, scale=20),
        loss=GRPOLoss(beta=0.01),
        engine=engine,
    )
    with pytest.warns(UserWarning, match="gives no log-probabilities"):
        prepared = objective.prepare(policy, batch, StepAddress(0, 7), 1)
    totals, gradients = update(prepared, policy)
    assert totals["importance/ratio_mean"] == pytest.approx(1, abs=1e-4)
    assert prepared.metrics["reward/format"] > 0.5
    assert any(gradient.any() for gradient in gradients.values())
