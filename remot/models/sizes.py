"""Sizes of a model before its weights are there, from its configuration or from a table, and the memory they take."""

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from remot.models.adapters import Adaptation, FullWeights
from remot.models.families.names import PIXELS, PUBLISHED
from remot.models.loading import ModelSource
from remot.models.memory import MemoryEstimate, estimate_memory
from remot.models.merging import lora_layers, parameter_of
from remot.models.packing.selection import unpacked_layers
from remot.models.parts import block_lists, language_model
from remot.models.prepacked import prepacked_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

#: Bytes of a weight in NF4: 4 bits, and a constant of 8 bits (with double quantisation) for each block of 64.
NF4_BYTES = 0.5 + 1 / 64


@dataclass(frozen=True)
class ModelSizes:
    """What a model costs, and how it sees images.

    Args:
        memory: Sizes of the language model, for what a token costs.
        num_parameters: All of them.
        num_trained: Those that are trained.
        weight_bytes: Of the weights as they are held, without those of adapters.
        quantised_bytes: Of the weights with the language blocks in 4 bits, as QLoRA holds them.
        trained_bytes: Of the trained weights, adapters included.
        adapted_bytes: Of the weights below adapters, which sampling on a CPU copies to add them up.
        prepacked_bytes: Of the weights that sampling on a CPU copies to another layout.
        copies_prompts: Some of its layers need a copy of the prompt for each completion.
        max_positions: Longest sequence, prompt and completion together; None if the model names none.
        visual_side: Side in pixels of what one visual token covers.
        pixels: Smallest and largest area of an image that the model's processor leaves as it is.
        known_from: The configuration or the table.
    """

    memory: MemoryEstimate
    num_parameters: int
    num_trained: int
    weight_bytes: int
    quantised_bytes: int
    trained_bytes: int
    adapted_bytes: int
    prepacked_bytes: int
    copies_prompts: bool
    max_positions: int | None
    visual_side: int
    pixels: tuple[int, int]
    known_from: str


def model_sizes(
    source: ModelSource,
    adaptation: Adaptation | None = None,
    *,
    train_vision: bool = False,
    recomputes: bool = False,
) -> ModelSizes | None:
    """Sizes of a model with what is trained of it; its weights need not be there.

    The model is made by transformers without memory for its weights, so that parameters are counted and not estimated.

    Args:
        source: Which model, in which precision.
        adaptation: What is trained; all weights if None.
        train_vision: Train the vision tower too.
        recomputes: Activations are recomputed in the backward pass.

    Returns:
        None if there is neither a configuration on this machine nor an entry in :data:`PUBLISHED`.
    """
    from transformers import AutoModelForImageTextToText

    found = _configuration(source)
    if found is None:
        return None
    config, known_from = found
    chosen = adaptation if adaptation is not None else FullWeights()
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForImageTextToText.from_config(config, dtype=getattr(torch, source.dtype))
        whole_bytes, quantised_bytes = _weight_bytes(model)
        num_parameters = sum(parameter.numel() for parameter in model.parameters())
        layers = [*language_model(model).modules(), model.get_output_embeddings()]
        chosen.freeze(model, train_vision=train_vision)
        trained = [p for p in chosen.wrap(model).parameters() if p.requires_grad]
        memory = replace(estimate_memory(model), recomputes=recomputes)
        adapted_bytes = sum(parameter_of(layer).nbytes for layer in lora_layers(model))
    text, vision = config.get_text_config(), getattr(config, "vision_config", None)
    return ModelSizes(
        memory=memory,
        num_parameters=num_parameters,
        num_trained=sum(parameter.numel() for parameter in trained),
        weight_bytes=whole_bytes if chosen.quantization_config() is None else quantised_bytes,
        quantised_bytes=quantised_bytes,
        trained_bytes=sum(parameter.numel() * parameter.element_size() for parameter in trained),
        adapted_bytes=adapted_bytes,
        prepacked_bytes=prepacked_bytes(layers),
        copies_prompts=unpacked_layers(config) is not None,
        max_positions=getattr(text, "max_position_embeddings", None),
        visual_side=_patch_side(vision) * getattr(vision, "spatial_merge_size", 1),
        pixels=PIXELS.get(config.model_type, (1, 2**31)),
        known_from=known_from,
    )


def _patch_side(vision: "PreTrainedConfig | None") -> int:
    """Side of a patch in pixels; 1 where a family does not name it."""
    side = getattr(vision, "patch_size", 1)
    return int(side[0] if isinstance(side, list | tuple) else side)


def _configuration(source: ModelSource) -> "tuple[PreTrainedConfig, str] | None":
    from transformers import AutoConfig

    with suppress(OSError, ValueError):
        config = AutoConfig.from_pretrained(source.resolve(), local_files_only=True, trust_remote_code=False)
        return config, f"config.json of {source.base}"
    held = PUBLISHED.get(source.base)
    if held is None:
        return None
    return AutoConfig.for_model(**held), f"a table of this library, as config.json of {source.base} is not here"


def _weight_bytes(model: "PreTrainedModel") -> tuple[int, int]:
    """Bytes of the weights as they are, and with the linear layers of the language blocks in 4 bits."""
    total = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    lists = block_lists(model, with_vision=False).values()
    linear = [module.weight for held in lists for module in held.modules() if isinstance(module, nn.Linear)]
    saved = sum(weight.numel() * (weight.element_size() - NF4_BYTES) for weight in linear)
    return total, total - round(saved)


def has_weights(source: ModelSource) -> bool:
    """Whether the weights are on this machine: in the package, a folder, or the hub's cache."""
    from transformers.utils import cached_file

    names = ("model.safetensors", "model.safetensors.index.json")
    with suppress(OSError, ValueError):
        return any(
            cached_file(source.resolve(), name, local_files_only=True, _raise_exceptions_for_missing_entries=False)
            for name in names
        )
    return False


def visual_tokens(height: int, width: int, side: int, pixels: tuple[int, int]) -> int:
    """Visual tokens of an image as processors with patches resize it: sides to a multiple of a token's, area bounded.

    Args:
        height: Of the image in pixels.
        width: Of the image in pixels.
        side: Of what a token covers, in pixels.
        pixels: Smallest and largest area.
    """
    min_pixels, max_pixels = pixels
    high, wide = (max(side, round(edge / side) * side) for edge in (height, width))
    if high * wide > max_pixels:
        scale = math.sqrt(height * width / max_pixels)
        high, wide = (max(side, math.floor(edge / scale / side) * side) for edge in (height, width))
    elif high * wide < min_pixels:
        scale = math.sqrt(min_pixels / (height * width))
        high, wide = (math.ceil(edge * scale / side) * side for edge in (height, width))
    return high * wide // side**2
