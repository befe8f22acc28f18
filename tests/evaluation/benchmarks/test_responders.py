"""Replies of weights on this machine and of a server."""

import base64
import time

import pytest

from remot.errors import ConfigError, EngineError
from remot.evaluation.benchmark import EVALUATION_STEP
from remot.evaluation.benchmarks.responders import AnswerSettings, EndpointResponder, LocalResponder, RateLimit
from remot.rollout.decoding.engine import generate
from remot.rollout.sampling import GREEDY, RolloutAddress, RolloutRequest, SamplingSettings
from remot.rollout.servers import client as client_module
from remot.rollout.servers.client import MAX_WAIT_SECONDS, JSONClient
from remot.rollout.servers.messages import encode_png
from remot.rollout.servers.responses import read_reply
from tests.rollout.fake_server import reply, serving
from tests.tiny import encode, make_batch, make_mixed_batch, make_policy, select


@pytest.fixture
def naps(monkeypatch):
    taken = []
    monkeypatch.setattr(client_module.time, "sleep", taken.append)
    return taken


def endpoint(url, **settings):
    return EndpointResponder(JSONClient(url, 5.0, 2, 100_000), "m", **settings)


def test_local_replies_are_those_of_the_policys_own_decoding():
    policy, loaded = make_policy(), []

    def load():
        loaded.append(1)
        return policy

    responder = LocalResponder("w", {}, load)
    assert loaded == []
    batch = make_batch(3)
    replies = responder.answer(batch, AnswerSettings(GREEDY, 8))
    names = tuple(question.prompt_id for question in batch.questions)
    request = RolloutRequest(1, 8, GREEDY, RolloutAddress(0, EVALUATION_STEP, names))
    own = generate(policy, encode(policy, batch), request)
    assert [one.text for one in replies] == [text for (text,) in own.texts]
    assert [one.num_tokens for one in replies] == own.num_tokens[:, 0].tolist()
    assert [one.cut_off for one in replies] == [not ended for ended in own.finished[:, 0].tolist()]
    responder.answer(batch, AnswerSettings(GREEDY, 2))
    assert loaded == [1]


def test_samples_follow_from_seed_and_prompt_and_not_from_the_batch():
    responder = LocalResponder("w", {}, make_policy)
    batch, drawn = make_batch(3), AnswerSettings(SamplingSettings(), 6, seed=3)
    first = [one.text for one in responder.answer(batch, drawn)]
    assert [one.text for one in responder.answer(select(batch, [2, 0]), drawn)] == [first[2], first[0]]
    assert [one.text for one in responder.answer(batch, AnswerSettings(SamplingSettings(), 6, seed=4))] != first


def test_an_endpoint_is_sent_images_frames_and_settings():
    batch = make_mixed_batch()
    answered = reply("yes", usage=None)

    def answer(*_):
        return 200, answered | {"usage": {"completion_tokens": 7}}, {}

    with serving(answer) as (url, asked):
        replies = endpoint(url, num_parallel=1).answer(batch, AnswerSettings(GREEDY, 9, seed=5))
    assert [(one.text, one.num_tokens, one.cut_off) for one in replies] == [("yes", 7, False)] * 4
    path, body = asked[0]
    assert path == "/v1/chat/completions"
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 9, 0.0)
    *shown, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": batch.questions[0].text}
    (video,) = batch.videos[0]
    sent = [one for one in shown if one["type"] == "image_url"]
    pictures = [base64.b64decode(one["image_url"]["url"].partition(",")[2]) for one in sent]
    assert pictures == [encode_png(image) for image in [*batch.images[0], *video.frames]]
    words = [one["text"] for one in shown if one["type"] == "text"]
    assert words == ["0.0 s:", "1.1 s:", "3.0 s:", "4.4 s:", "8.0 s:"]
    assert [one["type"] for one in shown[2:4]] == ["text", "image_url"]
    assert len({body["seed"] for _, body in asked}) == 4


@pytest.mark.parametrize(
    ("content", "reason", "text"),
    [
        ("B", "stop", "<think>it rose</think>B"),
        (None, "length", "<think>it rose"),
        ("", "stop", "<think>it rose</think>"),
        ("B", "length", "<think>it rose</think>B"),
    ],
)
def test_a_thought_that_was_cut_off_stays_open(content, reason, text):
    """A server that takes reasoning apart gives no answer where the budget ended within it."""
    message = {"role": "assistant", "content": content, "reasoning_content": "it rose"}
    answer = {"choices": [{"message": message, "finish_reason": reason}]}
    assert read_reply(answer, 100, joins_reasoning=True).text == text


def test_a_turn_that_ended_within_a_thought_leaves_it_open():
    """`transformers serve` puts such a reply into the reasoning, with the token that ended it."""
    message = {"role": "assistant", "content": "", "reasoning_content": "it rose</answer><|im_end|>"}
    choices = {"choices": [{"message": message, "finish_reason": "stop"}]}
    with serving(lambda *_: (200, choices, {})) as (url, _):
        (one,) = endpoint(url).answer(make_batch(1), AnswerSettings(GREEDY, 9))
    assert one.text == "<think>it rose</answer>"


def test_a_reply_at_its_limit_is_cut_off_and_reasoning_is_joined():
    message = {"role": "assistant", "content": "B", "reasoning_content": "it rose"}
    choices = {"choices": [{"message": message, "finish_reason": "length"}]}
    with serving(lambda *_: (200, choices, {})) as (url, _):
        (one,) = endpoint(url).answer(make_batch(1), AnswerSettings(GREEDY, 9))
    assert one.text == "<think>it rose</think>B"
    assert one.cut_off is True
    assert one.num_tokens == 0


@pytest.mark.parametrize(
    ("said", "text"),
    [("A<|im_end|>", "A"), ("A<|im_end|>\n<|endoftext|>", "A"), ("<|im_end|>A", "<|im_end|>A"), ("A <b>", "A <b>")],
)
def test_an_end_of_turn_is_no_part_of_a_reply(said, text):
    with serving(lambda *_: (200, reply(said), {})) as (url, _):
        (one,) = endpoint(url).answer(make_batch(1), AnswerSettings(GREEDY, 9))
    assert one.text == text


@pytest.mark.parametrize(("wait", "expected"), [("7", 7.0), ("9999", MAX_WAIT_SECONDS), ("soon", 0.5), ("", 0.5)])
def test_a_server_that_is_asked_too_often_is_asked_again_when_it_says(naps, wait, expected):
    answers = iter([(429, {}, {"Retry-After": wait}), (200, reply("A"), {})])
    with serving(lambda *_: next(answers)) as (url, asked):
        (one,) = endpoint(url).answer(make_batch(1), AnswerSettings(GREEDY, 9))
    assert one.text == "A"
    assert len(asked) == 2
    assert naps == [expected]


def test_a_refusal_is_not_asked_again(naps):
    refused = pytest.raises(EngineError, match="no such model")
    with serving(lambda *_: (400, {"error": "no such model"}, {})) as (url, asked), refused:
        endpoint(url).answer(make_batch(1), AnswerSettings(GREEDY, 9))
    assert len(asked) == 1
    assert naps == []


def test_a_key_is_sent_as_a_bearer_token(monkeypatch):
    seen = []
    client = JSONClient("http://127.0.0.1:1", 1.0, 0, 1000, api_key="secret")
    monkeypatch.setattr(client, "_ask_once", lambda request: seen.append(request.headers) or b"{}")
    client.post_for_json("/x", {})
    client.get("/y")
    assert [headers["Authorization"] for headers in seen] == ["Bearer secret"] * 2


def test_requests_begin_evenly_spaced(monkeypatch):
    clock, naps = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", naps.append)
    limit = RateLimit(30)
    for _ in range(3):
        limit.wait()
    assert naps == [2.0, 4.0]
    unlimited = RateLimit(None)
    unlimited.wait()
    unlimited.wait()
    assert len(naps) == 2


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="max_new_tokens"):
        AnswerSettings(max_new_tokens=0)
    with pytest.raises(ConfigError, match="requests_per_minute"):
        RateLimit(0)
    with pytest.raises(ConfigError, match="num_parallel"):
        endpoint("http://127.0.0.1:1", num_parallel=0)
