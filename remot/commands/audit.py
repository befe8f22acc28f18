"""``remot data audit``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import yaml
from jsonargparse import ArgumentParser

from remot.commands.messages import explain
from remot.errors import ConfigError

if TYPE_CHECKING:
    from remot.data.datamodule import TripletDataModule

EXIT_UNFIT = 1


class AuditParser(ArgumentParser):
    """Parser that raises one sentence instead of printing its usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Turn the parser's complaint into a sentence with a suggestion.

        Raises:
            ConfigError: Always.
        """
        types = {action.dest: getattr(action, "_typehint", None) for action in self._actions}
        raise ConfigError(explain(str(message), types, types)) from ex


def run_audit(args: list[str]) -> None:
    """Parse ``args`` and audit.

    The other commands' parser keeps an option called config for itself, so this one has its own.
    """
    parser = AuditParser(prog="remot data audit", description=(audit_command.__doc__ or "").split("\n", 1)[0])
    parser.add_function_arguments(audit_command, as_group=False, as_positional=False)
    audit_command(**vars(parser.parse_args(args)))


def audit_command(
    config: Path,
    root: str | None = None,
    seed: int | None = None,
    num_triplets: int = 2000,
    split: Literal["train", "val", "test"] = "train",
    format: Literal["table", "json"] = "table",  # noqa: A002 (the name of the option)
) -> None:
    """Check the labels, letters and splits a run would get; exit status 1 if they are wrong or leak.

    Args:
        config: Configuration of the run; only its data section, root and seed_everything are read.
        root: Folder of annotated clips, instead of the configuration's.
        seed: Seed of the training prompts, instead of the configuration's.
        num_triplets: How many prompts to check.
        split: Split to take the prompts from.
        format: What to write to the standard output.
    """
    from remot.commands.audit_table import ProgressBars, print_table
    from remot.data.audit import audit_data

    data = read_data(config, root, seed)
    with ProgressBars() as bars:
        audit = audit_data(data, num_triplets, split, progress=bars.show)
    if format == "json":
        sys.stdout.write(json.dumps(audit.record(), indent=2, allow_nan=False) + "\n")
    else:
        print_table(audit)
    if audit.faults:
        sys.stderr.write(f"remot: {'; '.join(audit.faults)}\n")
        sys.exit(EXIT_UNFIT)


def read_data(config: Path, root: str | None = None, seed: int | None = None) -> "TripletDataModule":
    """The data module a configuration file describes.

    Args:
        config: Configuration of a run, in YAML.
        root: Folder of clips, instead of the file's.
        seed: Seed of the training prompts, instead of the file's.

    Raises:
        ConfigError: If the file cannot be read, or a key or value of its data section does not fit.
    """
    from remot.commands.quiet import quiet_lightning
    from remot.data.datamodule import TripletDataModule

    quiet_lightning()
    parser = AuditParser(prog="remot data audit")
    parser.add_class_arguments(TripletDataModule, "data")
    settings = parser.parse_object({"data": _data_section(config, root, seed)})
    # jsonargparse 4.49 gave instantiate_classes a new name and warns of the old one
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
    data: TripletDataModule = instantiate(settings).data
    return data


def _data_section(config: Path, root: str | None, seed: int | None) -> dict[str, Any]:
    """The data section, completed as ``remot fit`` does from ``root`` and ``seed_everything``."""
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        msg = f"the configuration {config} cannot be read: {' '.join(str(error).split())}"
        raise ConfigError(msg) from error
    section = {} if not isinstance(content, dict) else content.get("data") or {}
    if not isinstance(content, dict) or not isinstance(section, dict):
        msg = f"the configuration {config} is no mapping with a data section that is one; see configs/quickstart.yaml"
        raise ConfigError(msg)
    chosen_root = content.get("root") if root is None else root
    chosen_seed = content.get("seed_everything") if seed is None else seed
    completed = dict(section)
    if chosen_root is not None:
        completed["root"] = chosen_root
    if chosen_seed is not None:  # true and false leave the choice of the seed open, which `remot fit` takes as 0
        completed["seed"] = 0 if isinstance(chosen_seed, bool) else chosen_seed
    return completed
