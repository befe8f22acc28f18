"""An endpoint and the weights behind it give the same greedy answers, by a real ``transformers serve``."""

import time

import pytest

from remot.errors import EngineError
from remot.evaluation.benchmarks.responders import AnswerSettings, EndpointResponder, LocalResponder
from remot.rollout import TransformersServe
from remot.rollout.sampling import GREEDY
from remot.rollout.servers.client import JSONClient
from tests.rollout.test_transformers_serve import batch, policy, pytestmark, url

__all__ = ["batch", "policy", "pytestmark", "url"]  # fixtures, and the marks of tests that need a server


def test_greedy_answers_are_those_of_the_weights(url, policy, batch, tmp_path):
    client = JSONClient(url, 120.0, 0, 1_000_000)
    for _ in range(120):
        try:
            client.get("/health")
        except EngineError:
            time.sleep(0.5)
        else:
            break
    else:
        pytest.fail("the server does not start")
    TransformersServe().save(policy, tmp_path / "model", is_writer=True)
    settings = AnswerSettings(GREEDY, 40)
    served = EndpointResponder(client, str(tmp_path / "model"), num_parallel=1).answer(batch, settings)
    local = LocalResponder("w", {}, lambda: policy).answer(batch, settings)
    assert [one.text for one in served] == [one.text for one in local]
    assert [one.cut_off for one in served] == [one.cut_off for one in local]
