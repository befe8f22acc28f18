"""Weights of a policy as files that transformers and PEFT load."""

from pathlib import Path
from typing import TYPE_CHECKING

from remot.models.adapter_folder import write_record
from remot.models.sharding import full_state

if TYPE_CHECKING:
    from remot.models.policy import VLMPolicy


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
        folder.mkdir(parents=True, exist_ok=True)
        policy.model.save_pretrained(folder, **settings)  # type: ignore[operator]
        policy.processor.save_pretrained(folder)
        if step is not None:
            write_record(folder, policy.source.record_name, step)
    return folder


def save_merged(policy: "VLMPolicy", folder: Path, *, is_writer: bool = True) -> Path:
    """Write full weights with the adapters added to them, and the processor; arguments as of :func:`save_trained`.

    Raises:
        ConfigError: If the weights are quantised.
    """
    with policy.gathered():
        if is_writer:
            folder.mkdir(parents=True, exist_ok=True)
            policy.core.save_pretrained(folder, state_dict=policy.adaptation.merged_state(policy.model))
            policy.processor.save_pretrained(folder)
    return folder
