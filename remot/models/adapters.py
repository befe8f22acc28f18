"""What is trained: all weights, low-rank adapters, or low-rank adapters on 4-bit weights."""

import contextlib
import copy
import math
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from remot.errors import ConfigError
from remot.models.adapter_folder import AdapterFolder
from remot.models.families.experts import experts, routers
from remot.models.loading import Precision
from remot.models.merging import merged_adapters, merged_weight
from remot.models.parts import VISION_NAMES, block_lists, vision_parts, vision_pattern
from remot.models.reference import (
    AVERAGED,
    CAPTURED,
    TRAINED,
    AdapterSnapshot,
    ModelSnapshot,
    ReferenceSnapshot,
)

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

    def describe(self, model: nn.Module) -> str:
        """What is trained of ``model`` (as wrapped), in one line."""
        return f"all weights{_of_experts(self.unwrap(model))}"

    @abstractmethod
    def unwrap(self, model: nn.Module) -> "PreTrainedModel":
        """The transformers model inside :meth:`wrap`'s result."""

    @abstractmethod
    def merged_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Weights of the transformers model by name with the adapters added to them; ``model`` is as wrapped."""

    @abstractmethod
    def disabled(self, model: nn.Module) -> AbstractContextManager[None]:
        """Context in which ``model`` (as wrapped) computes without adapters."""

    def merged(self, model: nn.Module) -> AbstractContextManager[Mapping[nn.Parameter, Tensor]]:  # noqa: ARG002 (there are no adapters)
        """Context for passes without gradient in which ``model`` (as wrapped) computes as fast as without adapters.

        It gives the weights that hold a sum for as long, each with what it held before.
        """
        return contextlib.nullcontext({})

    @abstractmethod
    def snapshot(self, model: nn.Module, name: str = CAPTURED) -> ReferenceSnapshot:
        """A frozen set of what is trained of ``model`` (as wrapped), under a name of its own."""


class FullWeights(Adaptation):
    """Train every weight; the vision tower only with ``freeze_vision_tower`` off."""

    reference_is_base = False

    def freeze(self, model: "PreTrainedModel", *, train_vision: bool) -> None:
        """Freeze the vision tower unless it is trained."""
        model.requires_grad_(requires_grad=True)
        for part in vision_parts(model).values():
            part.requires_grad_(requires_grad=train_vision)
        for router in routers(model).values():
            router.requires_grad_(requires_grad=False)

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

    def snapshot(self, model: nn.Module, name: str = CAPTURED) -> ReferenceSnapshot:  # noqa: ARG002
        """A copy of the model."""
        return ModelSnapshot(self.unwrap(model))


#: No layer of a model is wider.
MAX_RANK = 2**14


@dataclass(eq=False)
class LoRA(Adaptation):
    """Low-rank adapters on the language model's linear layers (arXiv 2106.09685).

    The arguments behind ``target_modules`` are those of PEFT's ``LoraConfig`` of the same names.

    Args:
        rank: Rank r of the update.
        alpha: The update is scaled by alpha / rank, or alpha / √rank with ``use_rslora``.
        dropout: Dropout on the adapters' input while training. Anything but 0 makes the first KL differ from 0, and a
            resumed run differ from an uninterrupted one, as the noise comes from torch's global generator.
        target_modules: Regular expression over module names, or ``all-linear``; None takes every linear layer of the
            language blocks, those of linear attention included, and those of the vision blocks too where the vision
            tower is trained. A frozen vision tower gets no adapters in any case.
        use_rslora: Rank-stabilised scaling (arXiv 2312.03732).
        use_dora: Train the magnitude of each row of a weight apart from its direction (arXiv 2402.09353).
        modules_to_save: Ends of names of modules that are trained whole beside the adapters, such as
            ``multi_modal_projector`` with ``train_vision``. Not those that share weights, such as a tied output head.
        init_lora_weights: ``true`` begins with an update of zero and A as PEFT draws it, ``gaussian`` with A from a
            normal distribution. Ways to begin that change the base weights (``pissa``, ``olora``, …) are refused: the
            reference is the base model.
        experts: Adapt the weights of a mixture's experts too, by PEFT's ``target_parameters``. The update of all
            experts is made whole in every pass, which costs memory of their size. Not with ``use_dora`` or dropout.
    """

    reference_is_base = True
    export_settings: ClassVar[dict[str, Any]] = {"selected_adapters": [TRAINED]}

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    target_modules: str | None = None
    _: KW_ONLY
    use_rslora: bool = False
    use_dora: bool = False
    modules_to_save: Sequence[str] = ()
    init_lora_weights: bool | str = True
    experts: bool = False
    _train_vision: bool = field(default=False, init=False)
    _adapter: AdapterFolder | None = field(default=None, init=False)
    _has_adapters_shape: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.modules_to_save = tuple(self.modules_to_save)
        if not (1 <= self.rank <= MAX_RANK and 0 < self.alpha < math.inf and 0 <= self.dropout < 1):
            msg = (
                f"model.policy.adaptation: rank {self.rank}, alpha {self.alpha}, dropout {self.dropout}; give a rank "
                f"from 1 to {MAX_RANK}, a finite alpha above 0 and a dropout from 0 to below 1"
            )
            raise ConfigError(msg)
        if self.init_lora_weights not in (True, False, "gaussian"):
            msg = (
                f"model.policy.adaptation.init_lora_weights: {self.init_lora_weights} changes the base weights, which "
                "the reference and an exported adapter need as they are: choose true or gaussian"
            )
            raise ConfigError(msg)
        if self.experts and (self.use_dora or self.dropout):
            msg = "model.policy.adaptation.experts: PEFT adapts experts without use_dora and dropout: leave those off"
            raise ConfigError(msg)

    def of_adapter(self, adapter: AdapterFolder, *, is_trained: bool) -> "LoRA":
        """This adaptation, beginning with trained adapters.

        Raises:
            ConfigError: If they are to be trained and have another rank or alpha; layers are compared in :meth:`wrap`.
        """
        changed = copy.copy(self)
        changed._adapter = adapter
        if not is_trained:
            changed._has_adapters_shape = True
            vars(changed).update(adapter.shape)
        for key, there in adapter.shape.items():
            if getattr(changed, key) != there:
                msg = (
                    f"model.policy.adaptation: {key} {getattr(self, key)}, but the adapter {adapter.folder} has "
                    f"{key} {there}; training continues adapters of the same shape only"
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

        from remot.models.lora_products import add_in_products

        targets = self._targets(model)
        _require_own_weights(model, self.modules_to_save, train_vision=self._train_vision)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=targets,
            exclude_modules=vision_pattern(model)
            if targets == self.target_modules and not self._train_vision
            else None,
            bias="none",
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            modules_to_save=list(self.modules_to_save) or None,
            init_lora_weights=self.init_lora_weights,
            target_parameters=_experts_of(model) if self.experts else None,
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
        add_in_products(wrapped)
        return wrapped

    def _targets(self, model: nn.Module) -> str | list[str]:
        """What PEFT is to adapt: a regular expression, or the names of a folder's own layers."""
        if self._adapter is not None and self._has_adapters_shape:
            there = dict(model.named_modules())  # PEFT refuses what is missing
            held = self._adapter.modules
            return sorted(name for name in held if name not in there or isinstance(there[name], nn.Linear))
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
        saved = f", and {', '.join(self.modules_to_save)} whole" if self.modules_to_save else ""
        told = _of_experts(self.unwrap(model), are_adapted=self.experts)
        return f"{type(self).__name__} of rank {self.rank} on {len(layers)} layers: {named}{saved}{told}"

    def unwrap(self, model: nn.Module) -> "PreTrainedModel":
        """The transformers model, adapters inside."""
        return model.get_base_model()  # type: ignore[operator]

    def merged_state(self, model: nn.Module) -> dict[str, Tensor]:
        """W + (alpha / rank) B A in the precision of W, or as DoRA has it; ``model`` itself is left as it is.

        4-bit weights are dequantised to the precision they were loaded in.

        Raises:
            ConfigError: If the weights of an adapted layer belong to another one, too.
        """
        from peft.tuners.lora import LoraLayer

        core = self.unwrap(model)
        state = {
            plain: self._plain_weight(parameter)
            for name, parameter in core.named_parameters()
            if (plain := _plain_name(name)) is not None
        }
        for name, module in core.named_modules():
            if isinstance(module, LoraLayer):
                own = f"{_without_wrappers(name)}.{getattr(module, 'parameter_name', 'weight')}"
                if own not in state:
                    msg = f"{name} has the weights of the embeddings, which cannot take the adapters of an output head"
                    raise ConfigError(msg)
                state[own] = merged_weight(module, state[own]).detach()
        return state

    def _plain_weight(self, weight: nn.Parameter) -> Tensor:
        """A weight as transformers stores it."""
        return weight.detach()

    def disabled(self, model: nn.Module) -> AbstractContextManager[None]:
        """Switch the adapters off."""
        context: AbstractContextManager[None] = model.disable_adapter()  # type: ignore[operator]
        return context

    def merged(self, model: nn.Module) -> AbstractContextManager[Mapping[nn.Parameter, Tensor]]:
        """Adapters added to copies of the weights, where that is exact and cheap."""
        return merged_adapters(model, self.disabled(model))

    def snapshot(self, model: nn.Module, name: str = CAPTURED) -> ReferenceSnapshot:
        """Another set of adapters."""
        return AdapterSnapshot(model, name)


def _without_wrappers(name: str) -> str:
    """The name that a module or parameter has in the transformers model."""
    return re.sub(rf"\.(base_layer|modules_to_save\.{TRAINED})(?=\.|$)", "", name)


def _plain_name(name: str) -> str | None:
    """Name in the transformers model of a parameter of the wrapped one; None for what is not part of it."""
    others = (".lora_", ".original_module.", *(f".modules_to_save.{kept}." for kept in (CAPTURED, AVERAGED)))
    is_other = any(part in name for part in others)
    return None if is_other else _without_wrappers(name)


def _experts_of(model: "PreTrainedModel") -> list[str]:
    """Names of the experts' parameters.

    Raises:
        ConfigError: If there are none that PEFT can adapt.
    """
    found = experts(model)
    if not found:
        msg = (
            f"model.policy.adaptation.experts: {type(model).__name__} has no experts whose weights are one parameter "
            "a layer: leave it off"
        )
        raise ConfigError(msg)
    return found


def _of_experts(model: "PreTrainedModel", *, are_adapted: bool = True) -> str:
    """What is left out of a mixture of experts; empty for a dense model."""
    held = routers(model)
    if not held:
        return ""
    without = "" if are_adapted else "; experts keep their weights, see adaptation.experts"
    return f"; {len(held)} routers are frozen, and no loss balances them{without}"


def _require_own_weights(model: "PreTrainedModel", modules_to_save: Collection[str], *, train_vision: bool) -> None:
    """Refuse modules that are missing, get no gradient, or share weights: only one of the two would be trained."""
    names = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    for wanted in modules_to_save:
        found = {name: module for name, module in model.named_modules() if name.endswith(wanted)}  # as PEFT finds them
        why = "" if found else "is no module of the model"
        if any(names[id(parameter)] > 1 for module in found.values() for parameter in module.parameters()):
            why = "shares its weights with another module"
        if not train_vision and any(re.match(vision_pattern(model), f"{name}.") for name in found):
            why = "is a part of the vision tower, which is frozen unless train_vision is on"
        if why:
            msg = f"model.policy.adaptation.modules_to_save: {wanted} {why}; leave it out"
            raise ConfigError(msg)


def _linear_layers_of(model: "PreTrainedModel", blocks: str) -> str:
    """Regular expression for every linear layer of the model's blocks but routers, as each family names its own."""
    names = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and f".{blocks}." in name and name not in routers(model)
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


@dataclass(eq=False)
class QLoRA(LoRA):
    """LoRA on weights stored in 4-bit NormalFloat (arXiv 2305.14314), by bitsandbytes.

    Args:
        double_quantization: Quantise the quantisation constants too.
        compute_dtype: Precision the 4-bit weights are multiplied in.
    """

    _: KW_ONLY
    double_quantization: bool = True
    compute_dtype: Precision = "bfloat16"

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
            llm_int8_skip_modules=[*(f"model.{part}" for part in VISION_NAMES), "lm_head"],  # starts of modules' names
        )
