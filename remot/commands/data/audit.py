"""``remot data audit``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from remot.commands.data.sources import data_from, data_section
from remot.errors import ConfigError
from remot.strict_json import json_text
from remot.terminal import write_err, write_out

if TYPE_CHECKING:
    from remot.commands.data.audit_table import ProgressBars
    from remot.datatools.audit import Audit

EXIT_UNFIT = 1
#: Prompts of a run that are checked.
NUM_PROMPTS = 2000


def audit_command(
    folder: Path | None = None,
    config: list[Path] | None = None,
    root: str | None = None,
    seed: int | None = None,
    num_triplets: int | None = None,
    split: Literal["train", "val", "test"] = "train",
    format: Literal["table", "json"] = "table",  # noqa: A002 (the name of the option)
) -> None:
    """Check labels, references, right answers and splits; exit status 1 if they are wrong or leak.

    Args:
        folder: Prompts that `remot data build` wrote, or a file of the public ReMoT layout.
        config: Configuration of a run; its data section, root and seed_everything are read. With a folder they are
            used instead of what the folder says it was built with. Given more than once, the later files count.
        root: Folder of annotated clips, instead of the configuration's or the one the folder was built from.
        seed: Seed of the training prompts, instead of the configuration's.
        num_triplets: How many prompts to check; 2000 of a run, all of a folder by default.
        split: Split of a run to take the prompts from.
        format: What to write to the standard output.
    """
    if num_triplets is not None and num_triplets < 1:
        msg = f"--num_triplets {num_triplets}: ask for at least 1"
        raise ConfigError(msg)
    if folder is None and config is None:
        msg = "nothing to audit: give a folder of built prompts, or --config"
        raise ConfigError(msg)
    from remot.commands.data.audit_table import ProgressBars, print_table

    section = None if config is None else data_section(config, root, seed)
    if folder is None and section is not None and section.get("records"):
        folder, section = Path(section["records"]).expanduser(), None
    with ProgressBars() as bars:
        if folder is None:
            from remot.datatools.audit import audit_data

            audit = audit_data(data_from(section or {}), num_triplets or NUM_PROMPTS, split, on_progress=bars.show)
        else:
            audit = _audit_prompts(folder, section, root, num_triplets, bars)
    if format == "json":
        write_out(json_text(audit.record(), indent=2, ensure_ascii=True) + "\n")
    else:
        print_table(audit)
    if audit.faults:
        write_err(f"remot: {'; '.join(audit.faults)}\n")
        sys.exit(EXIT_UNFIT)


def _audit_prompts(
    path: Path, section: dict[str, Any] | None, root: str | None, num_prompts: int | None, bars: "ProgressBars"
) -> "Audit":
    """A folder, or a file: that of a folder, or a published one."""
    from remot.data.records.folder import RECORDS, read_manifest
    from remot.data.records.reading import layout_of
    from remot.datatools.audit import audit_built, audit_released

    if path.is_file() and path.name != RECORDS:
        if layout_of(path) == "questions":
            msg = f"{path} holds questions without annotations, nothing to check answers with; `remot fit` checks rows"
            raise ConfigError(msg)
        return audit_released(path, num_prompts)
    folder = path.parent if path.is_file() else path
    manifest = read_manifest(folder)
    if section is None:
        section = _section_of(folder, manifest, root)
    return audit_built(folder, data_from(section), num_prompts, on_progress=bars.show)


def _section_of(folder: Path, manifest: dict[str, Any], root: str | None) -> dict[str, Any]:
    """The settings a folder was built with. They are untrusted: only this library's classes are loaded.

    Raises:
        ConfigError: If they name others, or a URL.
    """
    from remot.data.remote import is_url

    section = manifest.get("data")
    if not isinstance(section, dict):
        msg = f"{folder} does not say with which settings it was built; give them with --config"
        raise ConfigError(msg)
    for name in _class_paths({key: section.get(key) for key in _SECTIONS}):
        if "." in name and not name.startswith("remot."):
            msg = (
                f"{folder} was built with {name!r:.80}, which is only loaded for a configuration: give it with --config"
            )
            raise ConfigError(msg)
    options = section.get("options")
    if isinstance(options, dict):  # a folder from elsewhere must not choose where files are written
        section = {
            **section,
            "options": {key: options[key] for key in options if key not in ("cache_dir", "cache_bytes")},
        }
    if root is not None:
        return {**section, "root": root}
    noted = manifest.get("root")
    if section.get("root") is not None and isinstance(noted, str):
        section = {**section, "root": noted}
    if is_url(section.get("root")):
        msg = f"{folder} was built from {section['root']:.200}; a URL is only read where it is given: add --root"
        raise ConfigError(msg)
    return section


def _class_paths(value: object, key: str = "class_path") -> Iterator[str]:
    """Names of classes among settings: texts, and what stands under ``class_path``."""
    if isinstance(value, str) and key == "class_path":
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _class_paths(one, key)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _class_paths(one, "class_path" if name in {"class_path", *_SECTIONS} else name)


#: Settings that are classes.
_SECTIONS = ("reader", "tasks", "experts", "negatives", "formats")
