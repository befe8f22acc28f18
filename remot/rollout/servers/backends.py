"""Where OpenAI-compatible servers differ: how they load weights, which caches to empty, what a request holds.

Addresses and fields are those of the servers' documentation in November 2026. ``transformers serve`` is run in the
tests; vLLM and SGLang have not been run by us, see docs/servers.md.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from remot.errors import ConfigError
from remot.models.export import save_merged, save_trained
from remot.models.policy import VLMPolicy
from remot.rollout.sampling import SamplingSettings
from remot.rollout.servers.messages import Json, SentVideo

#: For transformers' parser of responses: everything after the prompt is the content, as it stands.
WHOLE_ANSWER = {
    "defaults": {"role": "assistant"},
    "start_anchor_pattern": r"\Z",
    "fields": {"content": {"content": "text", "content_args": {"strip": False}}},
}

#: vLLM takes whole numbers for the places of frames: times are sent in microseconds.
TICKS_PER_SECOND = 1_000_000

#: A request whose reply is not read: path, and body or None.
Command = tuple[str, dict[str, Any] | None]


@dataclass(frozen=True)
class CompletionRequest:
    """One completion to request from a server."""

    messages: list[Json]
    max_new_tokens: int  # longest completion
    sampling: SamplingSettings
    seed: int  # of its noise


class ServerBackend(ABC):
    """One kind of server."""

    #: Path that answers once the server is ready.
    health_path: str = "/health"
    #: Whether it reports log-probabilities.
    gives_logprobs: bool = True

    def require(self, policy: VLMPolicy) -> None:  # noqa: B027 (none is refused)
        """Refuse a policy whose weights it cannot load.

        Raises:
            ConfigError: If so.
        """

    def save(self, policy: VLMPolicy, folder: Path, *, is_writer: bool) -> None:
        """Write what this server can load; all processes call this, one of them writes."""
        save_trained(policy, folder, is_writer=is_writer)

    def model_name(self, name: str, folder: Path) -> str:  # noqa: ARG002
        """What requests call the weights ``name`` in ``folder``."""
        return name

    def load(self, name: str, folder: Path) -> Sequence[Command]:  # noqa: ARG002
        """Requests that make the server take the weights, then empty its caches of prefixes and images."""
        return ()

    def unload(self, name: str) -> Sequence[Command]:  # noqa: ARG002
        """Requests that unload the weights ``name``."""
        return ()

    def video_parts(self, policy: VLMPolicy, videos: Sequence[SentVideo]) -> tuple[list[Json], Json]:  # noqa: ARG002
        """The videos of a prompt as parts of its message, and fields of the request that give their times.

        Raises:
            ConfigError: If it does not take them as the policy is shown them.
        """
        msg = (
            f"{type(self).__name__} takes no frames of a video with their times, images only; leave out "
            "model.grpo.engine, or show frames as images (frames.as_video: false)"
        )
        raise ConfigError(msg)

    @abstractmethod
    def body(self, model: str, request: CompletionRequest) -> Json:
        """A request for one completion."""


class _AdapterServer(ServerBackend):
    """A server that takes adapters while it runs."""

    load_path: ClassVar[str]
    unload_path: ClassVar[str]
    cache_paths: ClassVar[tuple[str, ...]]

    def require(self, policy: VLMPolicy) -> None:
        """Adapters only."""
        if not policy.adaptation.reference_is_base:
            name = type(self).__name__
            msg = f"{name} takes adapters while it runs, not full weights: set model.policy.adaptation to LoRA"
            raise ConfigError(msg)

    def load(self, name: str, folder: Path) -> Sequence[Command]:
        """Load the adapter; empty the caches."""
        adapter = {"lora_name": name, "lora_path": str(folder)}
        return (self.load_path, adapter), *((path, None) for path in self.cache_paths)

    def unload(self, name: str) -> Sequence[Command]:
        """Unload the adapter."""
        return ((self.unload_path, {"lora_name": name}),)

    def body(self, model: str, request: CompletionRequest) -> Json:
        """With log-probabilities."""
        sampling = request.sampling
        return {
            "model": model,
            "messages": request.messages,
            "max_tokens": request.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k or -1,
            "min_p": sampling.min_p,
            "seed": request.seed,
            "stream": False,
            "logprobs": True,
        }


class VLLM(_AdapterServer):
    """vLLM, started with ``--enable-lora`` and a rank that is large enough.

    Needs ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=1`` to take adapters while it runs, and ``VLLM_SERVER_DEV_MODE=1`` to empty
    its caches. Log-probabilities are those before temperature, vLLM's default ``--logprobs-mode raw_logprobs``. With a
    trained vision tower it needs ``--enable-tower-connector-lora``, or it leaves the adapters of the tower out.
    """

    load_path = "/v1/load_lora_adapter"
    unload_path = "/v1/unload_lora_adapter"
    #: Of keys, of processed images, and of what the vision tower made of them; servers of 2025 lack the last.
    cache_paths = "/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache"

    def video_parts(self, policy: VLMPolicy, videos: Sequence[SentVideo]) -> tuple[list[Json], Json]:
        """Each video as a sequence of frames, with the times of all in one field.

        Raises:
            ConfigError: If the videos have other times, or the model takes more than the text of a time from a video.
        """
        times = {video.pts_seconds for video in videos}
        if len(times) > 1:
            msg = "vLLM takes the times of one video for all of a prompt; show videos with the same times, or one only"
            raise ConfigError(msg)
        vision: object = getattr(policy.model.config, "vision_config", None)
        if hasattr(vision, "tokens_per_second"):
            msg = (
                "vLLM spaces the frames of this model by a setting of its own, not by their times; leave out "
                "model.grpo.engine, or take a model whose prompts hold the times as text, such as Qwen3-VL"
            )
            raise ConfigError(msg)
        places = [round(seconds * TICKS_PER_SECOND) for seconds in times.pop()]
        shown = {
            "num_frames": -1,  # all
            "fps": float(TICKS_PER_SECOND),
            "frames_indices": places,
            "total_num_frames": max(places[-1] + 1, len(places)),
            "do_sample_frames": False,
        }
        urls = [f"data:video/jpeg;base64,{','.join(video.frames)}" for video in videos]  # PNG files are read as such
        parts: list[Json] = [{"type": "video_url", "video_url": {"url": url}} for url in urls]
        return parts, {"media_io_kwargs": {"video": shown}}

    def body(self, model: str, request: CompletionRequest) -> Json:
        """With token ids and log-probabilities."""
        return super().body(model, request) | {"return_token_ids": True}


@dataclass(frozen=True)
class SGLang(_AdapterServer):
    """SGLang, started with ``--enable-lora``, ``--max-lora-rank`` and ``--lora-target-modules``.

    Its replies name tokens by their text.

    Args:
        served_model: Name the server gives its base model; adapters are asked for as ``served_model:adapter``.
    """

    load_path = "/load_lora_adapter"
    unload_path = "/unload_lora_adapter"
    cache_paths = ("/flush_cache",)

    served_model: str

    def model_name(self, name: str, folder: Path) -> str:  # noqa: ARG002
        """Base model and adapter."""
        return f"{self.served_model}:{name}"


class TransformersServe(ServerBackend):
    """``transformers serve``, which loads whatever folder a request names.

    The first request loads it, and there are no caches that outlive a request; it unloads weights by itself. What is
    quantised is refused when it is saved. It takes full weights, so adapters are added to them on the way; it loads
    them anew for each hand-over and keeps what it has loaded for ``--model-timeout`` seconds. It gives no
    log-probabilities, and no tokens by number. It draws from one global generator, so ask for one completion at a time
    (``num_parallel: 1``) if a run is to be repeatable.
    """

    gives_logprobs = False

    def save(self, policy: VLMPolicy, folder: Path, *, is_writer: bool) -> None:
        """Full weights, as it does not find the base model of a folder with adapters only.

        The tokenizer leaves answers in one piece, end of turn included: otherwise a completion comes back
        divided into reasoning and answer, without the white space in between.
        """
        save_merged(policy, folder, is_writer=is_writer)
        if is_writer:
            path = folder / "tokenizer_config.json"
            settings = json.loads(path.read_text(encoding="utf-8"))
            settings["response_template"] = WHOLE_ANSWER
            path.write_text(json.dumps(settings, allow_nan=False), encoding="utf-8")

    def model_name(self, name: str, folder: Path) -> str:  # noqa: ARG002
        """The folder."""
        return str(folder)

    def body(self, model: str, request: CompletionRequest) -> Json:
        """Sampling as a generation configuration: its own defaults are greedy for many models."""
        sampling = request.sampling
        settings: Json = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        settings |= {"min_p": sampling.min_p} if sampling.min_p > 0 else {}
        generation = {"do_sample": False} if sampling.is_greedy else {"do_sample": True, **settings}
        generation |= {"max_new_tokens": request.max_new_tokens}
        return {
            "model": model,
            "messages": request.messages,
            "max_tokens": request.max_new_tokens,
            "seed": request.seed,
            "stream": False,
            "generation_config": json.dumps(generation, allow_nan=False),
        }
