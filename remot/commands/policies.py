"""The policy that a command works with: a model, an adapter, or the weights of a run's checkpoint."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remot.commands.parsing.config_files import Configs, read_configs
from remot.commands.parsing.functions import OwnParser, instantiated
from remot.commands.training.checks import require_checkpoint
from remot.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from remot.models.policy import VLMPolicy
    from remot.strategies.settings import PolicySettings

#: Classes that a checkpoint's own configuration may name: importing others could run the code of a stranger.
_OWN_ADAPTATIONS = frozenset({"FullWeights", "LoRA", "QLoRA"})
#: Folders that ``fit`` leaves in a run's folder; what lies beside any other model belongs to something else.
FIT_EXPORTS = ("adapter", "policy")


@dataclass(frozen=True)
class OpenedPolicy:
    """A policy that is not trained further.

    Args:
        policy: In evaluation mode.
        weights: Which weights it has, in words.
        step: Optimizer step they are of, None if unknown.
        config: The configuration of the run they are of, empty if unknown.
        run_folder: Where that run keeps its results, None if unknown.
        settings: What it was loaded by.
    """

    policy: "VLMPolicy"
    weights: str
    step: int | None
    config: dict[str, Any]
    run_folder: Path | None
    settings: "PolicySettings"


def open_policy(model: str | None = None, ckpt_path: Path | None = None, config: Configs = None) -> OpenedPolicy:
    """Load a policy.

    Args:
        model: A name or a folder, also one of adapters; None for what ``config`` or the checkpoint names.
        ckpt_path: Checkpoint of a run, whose trained weights are loaded over the base model's.
        config: Configuration whose ``model.policy`` is used; None for the one that the checkpoint holds.

    Raises:
        ConfigError: If neither a model, a checkpoint nor a configuration is given, or a setting does not fit.
        CheckpointError: If weights are not there or not of this model.
    """
    if model is None and ckpt_path is None and config is None:
        msg = "give --model NAME_OR_FOLDER or --ckpt_path FILE"
        raise ConfigError(msg)
    held = None if ckpt_path is None else read_trained(ckpt_path)
    settings = read_configs(config) if config is not None else own_config(held, ckpt_path)
    loaded = policy_settings(settings, model)
    policy = loaded.load(with_reference=False, with_snapshot=False, is_trained=held is not None)
    if held is None:
        from remot.models.adapter_folder import read_record
        from remot.models.loading import describe_weights

        folder = Path(loaded.source.pretrained)
        step = read_record(folder).get("step")
        run_folder = folder.parent if step is not None and folder.name in FIT_EXPORTS else None
        return OpenedPolicy(policy, describe_weights(loaded.source), step, settings, run_folder, loaded)
    assert ckpt_path is not None
    load_trained(policy, held)
    step = held.get("global_step")
    weights = f"{policy.base_name} + checkpoint {ckpt_path}, step {step}"
    return OpenedPolicy(policy, weights, step, settings, ckpt_path.parent, loaded)


def read_trained(ckpt_path: Path) -> dict[str, Any]:
    """What the checkpoint of a run holds.

    Raises:
        CheckpointError: If there is none, or it is damaged.
    """
    require_checkpoint(ckpt_path)
    from remot.strategies.checkpoint_io import read_checkpoint

    return read_checkpoint(ckpt_path)


def own_config(held: dict[str, Any] | None, ckpt_path: Path | None) -> dict[str, Any]:
    """The configuration that a checkpoint holds; empty without one.

    Raises:
        CheckpointError: If it holds none, or one that names classes of others.
    """
    from remot.tracking import CONFIG_KEY

    if held is None:
        return {}
    try:
        config = json.loads(held[CONFIG_KEY])
        policy = config["model"]["policy"]
        adaptation = policy.get("adaptation") or {}
        named = adaptation.get("class_path", "LoRA")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        msg = f"the checkpoint {ckpt_path} does not hold its configuration: give the run's by --config"
        raise CheckpointError(msg) from error
    package, _, name = named.rpartition(".")
    if name not in _OWN_ADAPTATIONS or package not in ("", "remot", "remot.models", "remot.models.adapters"):
        msg = f"the checkpoint {ckpt_path} names the adaptation {named!r:.80}: give the run's configuration by --config"
        raise CheckpointError(msg)
    own: dict[str, Any] = config
    return own


def policy_settings(settings: Mapping[str, Any], model: str | None = None) -> "PolicySettings":
    """The policy of a run's configuration, with another model if one is named.

    Raises:
        ConfigError: If a setting does not fit.
    """
    from remot.commands.environment import quiet_libraries
    from remot.strategies.settings import PolicySettings

    quiet_libraries()
    section = settings.get("model")
    policy: dict[str, Any] = deepcopy((section if isinstance(section, dict) else {}).get("policy") or {})
    if model is not None:
        policy["source"] = {**(policy.get("source") or {}), "pretrained": model}
    parser = OwnParser(prog="remot")
    parser.add_argument("--model.policy", type=PolicySettings)
    parsed: PolicySettings = instantiated(parser, parser.parse_object({"model": {"policy": policy}})).model.policy
    return parsed


def load_trained(policy: "VLMPolicy", held: Mapping[str, Any]) -> None:
    """Copy the trained weights of a checkpoint into the policy.

    Raises:
        CheckpointError: If they are not those of this policy.
    """
    from remot.strategies.checkpoint import require_same, shapes_of

    facts = held.get("remot") or {}
    prefix = "policy."
    state = {name: value for name, value in held.get("state_dict", {}).items() if name.startswith(prefix)}
    here = {f"{prefix}{name}": list(policy.get_parameter(name).shape) for name in policy.trained_names}
    there = facts.get("trained") or shapes_of(state)
    require_same(facts.get("base_model", policy.base_name), there, policy.base_name, here)
    trained = {name.removeprefix(prefix): state[name] for name in here if name in state}
    if missing := sorted(here.keys() - state.keys()):
        msg = f"the checkpoint lacks {len(missing)} of the {len(here)} tensors it names, such as {missing[0]}"
        raise CheckpointError(msg)
    policy.load_state_dict(trained, strict=False)
