"""``remot data validate`` and ``remot data schema``."""

import sys
from importlib.resources import files
from pathlib import Path
from typing import Literal

from remot.commands.data.sources import data_from, data_section
from remot.commands.parsing.functions import ClassWords, object_from
from remot.errors import ConfigError
from remot.files import count_clutter
from remot.strict_json import json_text
from remot.terminal import console, write_out


def validate_command(
    root: str | None = None,
    config: list[Path] | None = None,
    reader: ClassWords = [],  # noqa: B006 - never changed
    decode: bool = True,  # noqa: FBT001, FBT002 (an option)
    format: Literal["text", "json"] = "text",  # noqa: A002 (the name of the option)
) -> None:
    """Check every clip below a folder: its annotation, its media, and what can be asked about it.

    Ends with exit code 1 if a clip is bad.

    Args:
        root: Folder of the annotated clips; the configuration's by default.
        config: Configuration whose reader, experts and tasks are used; the native format and the default experts
            otherwise. Given more than once, the later files count.
        reader: Class of the annotation format, instead of the configuration's; its settings are --reader.KEY VALUE.
        decode: Decode every annotated frame; false only compares times, which is quick.
        format: What to write to the standard output.
    """
    from rich.progress import Progress

    if root is None and config is None:
        msg = "nothing to validate: give a folder of annotated clips"
        raise ConfigError(msg)
    from remot.data.annotations.base import AnnotationReader
    from remot.datatools.validation import Validation, check_clips, scenes_by_split

    data = data_from(data_section(config, root))
    _require_clips(data.root)
    chosen: AnnotationReader = object_from(reader, "reader", AnnotationReader, "remot data validate") or data.reader
    checked = []
    with Progress(console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("checking clips", total=len(chosen.sources(data.root)))
        for one in check_clips(chosen, data.root, data.tasks, decode=decode):
            checked.append(one)
            bar.update(task, advance=1)
    record = Validation(
        checked,
        num_prompts=data.num_train_prompts_per_epoch,
        num_skipped_files=count_clutter(data.root),
        scenes=scenes_by_split(checked, data.val_fraction, data.test_fraction, data.options.held_out_seed),
    )
    write_out(json_text(record.summary(), indent=2, ensure_ascii=True) + "\n" if format == "json" else record.as_text())
    if any(one.fault for one in checked):
        sys.exit(1)


def _require_clips(root: Path) -> None:
    """Refuse what holds prompts, not clips."""
    from remot.data.records.folder import MANIFEST, RECORDS

    if root.is_file():
        msg = f"{root} is a file: give the folder of annotated clips; prompts are checked by remot data audit {root}"
        raise ConfigError(msg)
    if (root / RECORDS).is_file() and (root / MANIFEST).is_file():
        msg = f"{root} holds built prompts, which are checked by: remot data audit {root}"
        raise ConfigError(msg)


def schema_command() -> None:
    """Print the JSON Schema (draft 2020-12) of the native clip format.

    Editors and other languages check clips with it while they are written. It cannot see how lists and files fit
    together: ``remot data validate`` does.
    """
    write_out(schema_text())


def schema_text() -> str:
    """The JSON Schema of the native clip format."""
    return (files("remot") / "assets" / "clip.schema.json").read_text(encoding="utf-8")
