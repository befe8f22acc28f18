"""A server's reply to a request for one completion: untrusted text, read value by value."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remot.errors import EngineError
from remot.rollout.servers.base import SampledCompletion
from remot.rollout.servers.client import shown

#: Characters of one token at most; a longer text is not a completion of the requested length.
MAX_CHARS_PER_TOKEN = 256
#: Replacement character, for bytes that are not UTF-8.
NO_TEXT = "\ufffd"
#: Smallest log-probability that is accepted; servers write -9999 for a probability of 0.
LEAST_LOGPROB = -1e6
#: How tokens are written that are given by number.
BY_NUMBER = "token_id:"
MAX_DIGITS = 9
#: Most tokens that a server may count in a reply.
MAX_TOKENS = 10**MAX_DIGITS


@dataclass(frozen=True)
class Reply:
    """One completion as a server writes it."""

    text: str  # without special tokens
    is_ended: bool  # it ended by itself
    token_ids: tuple[int, ...] | None  # None if the server does not list them
    tokens: tuple[str, ...] | None  # as text, None if the server does not list them
    logprobs: tuple[float, ...] | None  # as many as tokens
    num_tokens: int = 0  # its length in tokens, 0 if the server does not say


def read_reply(answer: object, max_new_tokens: int, *, joins_reasoning: bool = False) -> Reply:
    """The completion in an answer of ``/v1/chat/completions``.

    Args:
        answer: JSON from the server.
        max_new_tokens: The limit that was asked for.
        joins_reasoning: Put reasoning that the server returns by itself into a think element before the answer. A
            rollout must not: the tokens between the two are unknown.

    Raises:
        EngineError: If there is none, or it is not what was requested.
    """
    answer = _mapping(answer, "the answer")
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        found = len(choices) if isinstance(choices, list) else "none"
        said = shown(repr(answer["error"]).encode("utf-8", "replace")) if answer.get("error") else ""
        msg = f"the server was asked for one completion and gives {found}{said and ': '}{said}"
        raise EngineError(msg)
    choice = _mapping(choices[0], "a choice")
    message = _mapping(choice.get("message"), "a message")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if message.get("tool_calls") or (reasoning and not joins_reasoning):
        msg = "the server took the completion apart; start it without a reasoning parser and without a tool parser"
        raise EngineError(msg)
    text = "" if message.get("content") is None else message["content"]
    if isinstance(text, str) and isinstance(reasoning, str):
        is_open = not text and choice.get("finish_reason") == "length"  # cut off within its thought
        text = f"<think>{reasoning}" if is_open else f"<think>{reasoning}</think>{text}"
    if not isinstance(text, str) or len(text) > MAX_CHARS_PER_TOKEN * max_new_tokens:
        msg = f"the server's completion is no text of at most {max_new_tokens} tokens"
        raise EngineError(msg)
    reason = choice.get("finish_reason")
    if reason not in ("stop", "length"):
        msg = f"the server ended a completion for the reason {str(reason)[:40]!r}, neither stop nor length"
        raise EngineError(msg)
    tokens, logprobs = _listed(choice.get("logprobs"), max_new_tokens)
    token_ids = _numbers(choice.get("token_ids"), max_new_tokens)
    usage = answer.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
    num_tokens = count if type(count) is int and 0 <= count <= MAX_TOKENS else 0
    return Reply(text, reason == "stop", token_ids, tokens, logprobs, num_tokens)


def as_completion(
    reply: Reply, tokenize: Callable[[str], Sequence[int]], token_text: Callable[[int], str]
) -> SampledCompletion:
    """The tokens of a reply: those the server names, else those of its text.

    A text may be the text of several sequences of tokens. Its own tokenisation is then taken as what was sampled, and
    the server's log-probabilities are taken only if it lists the very same tokens. Where bytes make no text, it is
    unknown what was sampled; the completion is cut off there.

    Args:
        reply: The server's.
        tokenize: Tokens of a text.
        token_text: Text of a token.
    """
    named = reply.token_ids
    if not named and reply.tokens is not None:  # tokens may be written as ``token_id:17``
        digits = [token.removeprefix(BY_NUMBER) for token in reply.tokens if token.startswith(BY_NUMBER)]
        if len(digits) == len(reply.tokens) and all(one.isascii() and one.isdigit() for one in digits):
            named = tuple(int(one[:MAX_DIGITS]) for one in digits)
    if named:
        known = reply.logprobs if reply.logprobs is not None and len(reply.logprobs) == len(named) else None
        return SampledCompletion(named, known or (math.nan,) * len(named), reply.is_ended)
    # half a character, which JSON can hold, is none either
    readable = reply.text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    text, lost, _ = readable.partition(NO_TEXT)
    token_ids = tuple(tokenize(text))
    if reply.tokens is not None and reply.logprobs is not None:
        listed = reply.tokens[: len(token_ids)]  # an end of turn may follow
        if (lost or len(reply.tokens) <= len(token_ids) + 1) and listed == tuple(map(token_text, token_ids)):
            return SampledCompletion(token_ids, reply.logprobs[: len(token_ids)], reply.is_ended and not lost)
    return SampledCompletion(token_ids, (math.nan,) * len(token_ids), reply.is_ended and not lost)


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        msg = f"{name} of the server is no JSON object"
        raise EngineError(msg)
    return value


def _numbers(value: object, max_new_tokens: int) -> tuple[int, ...] | None:
    """Token ids, None if there are none or they are not numbers; whether they are tokens is checked later."""
    if not isinstance(value, list) or len(value) > max_new_tokens + 1:
        return None
    return tuple(value) if all(type(one) is int for one in value) else None


def _listed(value: object, max_new_tokens: int) -> tuple[tuple[str, ...] | None, tuple[float, ...] | None]:
    """Tokens and their log-probabilities, None if they are not listed, or not as they should be."""
    entries = value.get("content") if isinstance(value, Mapping) else None
    if not isinstance(entries, list) or len(entries) > max_new_tokens + 1:
        return None, None
    if not all(isinstance(entry, Mapping) for entry in entries):
        return None, None
    tokens = [entry.get("token") for entry in entries]
    logprobs = [entry.get("logprob") for entry in entries]
    if not all(isinstance(token, str) for token in tokens):
        return None, None
    for one in logprobs:
        if isinstance(one, bool) or not isinstance(one, int | float) or not LEAST_LOGPROB <= one <= 1e-3:
            return None, None
    return tuple(tokens), tuple(map(float, logprobs))
