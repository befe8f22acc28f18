"""``remot data audit``."""

import json
import sys
from pathlib import Path
from typing import Literal

from remot.commands.audit_table import ProgressBars, print_table
from remot.commands.sources import data_from, read_data
from remot.errors import ConfigError

EXIT_UNFIT = 1


def audit_command(
    folder: Path | None = None,
    config: Path | None = None,
    root: str | None = None,
    seed: int | None = None,
    num_triplets: int | None = None,
    split: Literal["train", "val", "test"] = "train",
    format: Literal["table", "json"] = "table",  # noqa: A002 (the name of the option)
) -> None:
    """Check labels, right answers and splits; exit status 1 if they are wrong or leak.

    Args:
        folder: Prompts that `remot data build` wrote, or a file of the public ReMoT layout.
        config: Configuration of a run, if no folder is given; its data section, root and seed_everything are read.
        root: Folder of annotated clips, instead of the configuration's or the one the folder was built from.
        seed: Seed of the training prompts, instead of the configuration's.
        num_triplets: How many prompts to check; 2000 of a run, all of a folder by default.
        split: Split of a run to take the prompts from.
        format: What to write to the standard output.
    """
    from remot.data.audit import audit_built, audit_data, audit_released
    from remot.data.manifest import read_manifest

    with ProgressBars() as bars:
        if folder is None:
            if config is None:
                msg = "nothing to audit: give a folder of built prompts, or --config"
                raise ConfigError(msg)
            audit = audit_data(read_data(config, root, seed), num_triplets or 2000, split, progress=bars.show)
        elif folder.is_file():
            audit = audit_released(folder, num_triplets)
        else:
            section = dict(read_manifest(folder)["data"])
            data = data_from(section if root is None else section | {"root": root})
            audit = audit_built(folder, data, num_triplets, progress=bars.show)
    if format == "json":
        sys.stdout.write(json.dumps(audit.record(), indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    else:
        print_table(audit)
    if audit.faults:
        sys.stderr.write(f"remot: {'; '.join(audit.faults)}\n")
        sys.exit(EXIT_UNFIT)
