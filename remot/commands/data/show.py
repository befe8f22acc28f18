"""``remot data show``."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from remot.errors import ConfigError
from remot.files import cause_of, write_whole
from remot.terminal import write_out

if TYPE_CHECKING:
    from remot.datatools.contact_sheets import SheetRow

#: Most prompts on a sheet, by its kind: a browser or an image viewer has to open it.
MAX_ROWS = {".html": 1000, ".png": 500}


def show_command(  # noqa: PLR0913 - the options of the command
    folder: Path | None = None,
    out: Path | None = None,
    num_rows: int = 48,
    domain: str | None = None,
    attribute: str | None = None,
    config: list[Path] | None = None,
    root: str | None = None,
    seed: int | None = None,
    split: Literal["train", "val", "test"] = "train",
    task: str | None = None,
) -> None:
    """Write a contact sheet of prompts: images, labels or references, question and right answer.

    Args:
        folder: What `remot data build` wrote.
        out: The sheet, .html or .png; sheet.html in the folder, or here, by default.
        num_rows: How many prompts to show at most; of a folder drawn at random, of a run the first ones.
        domain: Show this domain only.
        attribute: Show this attribute of triplets only.
        config: Configuration of a run, instead of a folder; its data section, root and seed_everything are read. Given
            more than once, the later files count.
        root: Folder of annotated clips, instead of the configuration's.
        seed: Seed of the training prompts, instead of the configuration's.
        split: Split of a run to take the prompts from.
        task: Show this task only, by its name.
    """
    out = _checked_out(folder, out, num_rows)
    if folder is None:
        rows, title = _rows_of_run(config, root, seed, (split, num_rows, domain, task or attribute))
    else:
        rows, title = _rows_of_folder(folder, num_rows, domain, task or attribute)
    from remot.datatools.contact_sheets import html_sheet, png_sheet

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".html":
            write_whole(out, html_sheet(rows, title))
        else:
            png_sheet(rows, title).save(image := io.BytesIO(), format="png")
            write_whole(out, image.getvalue())
    except OSError as error:
        msg = f"{out}: the sheet cannot be written ({cause_of(error)})"
        raise ConfigError(msg) from error
    write_out(f"{len(rows)} prompts on {out}\n")


def _checked_out(folder: Path | None, out: Path | None, num_rows: int) -> Path:
    """Where the sheet goes."""
    out = (folder or Path()) / "sheet.html" if out is None else out
    if out.suffix not in MAX_ROWS or not 1 <= num_rows <= MAX_ROWS[out.suffix]:
        most = " and ".join(f"{count} on {kind}" for kind, count in MAX_ROWS.items())
        msg = f"--out {out} --num_rows {num_rows}: give a file that ends in .html or .png, and 1 to {most} rows"
        raise ConfigError(msg)
    return out


def _rows_of_folder(
    folder: Path, num_rows: int, domain: str | None, attribute: str | None
) -> "tuple[list[SheetRow], str]":
    from remot.data.records.folder import read_manifest
    from remot.datatools.audit.built import read_built
    from remot.datatools.contact_sheets import rows_of_folder

    read_manifest(folder)
    prompts = read_built(folder)
    rows = rows_of_folder(folder, prompts, num_rows, domain, attribute)
    return rows, f"{len(rows)} of {len(prompts)} prompts in {folder.resolve().name}"


def _rows_of_run(
    config: list[Path] | None, root: str | None, seed: int | None, wanted: tuple[str, int, str | None, str | None]
) -> "tuple[list[SheetRow], str]":
    if not config:
        msg = "nothing to show: give a folder of built prompts, or --config"
        raise ConfigError(msg)
    from remot.commands.data.sources import read_data
    from remot.datatools.contact_sheets import rows_of_run

    rows = rows_of_run(read_data(config, root, seed), *wanted)
    return rows, f"the first {len(rows)} prompts of the {wanted[0]} split of {', '.join(file.name for file in config)}"
