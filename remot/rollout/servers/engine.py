"""Completions from an OpenAI-compatible server: vLLM, SGLang or ``transformers serve``."""

import math
import shutil
import threading
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from remot.distributed import all_gather_objects, is_first_process
from remot.errors import ConfigError, EngineError, RemotError
from remot.models.policy import VLMPolicy
from remot.rollout.sampling import RolloutRequest
from remot.rollout.servers.backends import CompletionRequest, ServerBackend
from remot.rollout.servers.base import BegunCompletions, ExternalEngine, SampledCompletion
from remot.rollout.servers.client import JSONClient
from remot.rollout.servers.messages import SentVideo, user_message
from remot.rollout.servers.responses import Reply, as_completion, read_reply
from remot.seeding import derive_seed
from remot.structures import PromptBatch

Q = TypeVar("Q")
A = TypeVar("A")

CHAT_PATH = "/v1/chat/completions"
#: Seeds that every server takes.
SEED_BITS = 31
#: Digits of a name that distinguishes this run's weights from an earlier run's that the server may still hold.
RUN_DIGITS = 8


@dataclass(frozen=True)
class _SyncedWeights:
    name: str
    folder: Path
    model: str


class ServerEngine(ExternalEngine):
    """Samples completions from a server that has the weights of the step.

    Before each rollout the policy is saved to a folder that the server reads too, the server loads it and empties its
    caches, and the previous folder is removed. Each completion is a request of its own, with a seed made
    of (seed, step, prompt, sample).

    Args:
        protocol: The kind of server.
        url: Its address, such as ``http://127.0.0.1:8000``; no other is contacted.
        folder: Where weights are written for the server, under the same path on both machines.
        logprobs: What the server's log-probabilities are: ``raw`` before temperature (usable at temperature 1), or
            ``tempered``. ``none`` takes the trainer's instead, as is done for every token the server gives none of.
        num_parallel: Requests at a time.
        timeout_seconds: Longest time that a request for one completion, or to load weights, may take to its last byte.
        num_retries: Further attempts of a request that fails.
        max_reply_bytes: Longest reply that is read.
        one_step_ahead: Sample the completions of the next step while this one is scored and learnt from, with weights
            that are one update older. Their log-probabilities have to be the server's own: the weights of
            ``grpo.correction`` are made of them. A run that is stopped and goes on differs from one that was not.
    """

    def __init__(  # noqa: PLR0913 (one argument per key of the configuration)
        self,
        protocol: ServerBackend,
        url: str,
        folder: Path,
        logprobs: Literal["raw", "tempered", "none"] = "raw",
        num_parallel: int = 16,
        timeout_seconds: float = 600.0,
        num_retries: int = 2,
        max_reply_bytes: int = 4_000_000,
        one_step_ahead: bool = False,  # noqa: FBT001, FBT002 (a key of the configuration)
    ) -> None:
        if num_parallel < 1:
            msg = f"engine.num_parallel must be at least 1, got {num_parallel}"
            raise ConfigError(msg)
        if logprobs not in ("raw", "tempered", "none"):
            msg = f"engine.logprobs is raw, tempered or none, not {logprobs!r}"
            raise ConfigError(msg)
        if one_step_ahead and (logprobs == "none" or not protocol.gives_logprobs):
            msg = (
                "engine.one_step_ahead needs the server's own log-probabilities, by which older weights are corrected "
                f"for; {type(protocol).__name__} gives none here (engine.logprobs: {logprobs})"
            )
            raise ConfigError(msg)
        self.one_step_ahead = one_step_ahead
        self.protocol = protocol
        self.client = JSONClient(url, timeout_seconds, num_retries, max_reply_bytes)
        self.folder = folder.expanduser().resolve()
        self.logprobs = logprobs
        self.num_parallel = num_parallel
        self._run = uuid.uuid4().hex[:RUN_DIGITS]
        self._current: _SyncedWeights | None = None
        self._has_warned = False

    def check(self) -> None:
        """Request the server's health page."""
        self.client.get(self.protocol.health_path)

    def sync_weights(self, policy: VLMPolicy, step: int) -> None:
        """Save the policy, have the server load it and unload the previous one; only the first process requests it."""
        self.protocol.require(policy)
        run = all_gather_objects(self._run)[0]
        name = f"remot-{run}-step-{step}"
        folder = self.folder / name
        is_first = is_first_process()
        self.protocol.save(policy, folder, is_writer=is_first)
        fault = None
        if is_first:
            try:
                self._load(name, folder)
            except (RemotError, OSError) as error:
                fault = str(error)  # raised in all processes below: the others would wait for this one otherwise
        for message in all_gather_objects(fault):
            if message is not None:
                raise EngineError(message)
        self._current = _SyncedWeights(name, folder, self.protocol.model_name(name, folder))

    def _load(self, name: str, folder: Path) -> None:
        before = self._current
        for path, body in self.protocol.load(name, folder):
            self.client.post(path, body)
        if before is not None and before.name != name:
            for path, body in self.protocol.unload(before.name):
                self.client.post(path, body)
            shutil.rmtree(before.folder, ignore_errors=True)

    def complete(self, policy: VLMPolicy, batch: PromptBatch, request: RolloutRequest) -> list[list[SampledCompletion]]:
        """Ask for each completion; see :meth:`ExternalEngine.complete`, and :meth:`begin` for what is refused."""
        return self.begin(policy, batch, request)()

    def begin(self, policy: VLMPolicy, batch: PromptBatch, request: RolloutRequest) -> BegunCompletions:
        """Send the requests; see :meth:`ExternalEngine.begin`.

        Raises:
            ConfigError: If a prompt shows a video that this server does not take, or completions that are sampled one
                step ahead would have no log-probabilities to be corrected by.
        """
        if self._current is None:
            msg = "sync_weights() comes before begin()"
            raise RuntimeError(msg)
        sampling, max_new_tokens = request.sampling, request.max_new_tokens
        is_other = self.logprobs == "raw" and sampling.temperature != 1
        if self.one_step_ahead and is_other:
            msg = (
                f"engine.one_step_ahead: log-probabilities before temperature correct nothing at temperature "
                f"{sampling.temperature:g}; sample at 1, or have the server report tempered ones (engine.logprobs)"
            )
            raise ConfigError(msg)
        bodies = self._bodies(self._current.model, policy, batch, request)

        def send(body: dict[str, Any]) -> Reply:
            return read_reply(self.client.post_for_json(CHAT_PATH, body), max_new_tokens)

        replies = in_background(send, bodies, self.num_parallel)

        def completions() -> list[list[SampledCompletion]]:
            texts = policy.texts
            sampled = [as_completion(reply, texts.tokens_of_completion, texts.of_token) for reply in replies()]
            if self.logprobs == "none" or is_other:
                sampled = [replace(one, logprobs=(math.nan,) * len(one.token_ids)) for one in sampled]
            self._warn_without_logprobs(sampled)
            group = request.num_completions
            return [sampled[start : start + group] for start in range(0, len(sampled), group)]

        return completions

    def _bodies(
        self, model: str, policy: VLMPolicy, batch: PromptBatch, request: RolloutRequest
    ) -> list[dict[str, Any]]:
        """The requests, those of a prompt one after the other."""
        video_processor = getattr(policy.processor, "video_processor", None)
        temporal_patch = getattr(video_processor, "temporal_patch_size", None) or 1
        address, bodies = request.address, []
        for row, prompt_id in enumerate(address.prompt_ids):
            videos = [SentVideo.of(video, temporal_patch) for video in batch.videos[row]]
            parts, fields = self.protocol.video_parts(policy, videos) if videos else ((), {})
            messages = user_message([*batch.images[row], *parts], batch.questions[row].text)
            for sample in range(request.num_completions):
                seed = derive_seed(address.seed, "rollout", address.step, prompt_id, sample)
                one = CompletionRequest(messages, request.max_new_tokens, request.sampling, seed % (1 << SEED_BITS))
                bodies.append(self.protocol.body(model, one) | fields)
        return bodies

    def _warn_without_logprobs(self, sampled: list[SampledCompletion]) -> None:
        """Once, if most completions have none."""
        unknown = sum(all(value != value for value in one.logprobs) for one in sampled if one.logprobs)
        if unknown * 2 > len(sampled) and not self._has_warned:
            self._has_warned = True
            message = (
                f"{self.client.url} gives no log-probabilities that can be used: the trainer's own take their place, "
                "and nothing corrects for how the two engines differ"
            )
            warnings.warn(message, stacklevel=2)


def in_parallel(send: Callable[[Q], A], requests: Sequence[Q], num_parallel: int) -> list[A]:
    """Replies to all requests in their order; see :func:`in_background`."""
    return in_background(send, requests, num_parallel)()


def in_background(send: Callable[[Q], A], requests: Sequence[Q], num_parallel: int) -> Callable[[], list[A]]:
    """Begin to send requests; what is returned waits for all replies and gives them in the order of the requests.

    Once one fails, no further request is sent. Neither an error nor a signal waits for the replies to other requests,
    which may never come: threads of an executor would be waited for, also at the end of the process.
    """
    replies: list[Future[A]] = [Future() for _ in requests]
    left = deque(zip(replies, requests, strict=True))

    def work() -> None:
        with suppress(IndexError):  # none is left
            while True:
                reply, request = left.popleft()
                try:
                    reply.set_result(send(request))
                except BaseException as error:  # noqa: BLE001 (it is raised where the reply is awaited)
                    left.clear()
                    reply.set_exception(error)

    def results() -> list[A]:
        try:
            return [reply.result() for reply in replies]
        finally:
            left.clear()

    for _ in range(min(num_parallel, len(replies))):
        threading.Thread(target=work, daemon=True).start()
    return results
