"""Who answers a benchmark's prompts: weights on this machine, or an OpenAI-compatible endpoint."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch

from remot.errors import ConfigError
from remot.evaluation.benchmark import EVALUATION_STEP
from remot.evaluation.benchmarks.base import ModelReply
from remot.models.policy import VLMPolicy
from remot.rollout.decoding.engine import generate
from remot.rollout.sampling import GREEDY, RolloutAddress, RolloutRequest, SamplingSettings, require_lengths
from remot.rollout.servers.client import JSONClient
from remot.rollout.servers.engine import CHAT_PATH, SEED_BITS, in_parallel
from remot.rollout.servers.messages import user_message
from remot.rollout.servers.responses import read_reply
from remot.seeding import derive_seed
from remot.structures import PromptBatch

#: What some servers leave at the end of a reply or of a thought, such as ``<|im_end|>``; it is no part of the answer.
_END_OF_TURN = re.compile(r"(?:<\|[a-z_]{1,32}\|>\s{0,8}){1,8}(?:</think>)?\Z")


@dataclass(frozen=True)
class AnswerSettings:
    """How prompts are answered.

    Args:
        sampling: How tokens are drawn.
        max_new_tokens: Longest reply, end of turn included.
        seed: Names the noise, together with each prompt's id.
    """

    sampling: SamplingSettings = GREEDY
    max_new_tokens: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            msg = f"--max_new_tokens {self.max_new_tokens}: allow at least 1"
            raise ConfigError(msg)
        require_lengths("--max_new_tokens", 1, self.max_new_tokens)


class Responder(Protocol):
    """Answers prompts. Nothing is loaded or asked before :meth:`answer`."""

    @property
    def description(self) -> str:
        """The weights in words."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What determines its replies besides prompts and settings, JSON-ready."""

    @property
    def weights_hash(self) -> str:
        """Hash of the weights, "" if they are not known."""

    def answer(self, batch: PromptBatch, settings: AnswerSettings) -> list[ModelReply]:
        """One reply for each prompt.

        Raises:
            RemotError: If there is none.
        """


class LocalResponder:
    """Weights on this machine. Replies depend on the prompt, the settings and the seed, and on nothing before.

    Args:
        description: The weights in words.
        identity: What determines them, such as hashes of their files.
        load: Loads the policy; called once, when the first prompt is answered.
        weights_hash: Hash of the weights, by which their scores are known; "" if it does not matter.
    """

    def __init__(
        self, description: str, identity: Mapping[str, Any], load: Callable[[], VLMPolicy], weights_hash: str = ""
    ) -> None:
        self.description = description
        self.identity = identity
        self.weights_hash = weights_hash
        self._policy = cache(load)

    def answer(self, batch: PromptBatch, settings: AnswerSettings) -> list[ModelReply]:
        """One completion for each prompt, by the policy's own decoding."""
        policy = self._policy()
        with torch.no_grad():
            encoded = policy.encode(policy.process(batch))
        names = tuple(question.prompt_id for question in batch.questions)
        address = RolloutAddress(settings.seed, EVALUATION_STEP, names)
        rollout = generate(policy, encoded, RolloutRequest(1, settings.max_new_tokens, settings.sampling, address))
        lengths, finished = rollout.num_tokens[:, 0].tolist(), rollout.finished[:, 0].tolist()
        return [
            ModelReply(text, int(length), cut_off=not ended)
            for (text,), length, ended in zip(rollout.texts, lengths, finished, strict=True)
        ]


class RateLimit:
    """Lets requests begin at most so often a minute, evenly spaced.

    Args:
        per_minute: Requests a minute; None for no limit.
    """

    def __init__(self, per_minute: float | None) -> None:
        if per_minute is not None and not per_minute > 0:
            msg = f"--requests_per_minute {per_minute}: give a positive number"
            raise ConfigError(msg)
        self._interval_seconds = 0.0 if per_minute is None else 60.0 / per_minute
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next request may begin."""
        with self._lock:
            now = time.monotonic()
            begins = max(now, self._next)
            self._next = begins + self._interval_seconds
        if begins > now:
            time.sleep(begins - now)


class EndpointResponder:
    """A model behind ``/v1/chat/completions``. Images are sent as PNG, videos as their frames, each with its time.

    Args:
        client: The server.
        model: Name of the model there.
        num_parallel: Requests at a time.
        rate_limit: How often requests may begin.
    """

    def __init__(
        self, client: JSONClient, model: str, num_parallel: int = 8, rate_limit: RateLimit | None = None
    ) -> None:
        if num_parallel < 1:
            msg = f"--num_parallel {num_parallel}: ask for at least 1 at a time"
            raise ConfigError(msg)
        self._client, self._model, self._num_parallel = client, model, num_parallel
        self._rate_limit = rate_limit if rate_limit is not None else RateLimit(None)

    weights_hash = ""

    @property
    def description(self) -> str:
        """Model and address."""
        return f"{self._model} at {self._client.url}"

    @property
    def identity(self) -> Mapping[str, Any]:
        """Address and model: what the server loads by this name is its own business."""
        return {"endpoint": self._client.url, "model": self._model, "videos": "timed frames"}

    def answer(self, batch: PromptBatch, settings: AnswerSettings) -> list[ModelReply]:
        """One request for each prompt, some at a time.

        Raises:
            EngineError: If a request fails after its retries; replies of earlier batches are kept.
        """

        def ask(row: int) -> ModelReply:
            self._rate_limit.wait()
            answer = self._client.post_for_json(CHAT_PATH, self._body(batch, row, settings))
            reply = read_reply(answer, settings.max_new_tokens, joins_reasoning=True)
            return ModelReply(_END_OF_TURN.sub("", reply.text), reply.num_tokens, cut_off=not reply.is_ended)

        return in_parallel(ask, range(len(batch)), self._num_parallel)

    def _body(self, batch: PromptBatch, row: int, settings: AnswerSettings) -> dict[str, Any]:
        frames = [
            part
            for video in batch.videos[row]
            for frame, seconds in zip(video.frames, video.pts_seconds, strict=True)
            for part in (f"{seconds:.1f} s:", frame)
        ]
        question, sampling = batch.questions[row], settings.sampling
        seed = derive_seed(settings.seed, "rollout", EVALUATION_STEP, question.prompt_id, 0) % (1 << SEED_BITS)
        body = {
            "model": self._model,
            "messages": user_message([*batch.images[row], *frames], question.text),
            "max_tokens": settings.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed,
            "stream": False,
        }
        return body | ({"top_k": sampling.top_k} if sampling.top_k else {})
