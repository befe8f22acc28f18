"""What is trained: all weights, low-rank adapters, or low-rank adapters on 4-bit weights."""

import contextlib
import copy
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from remot.errors import ConfigError
from remot.models.adapter_folder import AdapterFolder
from remot.models.loading import Precision
from remot.models.merging import merged_adapters
from remot.models.parts import block_lists, vision_parts, vision_pattern
from remot.models.reference import TRAINED, AdapterSnapshot, ModelSnapshot, ReferenceSnapshot

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedModel


class Adaptation(ABC):
    """Turns a loaded model into one whose trainable part is chosen."""

    #: True if switching the adapters off gives the base model back.
    reference_is_base: bool
    #: Arguments of ``save_pretrained`` that write what is trained and nothing else.
    export_settings: ClassVar[dict[str, Any]] = {}

    def quantization_config(self) -> "BitsAndBytesConfig | None":
        """Quantisation to load the weights with, None to load them as they are."""
        return None

    @abstractmethod
    def freeze(self, model: "PreTrainedModel", *, train_vision: bool) -> None:
        """Set ``requires_grad`` on the loaded weights."""

    @abstractmethod
    def of_adapter(self, adapter: AdapterFolder, *, is_trained: bool) -> "Adaptation":
        """The adaptation that loads trained adapters, in their own shape if they are not trained further.

        Raises:
            ConfigError: If this adaptation cannot continue their training.
        """

    @abstractmethod
    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with adapters, or itself."""

    def describe(self, model: nn.Module) -> str:  # noqa: ARG002 (there are no adapters)
        """What is trained of ``model`` (as wrapped), in one line."""
        return "all weights"

    @abstractmethod
    def unwrap(self, model: nn.Module) -> "PreTrainedModel":
        """The transformers model inside :meth:`wrap`'s result."""

    @abstractmethod
    def merged_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Weights of the transformers model by name with the adapters added to them; ``model`` is as wrapped."""

    @abstractmethod
    def disabled(self, model: nn.Module) -> AbstractContextManager[None]:
        """Context in which ``model`` (as wrapped) computes without adapters."""

    def merged(self, model: nn.Module) -> AbstractContextManager[None]:  # noqa: ARG002 (there are no adapters)
        """Context for passes without gradient in which ``model`` (as wrapped) computes as fast as without adapters."""
        return contextlib.nullcontext()

    @abstractmethod
    def snapshot(self, model: nn.Module) -> ReferenceSnapshot:
        """A frozen second set of what is trained of ``model`` (as wrapped)."""


class FullWeights(Adaptation):
    """Train every weight; the vision tower only with ``freeze_vision_tower`` off."""

    reference_is_base = False

    def freeze(self, model: "PreTrainedModel", *, train_vision: bool) -> None:
        """Freeze the vision tower unless it is trained."""
        model.requires_grad_(requires_grad=True)
        for part in vision_parts(model).values():
            part.requires_grad_(requires_grad=train_vision)

    def of_adapter(self, adapter: AdapterFolder, *, is_trained: bool) -> "Adaptation":
        """Adapters can be evaluated on top of full weights, but are no full weights to train.

        Raises:
            ConfigError: If they are to be trained.
        """
        if is_trained:
            msg = (
                f"model.policy.adaptation trains all weights, and {adapter.folder} holds adapters: set adaptation to "
                f"LoRA with rank {adapter.rank} and alpha {adapter.alpha:g}, or merge the adapter into its base first"
            )
            raise ConfigError(msg)
        return LoRA().of_adapter(adapter, is_trained=False)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Nothing to add."""
        return model

    def unwrap(self, model: nn.Module) -> "PreTrainedModel":
        """Nothing to remove."""
        return model

    def merged_state(self, model: nn.Module) -> dict[str, Tensor]:
        """The weights."""
        return {name: parameter.detach() for name, parameter in model.named_parameters()}

    @contextlib.contextmanager
    def disabled(self, model: nn.Module) -> Iterator[None]:  # noqa: ARG002
        """There are no adapters: the reference is a copy of its own."""
        yield

    def snapshot(self, model: nn.Module) -> ReferenceSnapshot:
        """A copy of the model."""
        return ModelSnapshot(self.unwrap(model))


class LoRA(Adaptation):
    """Low-rank adapters on the language model's linear layers (arXiv 2106.09685).

    Args:
        rank: Rank r of the update.
        alpha: The update is scaled by alpha / rank.
        dropout: Dropout on the adapters' input while training. Anything but 0 makes the first KL differ from 0, and a
            resumed run differ from an uninterrupted one, as the noise comes from torch's global generator.
        target_modules: Regular expression over module names, or ``all-linear``; None takes every linear layer of the
            language blocks, those of linear attention included, and those of the vision blocks too where the vision
            tower is trained. A frozen vision tower gets no adapters in any case.
    """

    reference_is_base = True
    export_settings: ClassVar[dict[str, Any]] = {"selected_adapters": [TRAINED]}

    def __init__(
        self, rank: int = 16, alpha: float = 32.0, dropout: float = 0.0, target_modules: str | None = None
    ) -> None:
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.target_modules = target_modules
        self._train_vision = False
        self._adapter: AdapterFolder | None = None
        self._has_adapters_shape = False

    def of_adapter(self, adapter: AdapterFolder, *, is_trained: bool) -> "LoRA":
        """This adaptation, beginning with trained adapters.

        Raises:
            ConfigError: If they are to be trained and have another rank or alpha; layers are compared in :meth:`wrap`.
        """
        changed = copy.copy(self)
        changed._adapter = adapter
        if not is_trained:
            changed._has_adapters_shape = True
            changed.rank, changed.alpha = adapter.rank, adapter.alpha
        for key in ("rank", "alpha"):
            if getattr(changed, key) != getattr(adapter, key):
                msg = (
                    f"model.policy.adaptation: {key} {getattr(self, key)}, but the adapter {adapter.folder} has "
                    f"{key} {getattr(adapter, key)}; training continues adapters of the same shape only"
                )
                raise ConfigError(msg)
        return changed

    def freeze(self, model: "PreTrainedModel", *, train_vision: bool) -> None:
        """Freeze everything; adapters come with gradients of their own."""
        self._train_vision = train_vision
        model.requires_grad_(requires_grad=False)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Add the adapters, new ones or those of a folder.

        Raises:
            ConfigError: If the rank is not positive, ``target_modules`` matches no layer, or not those of the folder.
            CheckpointError: If the folder's tensors do not fit the model.
        """
        from peft import LoraConfig, get_peft_model

        targets = self._targets(model)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=targets,
            exclude_modules=vision_pattern(model)
            if targets == self.target_modules and not self._train_vision
            else None,
            bias="none",
        )
        try:
            wrapped: nn.Module = get_peft_model(model, config)
        except ValueError as error:
            msg = f"adapters on {targets!r} do not fit the model: {str(error).splitlines()[0].partition('. ')[0]}"
            raise ConfigError(msg) from error
        if self._adapter is not None:
            if not self._has_adapters_shape:
                _require_same_layers(self.adapted_layers(wrapped), self._adapter)
            self._adapter.load_into(wrapped, TRAINED)
        return wrapped

    def _targets(self, model: nn.Module) -> str | list[str]:
        """What PEFT is to adapt: a regular expression, or the names of a folder's own layers."""
        if self._adapter is not None and self._has_adapters_shape:
            return sorted(self._adapter.modules)
        if self.target_modules is not None:
            return self.target_modules
        lists = block_lists(model, with_vision=self._train_vision)
        return "|".join(_linear_layers_of(model, prefix) for prefix in lists)

    def adapted_layers(self, model: nn.Module) -> list[str]:
        """Names of the layers of the transformers model that have adapters; ``model`` is as wrapped."""
        from peft.tuners.lora import LoraLayer

        return [name for name, module in self.unwrap(model).named_modules() if isinstance(module, LoraLayer)]

    def describe(self, model: nn.Module) -> str:
        """Kind, rank, and how many layers of each name are adapted."""
        layers = self.adapted_layers(model)
        counts = sorted(Counter(name.rpartition(".")[2] for name in layers).items())
        named = ", ".join(f"{name} {count}" for name, count in counts)
        return f"{type(self).__name__} of rank {self.rank} on {len(layers)} layers: {named}"

    def unwrap(self, model: nn.Module) -> "PreTrainedModel":
        """The transformers model, adapters inside."""
        return model.get_base_model()  # type: ignore[operator]

    def merged_state(self, model: nn.Module) -> dict[str, Tensor]:
        """W + (alpha / rank) B A in the precision of W; ``model`` itself is left as it is.

        4-bit weights are dequantised to the precision they were loaded in.

        Raises:
            ConfigError: If the weights of an adapted layer belong to another one, too.
        """
        from peft.tuners.lora import LoraLayer

        core = self.unwrap(model)
        state = {
            name.replace(".base_layer.", "."): self._plain_weight(parameter)
            for name, parameter in core.named_parameters()
            if ".lora_" not in name
        }
        for name, module in core.named_modules():
            if isinstance(module, LoraLayer):
                if f"{name}.weight" not in state:
                    msg = f"{name} has the weights of the embeddings, which cannot take the adapters of an output head"
                    raise ConfigError(msg)
                weight = state[f"{name}.weight"]
                delta = module.get_delta_weight(module.active_adapters[0]).detach()
                state[f"{name}.weight"] = (weight.float() + delta.float()).to(weight.dtype)
        return state

    def _plain_weight(self, weight: nn.Parameter) -> Tensor:
        """A weight as transformers stores it."""
        return weight.detach()

    def disabled(self, model: nn.Module) -> AbstractContextManager[None]:
        """Switch the adapters off."""
        context: AbstractContextManager[None] = model.disable_adapter()  # type: ignore[operator]
        return context

    def merged(self, model: nn.Module) -> AbstractContextManager[None]:
        """Adapters added to copies of the weights, where that is exact and cheap."""
        return merged_adapters(model, self.disabled(model))

    def snapshot(self, model: nn.Module) -> ReferenceSnapshot:
        """A second set of adapters."""
        return AdapterSnapshot(model)


def _linear_layers_of(model: nn.Module, blocks: str) -> str:
    """Regular expression for every linear layer of the model's blocks, as each family names its own."""
    names = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and f".{blocks}." in name
    }
    return rf".*\.{re.escape(blocks)}\..*\.({'|'.join(sorted(names))})"


def _require_same_layers(layers: Collection[str], adapter: AdapterFolder) -> None:
    """Raise a ConfigError unless a configuration adapts the layers that a folder has adapters for."""
    here, there = set(layers) - adapter.modules, adapter.modules - set(layers)
    if here or there:
        example = f"{min(here)} has adapters here and none there" if here else f"{min(there)} has none here"
        msg = (
            f"model.policy.adaptation.target_modules: the adapter {adapter.folder} has {len(adapter.modules)} layers, "
            f"the configuration adapts {len(layers)}: {example}; train_vision decides on those of the vision tower"
        )
        raise ConfigError(msg)


class QLoRA(LoRA):
    """LoRA on weights stored in 4-bit NormalFloat (arXiv 2305.14314), by bitsandbytes.

    Args:
        rank: Rank r of the update.
        alpha: The update is scaled by alpha / rank.
        dropout: Dropout on the adapters' input.
        target_modules: As in :class:`LoRA`.
        double_quantization: Quantise the quantisation constants too.
        compute_dtype: Precision the 4-bit weights are multiplied in.
    """

    def __init__(
        self,
        rank: int = 16,
        alpha: float = 32.0,
        dropout: float = 0.0,
        target_modules: str | None = None,
        *,
        double_quantization: bool = True,
        compute_dtype: Precision = "bfloat16",
    ) -> None:
        super().__init__(rank, alpha, dropout, target_modules)
        self.double_quantization = double_quantization
        self.compute_dtype = compute_dtype

    def wrap(self, model: nn.Module) -> nn.Module:
        """Add the adapters.

        On CPUs with AVX512-BF16 bitsandbytes packs the weights anew in the first pass in evaluation mode, as a rollout
        is, and the packed product has no backward: the adapters below it would learn nothing, in silence.
        """
        from bitsandbytes.nn import Linear4bit

        for module in model.modules():
            if isinstance(module, Linear4bit):
                module.support_avx512bf16_for_cpu = False
        return super().wrap(model)

    def _plain_weight(self, weight: nn.Parameter) -> Tensor:
        """A weight as transformers stores it, dequantised where it is held in 4 bits."""
        from bitsandbytes.functional import dequantize_4bit
        from bitsandbytes.nn import Params4bit

        if not isinstance(weight, Params4bit) or weight.quant_state is None:
            return weight.detach()
        plain: Tensor = dequantize_4bit(weight.data, weight.quant_state)  # in the precision they were quantised from
        return plain

    def quantization_config(self) -> "BitsAndBytesConfig":
        """NF4 for the language model; the vision tower and the output head keep their precision."""
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=self.double_quantization,
            bnb_4bit_compute_dtype=getattr(torch, self.compute_dtype),
            llm_int8_skip_modules=["model.visual", "lm_head"],  # matched from the start of a module's name
        )
