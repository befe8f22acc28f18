"""A folder of trained adapters, as PEFT and this library write them: checked first, then loaded."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remot.errors import CheckpointError, ConfigError
from remot.files import cause_of, read_bounded, require_regular
from remot.strict_json import json_text

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG_FILE, TENSOR_FILE = "adapter_config.json", "adapter_model.safetensors"
#: What this library writes beside exported weights: the base model's name and the optimiser step.
RECORD_FILE = "remot.json"
#: Largest JSON file that is read here; PEFT's own have some kilobytes.
MAX_JSON_BYTES = 1 << 20
#: Largest rank and alpha; whole numbers of JSON may be too large for any other.
MAX_NUMBER = 1e9
#: Keys of PEFT's configuration that this library reads, or that change no log-probability.
_READ = {"peft_type", "base_model_name_or_path", "r", "lora_alpha", "use_rslora", "use_dora", "modules_to_save"}
_READ |= {"target_parameters"}
_NEUTRAL = {
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "lora_dropout", "inference_mode"),
    *("task_type", "auto_mapping", "revision", "peft_version", "megatron_core", "runtime_config"),
}
#: Values that are as good as PEFT's default; other ways to begin, such as pissa, change the base model's weights.
_UNSET: tuple[Any, ...] = (None, False, [], {}, "gaussian")
_PREFIX, _SUFFIXES = "base_model.model.", (".lora_A.weight", ".lora_B.weight")
_DORA_SUFFIX = ".lora_magnitude_vector"
#: Names in an error message.
_NUM_NAMED = 3


@dataclass(frozen=True)
class AdapterFolder:
    """What a folder of LoRA adapters holds."""

    folder: Path
    base: str  # the model below: a name inside the package, a folder or a hub name
    rank: int
    alpha: float  # the update is scaled by alpha / rank
    step: int | None  # optimiser step at which it was saved, None if unknown
    modules: frozenset[str]  # names of the adapted layers in the transformers model
    use_rslora: bool = False
    use_dora: bool = False
    modules_to_save: tuple[str, ...] = ()  # trained whole
    experts: bool = False  # the weights of experts are adapted too

    @property
    def shape(self) -> "dict[str, Any]":
        """What a :class:`remot.models.adapters.LoRA` that continues it has to have, by its arguments' names."""
        named = ("rank", "alpha", "use_rslora", "use_dora", "experts")
        return {name: getattr(self, name) for name in named} | {"modules_to_save": self.modules_to_save}

    def tensors(self) -> "dict[str, Tensor]":
        """The tensors by PEFT's names."""
        from safetensors.torch import load_file

        held: dict[str, Tensor] = load_file(self.folder / TENSOR_FILE)
        return held

    def load_into(self, model: "nn.Module", adapter_name: str) -> None:
        """Copy the tensors into the adapters ``adapter_name`` of PEFT's ``model``.

        Raises:
            CheckpointError: If tensors are missing, unknown to the model, of another shape, or not finite.
        """
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        wanted = get_peft_model_state_dict(model, adapter_name=adapter_name, save_embedding_layers=False)
        held = self.tensors()
        what = f"the tensors of the adapter {self.folder}"
        require_same_names(what, held.keys() - wanted.keys(), wanted.keys() - held.keys())
        for name, tensor in held.items():
            if tensor.shape != wanted[name].shape:
                msg = (
                    f"the adapter {self.folder} does not fit {self.base}: {name} has the shape {list(tensor.shape)}, "
                    f"the model needs {list(wanted[name].shape)}"
                )
                raise CheckpointError(msg)
            if not bool(tensor.isfinite().all()):
                msg = f"the adapter {self.folder} is not usable: {name} has values that are not finite"
                raise CheckpointError(msg)
        set_peft_model_state_dict(model, held, adapter_name=adapter_name)


def require_same_names(what: str, unexpected: Collection[str], missing: Collection[str]) -> None:
    """Refuse weights that leave part of a model random, or that belong to another one.

    Raises:
        CheckpointError: If there are ``unexpected`` names, which the model lacks, or ``missing`` ones; names ``what``.
    """
    kinds = [("missing", missing), ("unknown to the model", unexpected)]
    parts = [f"{len(names)} tensors are {kind} ({_some(names)})" for kind, names in kinds if names]
    if parts:
        msg = f"{what} do not fit the model: {', '.join(parts)}; check that the files are complete"
        raise CheckpointError(msg)


def _some(names: Collection[str]) -> str:
    named = ", ".join(name if name.isprintable() else ascii(name) for name in sorted(names)[:_NUM_NAMED])
    return f"{named}, …" if len(names) > _NUM_NAMED else named


def read_adapter(folder: Path) -> AdapterFolder | None:
    """The adapters of ``folder`` as its configuration describes them; None if it holds none.

    Raises:
        CheckpointError: If files are damaged, missing, or not LoRA's.
        ConfigError: If the adapters are of a kind that this library does not compute.
    """
    if not (folder / CONFIG_FILE).is_file():
        return None
    config = _read_json(folder / CONFIG_FILE)
    if config is None:
        msg = f"{folder / CONFIG_FILE} is no JSON object of at most {MAX_JSON_BYTES} bytes"
        raise CheckpointError(msg)
    _require_plain_lora(config, folder)
    record = read_record(folder)
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base or not base.isprintable():
        msg = f"{folder / CONFIG_FILE} names no base model: set base_model_name_or_path"
        raise CheckpointError(msg)
    saved = _names(config, "modules_to_save", folder)
    rank = _number(config, "r", int, folder)
    return AdapterFolder(
        folder=folder,
        base=record.get("base_model", base),
        rank=rank,
        alpha=_number(config, "lora_alpha", (int, float), folder),
        step=record.get("step"),
        modules=_adapted_modules(folder, rank, saved, has_dora=bool(config.get("use_dora"))),
        use_rslora=bool(config.get("use_rslora")),
        use_dora=bool(config.get("use_dora")),
        modules_to_save=saved,
        experts=bool(_names(config, "target_parameters", folder)),
    )


def read_record(folder: Path) -> dict[str, Any]:
    """``base_model`` and ``step`` of :data:`RECORD_FILE` as far as they are there and sound."""
    held = _read_json(folder / RECORD_FILE) or {}
    record: dict[str, Any] = {}
    base, step = held.get("base_model"), held.get("step")
    if isinstance(base, str) and base.isprintable() and base:
        record["base_model"] = base
    if isinstance(step, int) and not isinstance(step, bool) and step >= 0:
        record["step"] = step
    return record


def write_record(folder: Path, base_model: str, step: int | None) -> None:
    """Write :data:`RECORD_FILE`."""
    record = json_text({"base_model": base_model} | ({} if step is None else {"step": step}))
    (folder / RECORD_FILE).write_text(record + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None if there is none, or a larger file."""
    try:
        held = json.loads(read_bounded(path, MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def _require_plain_lora(config: Mapping[str, Any], folder: Path) -> None:
    """W + (alpha / rank) B A of every named layer and nothing else.

    PEFT's configuration grows with every version, so that what is not known here has to have PEFT's default.
    """
    from peft import LoraConfig

    if config.get("peft_type") != "LORA":
        msg = f"{folder} holds adapters of the type {config.get('peft_type')!r}; this library loads LORA"
        raise ConfigError(msg)
    defaults = LoraConfig().to_dict()
    for key, value in config.items():
        if key in _READ | _NEUTRAL or value in _UNSET or value == defaults.get(key):
            continue
        msg = f"the adapter {folder} sets {key}: {str(value)[:40]}, which this library cannot load; merge it with PEFT"
        raise ConfigError(msg)


def _number(config: Mapping[str, Any], key: str, kind: Any, folder: Path) -> Any:  # noqa: ANN401
    value = config.get(key)
    if not isinstance(value, kind) or isinstance(value, bool) or not 0 < value <= MAX_NUMBER:
        given = str(value)[:40]
        msg = f"{folder / CONFIG_FILE}: {key} must be a positive number of at most {MAX_NUMBER:g}, got {given!r}"
        raise CheckpointError(msg)
    return value


def _names(config: Mapping[str, Any], key: str, folder: Path) -> tuple[str, ...]:
    """A list of names, none if it is not there."""
    held = config.get(key) or []
    if not isinstance(held, list) or not all(isinstance(name, str) and name.isprintable() for name in held):
        msg = f"{folder / CONFIG_FILE}: {key} must be a list of names, got {str(held)[:40]!r}"
        raise CheckpointError(msg)
    return tuple(held)


def _adapted_modules(folder: Path, rank: int, saved: Collection[str] = (), *, has_dora: bool = False) -> frozenset[str]:
    """Layers by the names of the tensors: ``target_modules`` may be any regular expression, and is not evaluated.

    Their rank is compared with the configuration's before anything of that size is made.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / TENSOR_FILE
    try:
        require_regular(path)  # the library would wait for a pipe
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            rows = {name: file.get_slice(name).get_shape()[:1] for name in names if name.endswith(_SUFFIXES[0])}
    except (OSError, SafetensorError) as error:
        msg = f"cannot read {path}: {cause_of(error)}"
        raise CheckpointError(msg) from error
    for name, held in rows.items():
        if not held or held[0] % rank:  # experts have as many rows each
            msg = f"{folder / CONFIG_FILE}: r is {rank}, but {name[:80]!r} has {held[0] if held else 'no'} rows"
            raise CheckpointError(msg)
    found: dict[str, set[str]] = {}
    suffixes = (*_SUFFIXES, _DORA_SUFFIX) if has_dora else _SUFFIXES
    for name in names:
        if ".lora_" not in name and any(f"{end}." in name for end in saved):
            continue  # of a module that is trained whole
        suffix = next((suffix for suffix in suffixes if name.endswith(suffix)), None)
        if suffix is None or not name.startswith(_PREFIX):
            msg = f"{path} holds {name[:80]!r}, which is no weight of LoRA on a linear layer"
            raise CheckpointError(msg)
        found.setdefault(name.removeprefix(_PREFIX).removesuffix(suffix), set()).add(suffix)
    alone = [module for module, held in found.items() if len(held) < len(suffixes)]
    if alone or not found:
        msg = (
            f"{path} is not complete: {len(alone)} of {len(found)} layers lack some of their matrices ({_some(alone)})"
        )
        raise CheckpointError(msg)
    return frozenset(found)
