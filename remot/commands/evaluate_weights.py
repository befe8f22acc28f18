"""What ``remot evaluate`` evaluates: a model, an adapter, a checkpoint, or a model behind an endpoint."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from remot.commands.policies import load_trained, own_config, policy_settings, read_trained
from remot.errors import ConfigError
from remot.files import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

    from remot.evaluation.benchmarks.responders import EndpointResponder, LocalResponder, Responder
    from remot.models.policy import VLMPolicy
    from remot.strategies.settings import PolicySettings

#: Files of a model folder whose content determines replies.
WEIGHT_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt")
#: Longest reply of an endpoint, in bytes.
MAX_REPLY_BYTES = 4_000_000
#: Attempts after the first, of a request to an endpoint.
NUM_RETRIES = 5


@dataclass(frozen=True)
class WeightChoice:
    """The weights that answer on this machine.

    Args:
        model: remot-tiny, a model folder, or a hub name in the local cache.
        adapter: Folder of trained adapters; the model they were trained on is loaded below them.
        ckpt_path: Checkpoint of a run; it holds the settings of the model.
        dtype: Precision of the weights; float32, or that of the checkpoint's run, by default.
        max_pixels: Largest image area after resizing, instead of the model's own.
        device: auto, cpu, cuda, cuda:1 and so on.
    """

    model: str | None = None
    adapter: Path | None = None
    ckpt_path: Path | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    max_pixels: int | None = None
    device: str = "auto"

    @property
    def named(self) -> str | Path | None:
        """The trained weights, or the model."""
        return self.ckpt_path or self.adapter or self.model


@dataclass(frozen=True)
class EndpointChoice:
    """The model behind a server that answers instead.

    Args:
        endpoint: Address of an OpenAI-compatible server, such as http://127.0.0.1:8000.
        model_name: Name of the model at the endpoint.
        api_key_variable: Environment variable that holds the endpoint's key; none is sent by default.
        num_parallel: Requests to the endpoint at a time.
        requests_per_minute: Requests to the endpoint a minute at most.
        timeout_seconds: Longest time of one request.
    """

    endpoint: str | None = None
    model_name: str | None = None
    api_key_variable: str = ""
    num_parallel: int = 8
    requests_per_minute: float | None = None
    timeout_seconds: float = 600.0


NO_ENDPOINT = EndpointChoice()


def responder_for(weights: WeightChoice, server: EndpointChoice = NO_ENDPOINT) -> "Responder":
    """Who answers; nothing is loaded or asked yet.

    Raises:
        ConfigError: If the options contradict each other or name nothing.
        CheckpointError: If a file is missing or damaged.
    """
    named = [name for name in ("adapter", "ckpt_path") if getattr(weights, name) is not None]
    if server.endpoint is not None and (weights.model or named):
        msg = "--endpoint answers by itself: leave out --model, --adapter and --ckpt_path; --model_name names the model"
        raise ConfigError(msg)
    if server.endpoint is not None:
        return _endpoint(server.endpoint, server)
    if len(named) > 1:
        msg = "--adapter and --ckpt_path are both trained weights; give one of them"
        raise ConfigError(msg)
    if weights.ckpt_path is not None:
        return _checkpoint(weights, weights.ckpt_path)
    if weights.model is None and weights.adapter is None:
        msg = "nothing to evaluate: give --model, --adapter, --ckpt_path or --endpoint"
        raise ConfigError(msg)
    return _source(weights)


def _endpoint(address: str, choice: EndpointChoice) -> "EndpointResponder":
    from remot.evaluation.benchmarks.responders import EndpointResponder, RateLimit
    from remot.rollout.servers.client import JSONClient

    if not choice.model_name:
        msg = "--endpoint needs --model_name, the name that the server gives the model"
        raise ConfigError(msg)
    key = os.environ.get(choice.api_key_variable, "") if choice.api_key_variable else ""
    if choice.api_key_variable and not key:
        msg = f"--api_key_variable {choice.api_key_variable}: this environment variable is not set"
        raise ConfigError(msg)
    url = address.rstrip("/").removesuffix("/v1")
    client = JSONClient(url, choice.timeout_seconds, NUM_RETRIES, MAX_REPLY_BYTES, key)
    return EndpointResponder(client, choice.model_name, choice.num_parallel, RateLimit(choice.requests_per_minute))


def _source(weights: WeightChoice) -> "LocalResponder":
    """A model folder or name, or a folder of adapters."""
    from remot.models.loading import ModelSource
    from remot.strategies.settings import PolicySettings

    source = ModelSource(
        str(weights.adapter or weights.model), dtype=weights.dtype or "float32", max_pixels=weights.max_pixels
    )
    if weights.adapter is not None:
        adapter = source.adapter()
        if adapter is None:
            msg = f"--adapter {weights.adapter}: there is no adapter_config.json in it; a whole model is --model"
            raise ConfigError(msg)
        wanted = ModelSource(weights.model) if weights.model else source
        if wanted.resolve() != source.resolve():
            msg = (
                f"the adapter {weights.adapter} was trained on {source.base}, not on {weights.model}; leave --model "
                "out, or correct base_model in its remot.json, and without one base_model_name_or_path in its "
                "adapter_config.json"
            )
            raise ConfigError(msg)
    return _local(PolicySettings(source), weights.device)


def _checkpoint(weights: WeightChoice, file: Path) -> "LocalResponder":
    """What was trained in a run, on the base model of its configuration."""
    settings = policy_settings(own_config(read_trained(file), file))
    source = settings.source
    source = replace(
        source,
        pretrained=weights.model or source.pretrained,
        dtype=weights.dtype or source.dtype,
        max_pixels=weights.max_pixels or source.max_pixels,
    )
    return _local(replace(settings, source=source), weights.device, file)


def _local(settings: "PolicySettings", device: str, checkpoint: Path | None = None) -> "LocalResponder":
    """Answers with weights on this machine; their files are hashed now and loaded when the first prompt is asked."""
    import torch

    from remot.evaluation.benchmarks.responders import LocalResponder
    from remot.models.loading import describe_source, describe_weights

    source = settings.source
    source.require_found()
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    base = folder_digest(source.resolve())
    files = {"base": base, "dtype": source.dtype, "max_pixels": source.max_pixels}
    if source.adapter() is not None:
        files["adapter"] = folder_digest(source.pretrained)
    described = describe_weights(source)
    if checkpoint is not None:
        files["checkpoint"] = sha256_of(checkpoint)
        described = f"{describe_source(source)} + checkpoint {checkpoint}"

    def load() -> "VLMPolicy":
        policy = settings.load(with_reference=False, with_snapshot=False, is_trained=checkpoint is not None)
        if checkpoint is not None:
            load_trained(policy, read_trained(checkpoint))
        return policy.to(where)

    return LocalResponder(described, files, load, weights_hash(base, settings, checkpoint))


def weights_hash(base: str, settings: "PolicySettings", checkpoint: Path | None = None) -> str:
    """Hash of a base model's files and of what was trained on it, the same for an adapter and its run's checkpoint.

    Args:
        base: :func:`folder_digest` of the base model.
        settings: The policy.
        checkpoint: Of a run, whose weights replace those of the policy's source.

    Raises:
        CheckpointError: If a file is missing or damaged.
    """
    from remot.models.adapters import LoRA

    trained: Iterable[Tensor] = ()
    adapter, scale = settings.source.adapter(), ""
    if checkpoint is not None:
        held = read_trained(checkpoint)
        state, facts = held.get("state_dict", {}), held.get("remot") or {}
        names = facts.get("trained") or [name for name in state if name.startswith("policy.")]
        trained = [state[name] for name in names if name in state]
        adaptation = settings.adaptation
        scale = f"{adaptation.alpha / adaptation.rank:g}" if isinstance(adaptation, LoRA) else ""
    elif adapter is not None:
        trained, scale = adapter.tensors().values(), f"{adapter.alpha / adapter.rank:g}"
    # Formats name the same tensors differently, so that the names are left out.
    digests = sorted(_tensor_digest(tensor) for tensor in trained)
    return hashlib.sha256(" ".join([base, scale, *digests]).encode()).hexdigest()


def _tensor_digest(tensor: "Tensor") -> str:
    numbers = tensor.detach().cpu().float().contiguous().numpy()
    return hashlib.sha256(f"{numbers.shape}".encode() + numbers.tobytes()).hexdigest()


def folder_digest(name: str) -> str:
    """Hash of the weights and settings in a folder; the name itself where there is none, such as of the hub."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    files = sorted({file for pattern in WEIGHT_FILES for file in folder.glob(pattern) if file.is_file()})
    return hashlib.sha256("".join(f"{file.name} {sha256_of(file)}\n" for file in files).encode()).hexdigest()
