"""Completions from an OpenAI-compatible server: vLLM, SGLang or ``transformers serve``."""

import base64
import math
import shutil
import struct
import threading
import uuid
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import Tensor

from remot.distributed import all_gather_objects, is_first_process
from remot.errors import ConfigError, EngineError, RemotError
from remot.models.policy import VLMPolicy
from remot.rollout.sampling import RolloutRequest
from remot.rollout.servers.backends import CompletionRequest, ServerBackend
from remot.rollout.servers.base import ExternalEngine, SampledCompletion
from remot.rollout.servers.client import JSONClient
from remot.rollout.servers.responses import Reply, as_completion, read_reply
from remot.seeding import derive_seed
from remot.structures import PromptBatch

Q = TypeVar("Q")
A = TypeVar("A")

CHAT_PATH = "/v1/chat/completions"
PNG_SIGNATURE, PNG_TRUECOLOUR = b"\x89PNG\r\n\x1a\n", 2
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
    """

    def __init__(
        self,
        protocol: ServerBackend,
        url: str,
        folder: Path,
        logprobs: Literal["raw", "tempered", "none"] = "raw",
        num_parallel: int = 16,
        timeout_seconds: float = 600.0,
        num_retries: int = 2,
        max_reply_bytes: int = 4_000_000,
    ) -> None:
        if num_parallel < 1:
            msg = f"engine.num_parallel must be at least 1, got {num_parallel}"
            raise ConfigError(msg)
        if logprobs not in ("raw", "tempered", "none"):
            msg = f"engine.logprobs is raw, tempered or none, not {logprobs!r}"
            raise ConfigError(msg)
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
        """Ask for each completion; see :meth:`ExternalEngine.complete`.

        Raises:
            ConfigError: If a prompt shows a video.
        """
        if self._current is None:
            msg = "sync_weights() comes before complete()"
            raise RuntimeError(msg)
        model, sampling, max_new_tokens = self._current.model, request.sampling, request.max_new_tokens
        bodies = []
        for row, prompt_id in enumerate(request.address.prompt_ids):
            if batch.videos[row]:  # servers take videos apart in ways of their own
                msg = "a server is shown images only; prompts with videos need the trainer's own engine (engine: null)"
                raise ConfigError(msg)
            messages = user_message(batch.images[row], batch.questions[row].text)
            for sample in range(request.num_completions):
                seed = derive_seed(request.address.seed, "rollout", request.address.step, prompt_id, sample)
                one = CompletionRequest(messages, max_new_tokens, sampling, seed % (1 << SEED_BITS))
                bodies.append(self.protocol.body(model, one))

        def send(body: dict[str, Any]) -> Reply:
            return read_reply(self.client.post_for_json(CHAT_PATH, body), max_new_tokens)

        replies = in_parallel(send, bodies, self.num_parallel)
        sampled = [as_completion(reply, policy.texts.tokens_of_completion, policy.texts.of_token) for reply in replies]
        if self.logprobs == "none" or (self.logprobs == "raw" and sampling.temperature != 1):
            sampled = [replace(one, logprobs=(math.nan,) * len(one.token_ids)) for one in sampled]
        self._warn_without_logprobs(sampled)
        group = request.num_completions
        return [sampled[start : start + group] for start in range(0, len(sampled), group)]

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
    """Replies to all requests in their order; once one fails, no further request is sent.

    Neither an error nor a signal waits for the replies to other requests, which may never come: threads of an executor
    would be waited for, also at the end of the process.
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

    for _ in range(min(num_parallel, len(replies))):
        threading.Thread(target=work, daemon=True).start()
    try:
        return [reply.result() for reply in replies]
    finally:
        left.clear()


def user_message(shown: Iterable[Tensor | str], text: str) -> list[dict[str, Any]]:
    """The one message of a prompt for ``/v1/chat/completions``: images, losslessly as PNG, then the text.

    Args:
        shown: Images, uint8 [3, H, W] each, and words between them.
        text: What is asked.
    """
    content: list[dict[str, Any]] = []
    for one in (*shown, text):
        if isinstance(one, str):
            content.append({"type": "text", "text": one})
        else:
            data = base64.b64encode(encode_png(one)).decode("ascii")
            content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}})
    return [{"role": "user", "content": content}]


def encode_png(image: Tensor) -> bytes:
    """An image [3, H, W] uint8 as a PNG file without filters: the server gets the policy's pixels, byte for byte."""
    _, height, width = image.shape
    rows = image.cpu().permute(1, 2, 0).reshape(height, 3 * width).contiguous().numpy().tobytes()
    stride = 3 * width
    lines = b"".join(b"\0" + rows[start : start + stride] for start in range(0, len(rows), stride))
    header = struct.pack(">IIBBBBB", width, height, 8, PNG_TRUECOLOUR, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
