"""The prompts of a configuration, for commands that need no trainer."""

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from remot.commands.parsing.config_files import Configs, named, read_configs
from remot.commands.parsing.functions import OwnParser, instantiated
from remot.errors import ConfigError

if TYPE_CHECKING:
    from remot.data.prompt_data import PromptData


def read_data(
    config: Configs, root: str | None = None, seed: int | None = None, on_bad_clip: str | None = None
) -> "PromptData":
    """The prompts a configuration describes; arguments and errors are those of :func:`data_section`."""
    return data_from(data_section(config, root, seed, on_bad_clip))


def data_from(section: dict[str, Any], kind: "type[PromptData] | None" = None) -> "PromptData":
    """The prompts of a ``data`` section, as a ``kind`` of prompt data.

    Raises:
        ConfigError: If a key or value does not fit.
    """
    from remot.data.prompt_data import PromptData

    parser = OwnParser(prog="remot data")
    parser.add_class_arguments(kind or PromptData, "data")
    data: PromptData = instantiated(parser, parser.parse_object({"data": deepcopy(section)})).data
    return data


def data_section(
    config: Configs, root: str | None = None, seed: int | None = None, on_bad_clip: str | None = None
) -> dict[str, Any]:
    """The data section, completed as ``remot fit`` does from ``root`` and ``seed_everything``.

    Raises:
        ConfigError: If the file cannot be read or holds no such section.
    """
    content = read_configs(config)
    section = content.get("data") or {}
    if not isinstance(section, dict):
        msg = f"the data section of {named(config)} has to be a mapping of settings; see configs/quickstart.yaml"
        raise ConfigError(msg)
    completed: dict[str, Any] = deepcopy(section)
    # a single recording can be looked at; training asks for more
    options: dict[str, Any] = {"require_splits": False} | (completed.get("options") or {})
    chosen_root = content.get("root") if root is None else root
    chosen_seed = content.get("seed_everything") if seed is None else seed
    if chosen_root is not None:
        completed["root"] = chosen_root
    if chosen_seed is not None:  # true and false leave the choice of the seed open, which `remot fit` takes as 0
        options["seed"] = 0 if isinstance(chosen_seed, bool) else chosen_seed
    if on_bad_clip is not None:
        options["on_bad_clip"] = on_bad_clip
    return completed | {"options": options}
