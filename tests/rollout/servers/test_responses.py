"""What servers say is foreign text: read value by value, refused in one sentence, never believed."""

import json
import math

import pytest

from remot.errors import EngineError
from remot.rollout.servers.responses import as_completion, read_reply

WORDS = {"a": 1, "b": 2, "ab": 3, "<end>": 9}
TEXTS = {number: word for word, number in WORDS.items()}


def tokenize(text):
    return [WORDS[character] for character in text]


def reply(text="ab", reason="stop", **choice):
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": reason, **choice}]}


def listed(*pairs):
    return {"logprobs": {"content": [{"token": token, "logprob": value} for token, value in pairs]}}


def completion(answer, max_new_tokens=4):
    return as_completion(read_reply(answer, max_new_tokens), tokenize, TEXTS.get)


def known(found):
    return [None if math.isnan(value) else value for value in found.logprobs]


@pytest.mark.parametrize(
    ("choice", "ids", "logprobs"),
    [
        ({}, (1, 2), [None, None]),
        ({"token_ids": [3, 9]}, (3, 9), [None, None]),
        ({"token_ids": [3, 9], **listed(("ab", -1.0), ("<end>", -2.0))}, (3, 9), [-1.0, -2.0]),
        ({"token_ids": [3, 9], **listed(("ab", -1.0))}, (3, 9), [None, None]),  # whose is the one?
        (listed(("token_id:3", -1.0), ("token_id:9", -2.0)), (3, 9), [-1.0, -2.0]),
        (listed(("token_id:3", -1.0), ("<end>", -2.0)), (1, 2), [None, None]),
        (
            listed(
                ("token_id:", -1.0),
            ),
            (1, 2),
            [None, None],
        ),
        (
            listed(
                ("token_id:²", -1.0),
            ),
            (1, 2),
            [None, None],
        ),
        (listed(("a", -1.0), ("b", -2.0), ("<end>", -3.0)), (1, 2), [-1.0, -2.0]),
        (listed(("a", -1.0), ("b", -2.0)), (1, 2), [-1.0, -2.0]),
        (listed(("ab", -1.0), ("<end>", -2.0)), (1, 2), [None, None]),  # sampled otherwise than it is tokenised
        (listed(("a", -1.0), ("b", 0.5)), (1, 2), [None, None]),  # no probability
        (listed(("a", -1.0), ("b", math.nan)), (1, 2), [None, None]),
        (listed(("a", -1.0), ("b", "-2")), (1, 2), [None, None]),
        (listed(("a", -1.0), ("b", True)), (1, 2), [None, None]),
        (listed(("a", -1.0), (7, -1.0)), (1, 2), [None, None]),
        ({"logprobs": {"content": ["a", "b"]}}, (1, 2), [None, None]),
        ({"logprobs": []}, (1, 2), [None, None]),
        ({"token_ids": [1] * 99}, (1, 2), [None, None]),  # more than was asked for
        ({"token_ids": ["1", 2]}, (1, 2), [None, None]),
        ({"token_ids": [True, 2]}, (1, 2), [None, None]),
        ({"token_ids": {"0": 1}}, (1, 2), [None, None]),
        ({"token_ids": []}, (1, 2), [None, None]),  # nothing is named, and there is a text
        (listed(), (1, 2), [None, None]),
        (listed(("a", -1.0), ("b", -(10**400))), (1, 2), [None, None]),  # JSON has such numbers, floats have not
    ],
)
def test_tokens_are_those_that_are_certain(choice, ids, logprobs):
    found = completion(reply(**choice))
    assert (found.token_ids, known(found), found.is_ended) == (ids, logprobs, True)


def test_bytes_without_a_text_cut_a_completion_off():
    found = completion(reply("a\ufffdb"))
    assert (found.token_ids, found.is_ended) == ((1,), False)
    found = completion(reply("a\ufffdb", **listed(("a", -1.0), ("\ufffd", -2.0), ("b", -3.0))))
    assert (found.token_ids, known(found), found.is_ended) == ((1,), [-1.0], False)


def test_half_a_character_cuts_a_completion_off():
    r"""JSON may hold a surrogate without its other half, ``\ud83d``, which no tokenizer takes."""
    found = completion(json.loads(json.dumps(reply("a\ud83db"))))
    assert (found.token_ids, found.is_ended) == ((1,), False)


def test_an_empty_text_is_a_completion():
    assert completion(reply(None)).token_ids == ()
    assert completion(reply("", "length")).is_ended is False


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([], "the answer"),
        (None, "the answer"),
        ("text", "the answer"),
        ({}, "gives none"),
        ({"choices": None}, "gives none"),
        ({"choices": []}, "asked for one completion and gives 0"),
        ({"choices": [reply()["choices"][0]] * 2}, "gives 2"),
        ({"choices": ["ab"]}, "a choice"),
        ({"choices": [{"text": "ab", "finish_reason": "stop"}]}, "a message"),
        (reply(["ab"]), "no text"),
        (reply(7), "no text"),
        (reply([]), "no text"),
        (reply(0), "no text"),
        (reply(False), "no text"),
        ({"error": {"message": "no model m"}}, "none: .*no model m"),
        (reply("a" * 5000), "no text of at most 4 tokens"),
        (reply(reason="content_filter"), "content_filter"),
        (reply(reason=None), "neither stop nor length"),
        (reply(reason={"x": "y" * 9999}), "neither stop nor length"),
        ({"choices": [{"message": {"content": "b", "reasoning_content": "a"}}]}, "reasoning parser"),
        ({"choices": [{"message": {"content": "", "tool_calls": [{}]}}]}, "tool parser"),
    ],
)
def test_what_is_no_completion_is_refused_in_a_sentence(answer, said):
    with pytest.raises(EngineError, match=said) as caught:
        completion(answer)
    assert len(str(caught.value)) < 200
    json.dumps(str(caught.value))


@pytest.mark.parametrize("count", [pytest.param(10**400, id="huge"), -1, True, 3.0, "3", 10**9 + 1])
def test_a_length_that_no_completion_has_is_unknown(count):
    assert read_reply(reply() | {"usage": {"completion_tokens": count}}, 4).num_tokens == 0
