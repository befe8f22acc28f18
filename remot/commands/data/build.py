"""``remot data build``."""

from pathlib import Path
from typing import Any, Literal

from remot.commands.data.sources import data_from, data_section
from remot.terminal import write_out


def build_command(
    out: Path,
    config: list[Path] | None = None,
    root: str | None = None,
    seed: int | None = None,
    num_triplets: int = 1000,
    on_bad_clip: Literal["raise", "skip"] | None = None,
    shard: str = "1/1",
) -> None:
    """Write prompts with their images and right answers to a folder.

    Args:
        out: Folder to write prompts.jsonl, frames/ and manifest.json to; it must be new or empty.
        config: Configuration whose data section, root and seed_everything are read; the embedded clips by default.
            Given more than once, the later files count.
        root: Folder of annotated clips, instead of the configuration's.
        seed: Seed of the training prompts, instead of the configuration's.
        num_triplets: Prompts of all splits together.
        on_bad_clip: Stop at a bad clip, or leave it out and count it, instead of the configuration's choice.
        shard: Which part of the prompts to write, such as 2/8; `remot data merge` puts the parts together.
    """
    from remot.commands.data.audit_table import ProgressBars
    from remot.datatools.build.prompts import build
    from remot.datatools.build.shards import Shard

    part = Shard.parse(shard)
    section = data_section(config, root, seed, on_bad_clip)
    data = data_from(section)
    with ProgressBars() as bars:
        manifest = build(data, out, num_triplets, section, bars.show, part)
    next_command = f"look at them with: remot data show {out}"
    if part.of > 1:
        next_command = f"put all {part.of} shards together with: remot data merge {out.parent} --out …"
    write_out(_summary(manifest) + f"written to {out}; {next_command}\n")


def merge_command(folder: Path, out: Path) -> None:
    """Put the shards of a set of prompts together, as one build would have written them.

    Args:
        folder: Holds a folder for each shard that `remot data build --shard I/N` wrote.
        out: Folder to write to; it must be new or empty.
    """
    from remot.commands.data.audit_table import ProgressBars
    from remot.datatools.build.shards import merge

    with ProgressBars() as bars:
        manifest = merge(folder, out, lambda done, total: bars.show("merging shards", done, total))
    write_out(_summary(manifest) + f"written to {out}; look at them with: remot data show {out}\n")


def _summary(manifest: dict[str, Any]) -> str:
    from remot.data.datasets.distinct import distinct_lines

    counts, refused = manifest["counts"], manifest["refused"]
    splits, tasks, attributes, reasons = (
        ", ".join(f"{name} {count}" for name, count in by_name.items())
        for by_name in (
            *(counts[f"by_{key}"] for key in ("split", "task", "attribute")),
            refused["bad_clips_by_reason"],
        )
    )
    frames, questions = counts["distinct"]["frames"], counts["distinct"]["questions"]
    distinct = [*distinct_lines(frames), *distinct_lines(questions, "questions")]
    return (
        f"{counts['prompts']} prompts ({splits}) with {counts['images']} images\n"
        f"tasks: {tasks}\n"
        + (f"attributes: {attributes}\n" if attributes else "")
        + f"refused: {refused['bad_clips']} bad clips{f' ({reasons})' if reasons else ''}, "
        f"{refused['left_out_by_the_reader']} left out by the reader, {refused['excluded_clips']} excluded\n"
        + "".join(f"{line}\n" for line in distinct)
    )
