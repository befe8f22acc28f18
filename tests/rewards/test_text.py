"""Words: ROUGE and the word error rate, event recall and its judges, repetition, words exchanged by a mirror."""

import json
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remot.errors import ConfigError, RemotError
from remot.rewards import EndpointJudge, EventRecallReward, LexicalJudge, RepetitionReward, TextOverlapReward
from remot.rewards.functional import text as text_module
from remot.rewards.functional.numbers import repeated_share
from remot.rewards.functional.text import content_words, option_letter, rouge_mean, swapped_words, word_accuracy
from remot.structures import Reference
from tests.helpers import assert_close
from tests.rewards.samples import say, totals
from tests.rollout.fake_server import dripping

many = settings(deadline=None, database=None, derandomize=True, max_examples=150)
words = st.lists(st.sampled_from(("red", "car", "moves", "left", "the")), max_size=7).map(" ".join)


# -- ROUGE and word error rate, where the libraries are installed ---------------------------------------------------


def f_measure(shared, predicted, gold):
    return 2 * shared / (predicted + gold) if shared else 0.0


def slow_rouge(predicted, gold):
    """Mean of ROUGE-1, -2 and -L by their definitions; F = 2·shared / (predicted + gold) follows from P and R."""
    p, g = predicted.split(), gold.split()
    scores = []
    for size in (1, 2):
        grams = [Counter(tuple(one[k : k + size]) for k in range(len(one) - size + 1)) for one in (p, g)]
        scores.append(f_measure((grams[0] & grams[1]).total(), grams[0].total(), grams[1].total()))

    def longest(i, j):
        if i == len(p) or j == len(g):
            return 0
        return 1 + longest(i + 1, j + 1) if p[i] == g[j] else max(longest(i + 1, j), longest(i, j + 1))

    return (sum(scores) + f_measure(longest(0, 0), len(p), len(g))) / 3


def slow_distance(p, g):
    if not p or not g:
        return len(p) + len(g)
    if p[0] == g[0]:
        return slow_distance(p[1:], g[1:])
    return 1 + min(slow_distance(p[1:], g), slow_distance(p, g[1:]), slow_distance(p[1:], g[1:]))


@given(predicted=words, gold=words)
@many
def test_rouge(predicted, gold):
    pytest.importorskip("rouge_score", reason="needs remot[rewards]")
    assert rouge_mean(predicted, gold, use_stemmer=False) == pytest.approx(slow_rouge(predicted, gold))


@given(predicted=words, gold=words.filter(bool))
@settings(many, max_examples=200)
def test_word_error_rate(predicted, gold):
    pytest.importorskip("jiwer", reason="needs remot[rewards]")
    errors = slow_distance(predicted.split(), gold.split()) / len(gold.split())
    assert word_accuracy(predicted, gold) == pytest.approx(max(0.0, 1 - errors))


def test_rouge_by_hand():
    """ "cars move" for "car moves": the stems are the same, the words are not. Half of the words: F = 2·1/(1+2)."""
    pytest.importorskip("rouge_score", reason="needs remot[rewards]")
    assert rouge_mean("cars move", "car moves") == 1
    assert rouge_mean("cars move", "car moves", use_stemmer=False) == 0
    assert rouge_mean("red", "red car", use_stemmer=False) == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)
    reward = TextOverlapReward("rouge")
    assert totals(reward, say("The red car."), say(""), reference=Reference(answer="the red car")) == [1, 0]


@given(
    predicted=st.text(max_size=40),
    gold=st.lists(st.sampled_from(("Moving", "cars'", "state-of-the-art", "flies", "agreed", "12", "ÉTÉ"))).map(
        " ".join
    ),
    use_stemmer=st.booleans(),
)
@many
def test_rouge_is_that_of_the_library(predicted, gold, use_stemmer):
    """Also with its own tokenizer in place of the bounded one."""
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="needs remot[rewards]").RougeScorer
    for told in (predicted, gold[::-1], gold.lower(), gold.replace("ing", "ed")):
        scores = scorer(["rouge1", "rouge2", "rougeL"], use_stemmer=use_stemmer).score(gold, told)
        expected = sum(one.fmeasure for one in scores.values()) / 3
        assert rouge_mean(told, gold, use_stemmer=use_stemmer) == pytest.approx(expected)


def test_words_by_hand():
    """One of three words wrong: 1 − 1/3. Six words for two: more errors than words, 0."""
    pytest.importorskip("jiwer", reason="needs remot[rewards]")
    reward = TextOverlapReward("words")
    found = totals(
        reward, say("EXIT to left"), say("EXIT  to\nright "), say(""), reference=Reference(answer="EXIT to right")
    )
    assert_close(found, [2 / 3, 1, 0])
    assert word_accuracy("a b c d e f", "x y") == 0
    assert (word_accuracy("", ""), word_accuracy("a", "")) == (1, 0)


@pytest.mark.parametrize(("measure", "library"), [("rouge", "rouge_score"), ("words", "jiwer")])
@pytest.mark.parametrize("piece", ["a ", "a-", "a", "\ud800 [", "ing", "a\n"])
def test_long_texts_take_no_time(measure, library, piece):
    pytest.importorskip(library, reason="needs remot[rewards]")
    text = "<answer>" + piece * (150_000 // len(piece)) + "</answer>"
    started = time.process_time()
    (found,) = totals(TextOverlapReward(measure), text, reference=Reference(answer="a b c " * 200))
    assert 0 <= found <= 1
    assert time.process_time() - started < 0.010 * 150


@pytest.mark.parametrize(("measure", "module"), [("rouge", "rouge_score.rouge_scorer"), ("words", "jiwer")])
def test_a_missing_library_is_reported(monkeypatch, measure, module):
    monkeypatch.setitem(sys.modules, module, None)
    text_module._rouge.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'remot\[rewards\]'"):
        totals(TextOverlapReward(measure), say("a"), reference=Reference(answer="a"))


# -- letters and words ---------------------------------------------------------------------------------------------


def test_option_letter():
    assert [option_letter(text) for text in ("(B) left", "The answer is C.", "Best answer:D", "none", "HI")] == [
        *("B", "C", "D", "", ""),
    ]


def test_words_of_a_mirror():
    pairs = (("left", "right"), ("clockwise", "counterclockwise"))
    assert swapped_words("Upper-LEFT, (right) of it; left.", pairs) == "upper-right, (left) of it; right"
    assert swapped_words("counterclockwise", pairs) == "clockwise"
    assert swapped_words("leftover rights", pairs) == "leftover rights"
    assert swapped_words("...", pairs) == ""


@given(text=st.lists(st.sampled_from(("left", "right", "up", "upper-left", "(right)", "a")), max_size=8).map(" ".join))
@many
def test_mirroring_twice_changes_nothing(text):
    pairs = (("left", "right"),)
    assert swapped_words(swapped_words(text, pairs), pairs) == text


def test_repetition_by_hand():
    """a b a b a b: 5 bigrams, 2 different: 3/5 repeated. Fewer words than an n-gram repeat nothing."""
    assert repeated_share("a b a b A B", 2) == pytest.approx(3 / 5)
    assert repeated_share("a b", 3) == repeated_share("", 1) == 0
    assert_close(totals(RepetitionReward(1, 2.0), "a a a a"), [-1.5])


@given(text=words, times=st.integers(1, 4))
@many
def test_saying_it_again_never_repeats_less(text, times):
    once, often = repeated_share(text, 2), repeated_share(" ".join([text] * times), 2)
    assert 0 <= once <= often + 1e-12 < 1 + 1e-9


# -- events --------------------------------------------------------------------------------------------------------

EVENTS = ("A man opens the red door.", "Two dogs bark at him", "He sits down on a chair")


def test_content_words():
    assert content_words("The man opens his doors, is it?") == {"man", "open", "door"}
    assert content_words("Человек открывает_дверь, 开门。") == {"человек", "открывает", "дверь", "开门"}


def test_lexical_judge_by_hand():
    """Of man, open, red, door three are in one sentence: 0.75. Of two, dog, bark one: 1/3. Of sit, down, chair all."""
    description = "the man opened, no: opens a door! A dog. He sits\ndown; he sits down, chair"
    assert LexicalJudge(0.6).covered(EVENTS, description) == [True, False, True]
    assert LexicalJudge(0.75).covered(EVENTS, description) == [True, False, True]
    assert LexicalJudge(0.76).covered(EVENTS, description) == [False, False, True]
    assert LexicalJudge(0.3).covered(EVENTS, description) == [True, True, True]
    assert LexicalJudge().covered(["is it"], "is it") == [False]
    assert LexicalJudge().covered(["человек открывает дверь", "собака лает"], "Человек открывает дверь.") == [
        True,
        False,
    ]


def test_recall():
    reference = Reference(events=EVENTS)
    completions = [say("A man opens the red door. He sits down on the chair."), say(" "), "a man opens the red door"]
    assert_close(totals(EventRecallReward(), *completions, reference=reference), [2 / 3, 0, 0])
    assert totals(EventRecallReward(max_chars=10), completions[0], reference=reference) == [0]


@given(extra=words)
@many
def test_longer_captions_never_recall_less(extra):
    reference = Reference(events=("red car", "car moves left"))
    less, more = totals(EventRecallReward(), say("the red car"), say(f"the red car. {extra}"), reference=reference)
    assert more >= less == 0.5


@pytest.mark.parametrize("share", [0, -1, 1.1, float("nan")])
def test_shares_that_make_no_sense(share):
    with pytest.raises(ConfigError, match="share in"):
        LexicalJudge(share)


# -- a judge behind an address -------------------------------------------------------------------------------------


@pytest.fixture
def endpoint():
    """A local server with a scripted reply that records its requests."""

    class Handler(BaseHTTPRequestHandler):
        replies, asked = [], []

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.asked.append((self.path, self.headers.get("Authorization"), json.loads(body)))
            status, reply = self.replies.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(reply.encode())

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", Handler
    server.shutdown()
    thread.join()
    server.server_close()


def reply(content):
    return json.dumps({"choices": [{"message": {"content": content}}]})


def test_endpoint_judge(endpoint, monkeypatch):
    url, handler = endpoint
    monkeypatch.setenv("JUDGE_KEY", "k")
    handler.replies = [(200, reply(" [1, 3] "))]
    judge = EndpointJudge(url + "/", "judge-1", api_key_variable="JUDGE_KEY")
    reference = Reference(events=EVENTS)
    assert_close(totals(EventRecallReward(judge), say("he came\ud800"), reference=reference), [2 / 3])
    ((path, key, body),) = handler.asked
    assert (path, key, body["model"], body["temperature"]) == ("/v1/chat/completions", "Bearer k", "judge-1", 0)
    prompt = body["messages"][0]["content"]
    assert "2. Two dogs bark at him" in prompt
    assert "he came" in prompt


@pytest.mark.parametrize("content", ["all of them", "[1, 'x']", "{}", "[true]", "[99]", "", "[" * 9000])
def test_replies_that_cannot_be_read_cover_nothing(endpoint, content):
    url, handler = endpoint
    handler.replies = [(200, reply(content))]
    assert EndpointJudge(url, "m").covered(EVENTS, "x") == [False] * 3


def test_endpoint_is_tried_again_and_then_given_up(endpoint):
    url, handler = endpoint
    handler.replies = [(500, "broken"), (200, "no JSON"), (200, reply("[2]"))]
    assert EndpointJudge(url, "m").covered(EVENTS, "x") == [False, True, False]
    handler.replies = [(500, "broken")] * 2
    with pytest.raises(RemotError, match="gave no reply in 2 attempts"):
        EndpointJudge(url, "m", num_attempts=2).covered(EVENTS, "x")


def test_endpoint_is_not_left_for_another_address(endpoint, monkeypatch):
    """An address that sends on gets no answer, and where it sends to sees neither text nor key."""
    url, handler = endpoint
    monkeypatch.setenv("JUDGE_KEY", "k")
    gotten = []

    def do_get(self):
        gotten.append((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(reply("[1]").encode())

    monkeypatch.setattr(handler, "do_GET", do_get, raising=False)
    monkeypatch.setattr(
        handler, "end_headers", with_location(handler.end_headers, url.replace("127.0.0.1", "localhost"))
    )
    handler.replies = [(302, ""), (307, "")]
    with pytest.raises(RemotError, match="gave no reply in 2 attempts"):
        EndpointJudge(url, "m", "JUDGE_KEY", num_attempts=2).covered(EVENTS, "x")
    assert gotten == []
    assert len(handler.asked) == 2


@pytest.mark.parametrize("piece", [b" ", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_endpoint_that_never_ends_is_left_at_the_time_bound(piece):
    """Each of two attempts ends after 0.3 s, though a byte comes every 20 ms."""
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" if piece == b" " else b""
    with dripping(first, piece) as url:
        started = time.monotonic()
        with pytest.raises(RemotError, match=r"2 attempts.*0\.3 s"):
            EndpointJudge(url, "m", timeout_seconds=0.3, num_attempts=2).covered(EVENTS, "x")
        assert 0.5 < time.monotonic() - started < 5


def with_location(end_headers, address):
    def ended(self):
        self.send_header("Location", f"{address}/elsewhere")
        end_headers(self)

    return ended


def test_a_reply_that_is_too_deep_to_be_read_is_no_reply(endpoint):
    url, handler = endpoint
    handler.replies = [(200, "[" * 60_000), (200, reply("[2]"))]
    assert EndpointJudge(url, "m").covered(EVENTS, "x") == [False, True, False]


def test_endpoints_that_make_no_sense(monkeypatch):
    with pytest.raises(ConfigError, match="http://"):
        EndpointJudge("file:///etc/passwd", "m")
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        EndpointJudge("http://localhost", "m", api_key_variable="NO_SUCH_KEY")
