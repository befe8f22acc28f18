"""``remot data convert``."""

from pathlib import Path
from typing import Literal

from remot.errors import ConfigError
from remot.terminal import write_out


def convert_command(  # noqa: PLR0913 - the options of the command
    source: Path,
    out: Path,
    to: Literal["jsonl", "parquet"] = "jsonl",
    turns: Literal["refuse", "separate"] = "refuse",
    images: Literal["embedded", "paths"] = "embedded",
    images_root: Path | None = None,
    num_frames: int | None = None,
    val_fraction: float = 0.0,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> None:
    """Write published questions as a questions file, or prompts as Parquet for datasets.load_dataset.

    Args:
        source: With --to jsonl a file of Video-R1, SpaceR-151k or LLaVA; with --to parquet a built folder or a file of
            questions.
        out: New file of questions, or new folder of Parquet files.
        to: What to write.
        turns: Conversations of several questions are left out, or become one question for each turn.
        images: Put images into the Parquet files, or their paths.
        images_root: Folder of images and videos, if it is not the one the file lies in.
        num_frames: Embed so many frames of each video as images, instead of its path.
        val_fraction: Share of the scenes for the validation split, of a file without splits.
        test_fraction: Share of the scenes for the test split.
        seed: Names the division into splits.
    """
    if to == "parquet":
        from remot.datatools.convert.parquet import ParquetSettings, write_parquet

        if turns != "refuse":
            msg = "--turns divides conversations while they become questions, which is --to jsonl"
            raise ConfigError(msg)
        settings = ParquetSettings(images, images_root, num_frames, val_fraction, test_fraction, seed)
        splits = write_parquet(source, out, settings)
        write_out(f"{', '.join(f'{split} {count} prompts' for split, count in splits.items())}\n{out}\n")
        return
    from remot.datatools.convert.questions import convert_questions

    conversion = convert_questions(source, out, turns)
    write_out("".join(f"{line}\n" for line in (*conversion.lines(), *conversion.files)))
