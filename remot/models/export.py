"""Weights of a policy as files that transformers and PEFT load."""

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from remot.errors import CheckpointError, ConfigError
from remot.files import cause_of
from remot.locks import staged
from remot.models.adapter_folder import CONFIG_FILE, write_record
from remot.models.inputs.chat_template import render_prompt
from remot.models.loading import EMBEDDED_MODELS, ModelSource
from remot.models.sharding import full_state
from remot.strict_json import json_text

if TYPE_CHECKING:
    from transformers import BatchFeature, PreTrainedModel

    from remot.models.policy import VLMPolicy

#: The image and the question that an export is compared with the policy on; any will do, as all weights take part.
_PROBE_TEXT, _PROBE_SIZE = "Which way did the camera turn?", (112, 84)


@dataclass(frozen=True)
class ExportCheck:
    """An export computed by transformers and PEFT alone, beside the policy it was made from.

    Args:
        max_difference: Largest absolute difference of a logit.
        max_logit: Largest absolute logit of the policy, as a scale.
        num_positions: Positions of the prompt that were compared, each over the whole vocabulary.
    """

    max_difference: float
    max_logit: float
    num_positions: int


def save_trained(policy: "VLMPolicy", folder: Path, *, step: int | None = None, is_writer: bool = True) -> Path:
    """Write adapters, or full weights, and processor as safetensors.

    Args:
        policy: The policy.
        folder: Made if it does not exist.
        step: Optimiser step, written to ``remot.json`` with the base model's name; None writes no such file.
        is_writer: False for all processes but one; where weights are sharded, all of them must call this.
    """
    settings = dict(policy.adaptation.export_settings)
    if policy.sharding is not None:
        settings["state_dict"] = full_state(policy.model, trained_only=policy.adaptation.reference_is_base)
    if is_writer:
        with _written(folder) as stage:
            policy.model.save_pretrained(stage, **settings)  # type: ignore[operator]
            policy.processor.save_pretrained(stage)
            if step is not None:
                base = policy.source.base
                # A name by which the base model is found from any folder.
                write_record(stage, base if base in EMBEDDED_MODELS else policy.source.resolve(), step)
    return folder


@contextmanager
def _written(folder: Path) -> Iterator[Path]:
    """:func:`staged`, with an error that names what to do.

    Raises:
        CheckpointError: If the disk does not take it.
    """
    try:
        with staged(folder) as stage:
            yield stage
    except (OSError, SafetensorError) as error:
        later = "to export it later: remot export --ckpt_path …/last.ckpt --out …"
        msg = f"the policy could not be written to {folder}: {cause_of(error)}; {later}"
        raise CheckpointError(msg) from error


def save_merged(policy: "VLMPolicy", folder: Path, *, is_writer: bool = True) -> Path:
    """Write full weights with the adapters added to them, and the processor; arguments as of :func:`save_trained`.

    4-bit weights are dequantised first, to the precision they were loaded in.
    """
    with policy.gathered():
        if is_writer:
            state = policy.adaptation.merged_state(policy.model)
            with _written(folder) as stage:
                _plain_shell(policy.core, state).save_pretrained(stage, state_dict=state)
                policy.processor.save_pretrained(stage)
    return folder


def _plain_shell(core: "PreTrainedModel", state: dict[str, torch.Tensor]) -> "PreTrainedModel":
    """A model without weights, quantisation and wrapped experts; ``core`` itself if it has none of these."""
    is_quantised = getattr(core.config, "quantization_config", None) is not None
    if not is_quantised and not any(hasattr(module, "parameter_name") for module in core.modules()):
        return core
    settings = core.config.to_dict()
    settings.pop("quantization_config", None)
    config = type(core.config).from_dict(settings)
    config.dtype = next(iter(state.values())).dtype
    with torch.device("meta"):
        shell = type(core)(config)
    shell.generation_config = core.generation_config
    return shell


def published_base(source: ModelSource, base_name: str | None = None) -> str:
    """The name by which others find the base model of an adapter.

    Args:
        source: What the policy was loaded from.
        base_name: The name to use, such as ``Qwen/Qwen3-VL-4B-Instruct``; None for the one that can be found out.

    Raises:
        ConfigError: If the base model is a folder on this machine whose name on the hub is not known.
    """
    base = source.base
    if base_name is not None:
        return base_name
    if base in EMBEDDED_MODELS or not Path(base).is_dir():
        return base
    cached = next((part for part in Path(base).resolve().parts if part.startswith("models--")), None)
    if cached is not None:  # a snapshot in the hub's cache: models--ORG--NAME/snapshots/…
        return cached.removeprefix("models--").replace("--", "/")
    msg = f"the base model is the folder {base}, which others do not have: give its name on the hub by --base_name"
    raise ConfigError(msg)


def name_base(folder: Path, base: str, step: int | None) -> None:
    """Let an exported adapter name its base model by ``base`` in place of a path of this machine."""
    file = folder / CONFIG_FILE
    settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = base
    file.write_text(json_text(settings, indent=2) + "\n", encoding="utf-8")
    write_record(folder, base, step)


def check_export(policy: "VLMPolicy", folder: Path, *, is_adapter: bool) -> ExportCheck:
    """Load an export with transformers and PEFT alone and compare its logits on one image and one question.

    Args:
        policy: What the export was made from.
        folder: The export.
        is_adapter: It is an adapter on the policy's base model, not a whole model.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    probe = _probe(AutoProcessor.from_pretrained(folder, local_files_only=True)).to(policy.device)
    taken = inspect.signature(policy.core.forward).parameters.keys() - {"labels"}
    inputs = {name: tensor for name, tensor in probe.items() if name in taken}
    with torch.no_grad():
        expected = policy.core(**inputs).logits.float()  # [1, L, V]
    name = policy.source.resolve() if is_adapter else str(folder)
    dtype = next(weight.dtype for weight in policy.core.parameters() if weight.is_floating_point())
    quantization = policy.adaptation.quantization_config() if is_adapter else None
    model: Any = AutoModelForImageTextToText.from_pretrained(
        name, dtype=dtype, quantization_config=quantization, local_files_only=True, use_safetensors=True
    )
    if is_adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, folder)
    with torch.no_grad():
        found = model.to(policy.device).eval()(**inputs).logits.float()  # [1, L, V]
    return ExportCheck(float((found - expected).abs().max()), float(expected.abs().max()), expected.shape[1])


def _probe(processor: Any) -> "BatchFeature":  # noqa: ANN401 (transformers' processors share no useful type)
    """One image, a colour gradient, and one question as inputs of a model."""
    from PIL import Image

    width, height = _PROBE_SIZE
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    content = [{"type": "image"}, {"type": "text", "text": _PROBE_TEXT}]
    text = render_prompt(processor, [{"role": "user", "content": content}])
    inputs: BatchFeature = processor(text=[text], images=[image], return_tensors="pt", return_mm_token_type_ids=True)
    return inputs
