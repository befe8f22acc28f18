"""Finding and loading weights and processor, from the package, a folder or the local hub cache."""

import os
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from remot.errors import CheckpointError, ConfigError, require_docstrings
from remot.files import cause_of, require_regular
from remot.models.adapter_folder import AdapterFolder, read_adapter, read_record, require_same_names
from remot.models.inputs.chat_template import require_bounded_template

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedModel, ProcessorMixin

#: Models that ship inside the package.
EMBEDDED_MODELS = ("remot-tiny",)

#: Where transformers keeps the settings of a processor.
PROCESSOR_FILE = "processor_config.json"

#: Files of a model that are read whole, and the largest of them; tokenizers have up to some ten megabytes.
SETTING_SUFFIXES = (".json", ".jinja", ".txt", ".model")
MAX_SETTING_BYTES = 256 * 2**20

Precision = Literal["float32", "bfloat16", "float16"]


#: Images are enlarged to at most so many pixels, which take half a gigabyte on their way into the processor.
MAX_ENLARGED = 2**24


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A transformers model, its processor, and the token ids that matter."""

    model: "PreTrainedModel"
    processor: "ProcessorMixin"
    eos_token_ids: tuple[int, ...]  # tokens that end a turn, the tokenizer's own first
    pad_token_id: int
    banned_token_ids: list[int]  # tokens that may never be sampled: vision placeholders and ids without a text


@dataclass(frozen=True)
class ModelSource:
    """Where the weights come from.

    Args:
        pretrained: ``remot-tiny`` (inside the package), a folder, or a hub name in the local cache. A folder of trained
            LoRA adapters stands for its base model with these adapters: evaluation uses them, training continues them.
        dtype: Precision the weights are held in.
        attention: Attention kernel. ``auto`` is SDPA over the parts of a packed row, and reads a prompt's keys once for
            all its completions in a decode step; ``flex``, once a kernel of its own, is the same. ``sdpa`` and
            ``eager`` are transformers' own, which share no prompt: each completion stands behind a copy of it.
        random_weights: Keep the architecture and processor, start from random weights (seeded by the trainer).
        min_pixels: Smallest image area after resizing; None keeps the processor's own.
        max_pixels: Largest image area after resizing; None keeps the processor's own.
        video_min_pixels: Smallest area of a video after resizing, as the processor counts it: all frames together for
            Qwen3-VL, one frame for Qwen2.5-VL; None keeps the processor's own.
        video_max_pixels: Largest area of a video after resizing, counted in the same way.
        allow_download: Let transformers ask the hub for what is not in the cache.

    Raises:
        ConfigError: If an area is below 1, or the largest below the smallest.
    """

    pretrained: str = "remot-tiny"
    dtype: Precision = "float32"
    attention: Literal["auto", "sdpa", "eager", "flex"] = "auto"
    random_weights: bool = False
    min_pixels: int | None = None
    max_pixels: int | None = None
    video_min_pixels: int | None = None
    video_max_pixels: int | None = None
    allow_download: bool = False

    def __post_init__(self) -> None:
        for prefix in ("", "video_"):
            low, high = (getattr(self, f"{prefix}{name}") for name in ("min_pixels", "max_pixels"))
            if (low is not None and low < 1) or (high is not None and high < (low or 1)):
                msg = (
                    f"{prefix}min_pixels {low} and {prefix}max_pixels {high}: give areas from 1, the smaller one first"
                )
                raise ConfigError(msg)
            if (low or 1) > MAX_ENLARGED:
                msg = f"{prefix}min_pixels is {low}: images would be enlarged; give at most {MAX_ENLARGED:,}"
                raise ConfigError(msg)

    def resolve(self) -> str:
        """Folder or hub name of the base model that transformers understands, a folder by its whole path."""
        base = self.base
        if base in EMBEDDED_MODELS:
            return str(files("remot") / "assets" / base)
        return str(Path(base).resolve()) if Path(base).is_dir() else base

    def adapter(self) -> AdapterFolder | None:
        """The trained adapters that ``pretrained`` is a folder of, None if it is a whole model.

        Raises:
            CheckpointError: If the folder is damaged.
            ConfigError: If the adapters are not plain LoRA.
        """
        return None if self.pretrained in EMBEDDED_MODELS else read_adapter(Path(self.pretrained))

    @property
    def base(self) -> str:
        """``pretrained``, or the model below its adapters."""
        adapter = self.adapter()
        return self.pretrained if adapter is None else adapter.base

    @property
    def _is_local_only(self) -> bool:
        return not self.allow_download or os.environ.get("HF_HUB_OFFLINE") == "1"

    def require_found(self) -> None:
        """Refuse a model that is neither a folder nor in the local cache, and may not be downloaded.

        Raises:
            CheckpointError: With what to do.
            ConfigError: If Python has dropped the docstrings that transformers reads while it loads a model.
        """
        require_docstrings()
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        base, found = self.base, None
        if base not in EMBEDDED_MODELS and Path(base).is_dir() and not (Path(base) / "config.json").is_file():
            msg = f"{base} holds no model: there is neither a config.json nor an adapter_config.json in it"
            raise CheckpointError(msg)
        if base in EMBEDDED_MODELS or Path(base).is_dir() or not self._is_local_only:
            return
        with suppress(HFValidationError):  # no name of the hub, such as an absolute path
            found = try_to_load_from_cache(base, "config.json")
        if not isinstance(found, str):
            below = "" if self.adapter() is None else f" of the adapter {self.pretrained!r}"
            near = "".join(f"take {name}, " for name in get_close_matches(base, EMBEDDED_MODELS, n=1))
            unlock = "unset HF_HUB_OFFLINE" if self.allow_download else "set model.policy.source.allow_download: true"
            msg = (
                f"cannot load the model {base!r}{below}: there is no such folder, nor a model of this name in "
                f"Hugging Face's cache; {near}give a folder, fetch the model with `hf download`, or {unlock}"
            )
            raise CheckpointError(msg)

    def load(self, quantization_config: "BitsAndBytesConfig | None" = None) -> LoadedModel:
        """Load model and processor.

        Raises:
            CheckpointError: If they are not there, are damaged or incomplete, or hold pickled weights only.
            ConfigError: If random weights are to be quantised, which transformers cannot, or take adapters that were
                trained on others, or the model is not built as transformers' image-text-to-text models are.
        """
        from safetensors import SafetensorError
        from transformers import AutoProcessor

        if self.random_weights and quantization_config is not None:
            msg = "random_weights cannot be quantised: save the random model to a folder, or choose LoRA"
            raise ConfigError(msg)
        if self.random_weights and self.adapter() is not None:
            msg = f"random_weights: true does not fit the adapter {self.pretrained}, which was trained on {self.base}"
            raise ConfigError(msg)
        self.require_found()
        # The adapters' own processor where there is one, as its sizes of images are those of the training.
        folder, weights = Path(self.pretrained), self.resolve()
        has_own = (folder / PROCESSOR_FILE).is_file() and self.pretrained not in EMBEDDED_MODELS
        processor_source = str(folder) if has_own else weights
        for held in {processor_source, weights}:
            _require_files(Path(held))
        try:
            processor = AutoProcessor.from_pretrained(
                processor_source, local_files_only=self._is_local_only, trust_remote_code=False
            )
            require_bounded_template(getattr(processor, "chat_template", None))
            model = self._load_model(weights, quantization_config, local_only=self._is_local_only)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            below = "" if self.adapter() is None else f" of the adapter {self.pretrained!r}"
            msg = (
                f"cannot load the model {self.base!r}{below} ({reason}); give the folder of a downloaded model, or "
                "set model.policy.source.allow_download: true to let transformers fetch it"
            )
            raise CheckpointError(msg) from error
        _require_family(model, self.pretrained)
        self._set_pixels(processor)
        return _with_token_ids(model, processor)

    def _load_model(
        self, name: str, quantization_config: "BitsAndBytesConfig | None", *, local_only: bool
    ) -> "PreTrainedModel":
        from transformers import AutoConfig, AutoModelForImageTextToText

        from remot.models.packing.attention import register_kernel

        dtype = getattr(torch, self.dtype)
        kernel = self.attention if self.attention in ("sdpa", "eager") else register_kernel()
        if self.random_weights:
            config = AutoConfig.from_pretrained(name, local_files_only=local_only, trust_remote_code=False)
            model = AutoModelForImageTextToText.from_config(config, dtype=dtype, attn_implementation=kernel)
        else:
            model, report = AutoModelForImageTextToText.from_pretrained(
                name,
                output_loading_info=True,
                dtype=dtype,
                attn_implementation=kernel,
                quantization_config=quantization_config,
                local_files_only=local_only,
                trust_remote_code=False,
                use_safetensors=True,
            )
            # tied weights, and what the model's class declares as optional, are not among these
            require_same_names(f"the weights of {name}", report["unexpected_keys"], report["missing_keys"])
        return model.eval()

    def _set_pixels(self, processor: "ProcessorMixin") -> None:
        """Set the limits that are given; what processors with a grid of patches call edges are areas."""
        videos = getattr(processor, "video_processor", None)
        of_parts = (
            (getattr(processor, "image_processor", None), self.min_pixels, self.max_pixels),
            (videos, self.video_min_pixels, self.video_max_pixels),
        )
        for part, smallest, largest in of_parts:
            limits = {"shortest_edge": smallest, "longest_edge": largest}
            given = {name: limit for name, limit in limits.items() if limit is not None}
            if given and part is not None and not hasattr(part, "merge_size"):
                msg = (
                    f"model.policy.source: {self.pretrained} resizes images by {type(part).__name__}, which takes no "
                    "areas in pixels: leave min_pixels, max_pixels, video_min_pixels and video_max_pixels out"
                )
                raise ConfigError(msg)
            if given and part is not None:
                part.size = {**dict(part.size), **given}
        if videos is not None and getattr(videos, "cap_pixels_per_frame", False) is None:
            videos.cap_pixels_per_frame = False  # today's default of transformers, which will change


def _require_files(folder: Path) -> None:
    """Refuse what transformers would wait for, or read whole: pipes, devices, and settings of no plausible size.

    Raises:
        CheckpointError: Naming the file.
    """
    found = folder.iterdir() if folder.is_dir() else ()
    for file in (path for path in found if path.suffix in (*SETTING_SUFFIXES, ".safetensors")):
        try:
            require_regular(file)
        except OSError as error:
            msg = f"cannot load the model {folder}: {file.name} {cause_of(error)}"
            raise CheckpointError(msg) from error
        if file.suffix in SETTING_SUFFIXES and file.stat().st_size > MAX_SETTING_BYTES:
            msg = f"cannot load the model {folder}: {file.name} has more than {MAX_SETTING_BYTES} bytes"
            raise CheckpointError(msg)


def _require_family(model: "PreTrainedModel", name: str) -> None:
    """Attributes of a model that the passes use; missing ones are named before the run starts."""
    kind = type(model).__name__
    if model.config.is_encoder_decoder:
        msg = f"{name!r} is a {kind}, whose text is written by a decoder over an encoder: choose a decoder-only model"
        raise ConfigError(msg)
    if not hasattr(model, "model") or model.get_output_embeddings() is None:
        msg = f"{name!r} is a {kind}, which has no model below an output head: choose another model"
        raise ConfigError(msg)


def _with_token_ids(model: "PreTrainedModel", processor: "ProcessorMixin") -> LoadedModel:
    tokenizer, config = processor.tokenizer, model.config
    generation_eos = model.generation_config.eos_token_id if model.generation_config is not None else None
    listed = generation_eos if isinstance(generation_eos, list) else [generation_eos]
    eos = dict.fromkeys(token for token in (tokenizer.eos_token_id, *listed) if token is not None)
    vocabulary = model.get_output_embeddings().weight.shape[0]
    kinds = ("image", "video", "audio", "vision_start", "vision_end", "boi", "eoi")
    names = [f"{kind}_token_{key}" for kind in kinds for key in ("id", "index")]
    held = (getattr(part, name, None) for part in (config, processor) for name in names)
    placeholders = {token for token in held if isinstance(token, int) and 0 <= token < vocabulary}
    banned = sorted(placeholders | set(range(len(tokenizer), vocabulary)))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return LoadedModel(model, processor, tuple(eos), int(pad), banned)


def describe_source(source: ModelSource) -> str:
    """Short name of the base model for tags and file names."""
    base = source.base
    name = base if base in EMBEDDED_MODELS else Path(base).name
    return f"{name} (random weights)" if source.random_weights else name


def describe_weights(source: ModelSource) -> str:
    """The weights that a source loads, such as ``remot-tiny + adapter runs/…/adapter, step 60``."""
    if source.adapter() is not None:
        named = f"{describe_source(source)} + adapter {source.pretrained}"
    else:
        named = f"{source.pretrained} (random weights)" if source.random_weights else source.pretrained
    step = None if source.pretrained in EMBEDDED_MODELS else read_record(Path(source.pretrained)).get("step")
    return named if step is None else f"{named}, step {step}"
