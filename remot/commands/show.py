"""``remot data show``."""

import sys
from pathlib import Path

from remot.errors import ConfigError

#: Most triplets on a sheet, by its kind: a browser and a picture viewer have to open it.
MAX_ROWS = {".html": 5000, ".png": 500}


def show_command(
    folder: Path,
    out: Path | None = None,
    num_rows: int = 48,
    domain: str | None = None,
    attribute: str | None = None,
) -> None:
    """Write a contact sheet of built triplets: pictures, labels, sizes, question and right answer.

    Args:
        folder: What `remot data build` wrote.
        out: The sheet, .html or .png; sheet.html in the folder by default.
        num_rows: How many triplets to show at most, drawn at random.
        domain: Show this domain only.
        attribute: Show this attribute only.
    """
    from remot.data.audit.built import read_built
    from remot.data.built_folder import read_manifest
    from remot.data.sheets import choose_rows, html_sheet, png_sheet

    out = folder / "sheet.html" if out is None else out
    if out.suffix not in MAX_ROWS or not 1 <= num_rows <= MAX_ROWS[out.suffix]:
        most = " and ".join(f"{count} on {kind}" for kind, count in MAX_ROWS.items())
        msg = f"--out {out} --num_rows {num_rows}: give a file that ends in .html or .png, and 1 to {most} rows"
        raise ConfigError(msg)
    read_manifest(folder)
    prompts = read_built(folder)
    rows = choose_rows(folder, prompts, num_rows, domain, attribute)
    title = f"{len(rows)} of {len(prompts)} triplets in {folder.resolve().name}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".html":
            out.write_text(html_sheet(rows, title), encoding="utf-8")
        else:
            png_sheet(rows, title).save(out)
    except OSError as error:
        msg = f"{out}: the sheet cannot be written ({error})"
        raise ConfigError(msg) from error
    sys.stdout.write(f"{len(rows)} triplets on {out}\n")
