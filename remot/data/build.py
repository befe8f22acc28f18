"""Prompts written to disk: ``triplets.jsonl``, the pictures in ``frames/``, and ``manifest.json``.

The prompts are those of the data module, address by address: what is built is what training on the fly would see.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from remot.data.built_folder import MANIFEST, RECORDS
from remot.data.built_pictures import PictureFolder, names_of
from remot.data.datamodule import TripletDataModule
from remot.data.dataset import TripletDataset
from remot.data.manifest import Counts, json_ready, manifest_of
from remot.data.records import BuiltPrompt, built_prompt, to_line
from remot.errors import ConfigError
from remot.strict_json import json_text

#: Prompts whose triplets are chosen before their pictures are decoded, clip by clip.
AT_ONCE = 4096

#: Told what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]
#: From data, folder, prompts of each split, settings and progress to the manifest of what was written.
Write = Callable[[TripletDataModule, Path, dict[str, int], dict[str, Any], Progress], dict[str, Any]]


def build(
    data: TripletDataModule,
    out: Path,
    num_triplets: int,
    settings: dict[str, Any],
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Write prompts of all splits.

    Args:
        data: Whose prompts.
        out: Folder to write to, created; it must be empty.
        num_triplets: Prompts in all, divided among the splits by their fractions.
        settings: The configuration's data section, kept in the manifest so that the prompts can be checked again.
        progress: Told what is being done and how far it is.

    Returns:
        The manifest.

    Raises:
        ConfigError: If the folder holds something or cannot be written to, or nothing is to be built.
        RemotError: If the data cannot be used.
    """
    data.require_clips("nothing can be built from them")
    return built_by(_write, data, out, num_triplets, settings, progress)


def built_by(
    write: Write, data: TripletDataModule, out: Path, num_prompts: int, settings: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """Set the data up and write prompts of all splits; arguments, result and errors as of :func:`build`.

    Args:
        write: Writes so many prompts of each split, and gives the manifest.
        data: Whose prompts.
        out: Folder to write to.
        num_prompts: Prompts in all.
        settings: The configuration's data section.
        progress: Told what is being done.
    """
    require_usable(data, out, num_prompts)
    settings = json_ready(settings)
    data.setup()
    sizes = prompts_by_split(data, num_prompts)
    try:
        return write(data, out, sizes, settings, progress)
    except OSError as error:
        msg = f"{out}: cannot be written ({error}); empty it and build again"
        raise ConfigError(msg) from error


def require_usable(data: TripletDataModule, out: Path, num_prompts: int) -> None:
    """Refuse to build nothing, or into a folder that is not empty or among the clips.

    Raises:
        ConfigError: Saying which of them.
    """
    if num_prompts < 1:
        msg = f"{num_prompts} triplets or prompts: ask for at least 1"
        raise ConfigError(msg)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        msg = f"{out} is not empty; give a new folder, or empty this one first"
        raise ConfigError(msg)
    if out.resolve().is_relative_to(data.root.resolve()):
        msg = f"{out} lies inside the folder of the clips, {data.root}, where it would be taken for one; choose another"
        raise ConfigError(msg)


def _write(
    data: TripletDataModule, out: Path, sizes: dict[str, int], settings: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    counts, pictures, total = Counts(), PictureFolder(out), sum(sizes.values())
    partial = out / f"{RECORDS}.partial"
    with partial.open("w", encoding="utf-8") as file:
        for prompt in _built_prompts(data, pictures, sizes, lambda done: progress("building triplets", done, total)):
            counts.add(prompt)
            file.write(to_line(prompt) + "\n")
    partial.rename(out / RECORDS)
    manifest = manifest_of(data, counts.record(pictures.num_pictures), out, settings)
    (out / MANIFEST).write_text(json_text(manifest, indent=2) + "\n", "utf-8")
    return manifest


def _built_prompts(
    data: TripletDataModule, pictures: PictureFolder, sizes: dict[str, int], progress: Callable[[int], None]
) -> Iterator[BuiltPrompt]:
    done = 0
    for split, size in sizes.items():
        for start in range(0, size, AT_ONCE):
            addresses = range(start, min(start + AT_ONCE, size))
            yield from _some_prompts(data.datasets[split], addresses, pictures, _from(done, progress))
            done += len(addresses)


def _from(start: int, progress: Callable[[int], None]) -> Callable[[int], None]:
    """``progress`` for counts that begin after ``start``."""
    return lambda done: progress(start + done)


def _some_prompts(
    dataset: TripletDataset, addresses: range, pictures: PictureFolder, progress: Callable[[int], None]
) -> Iterator[BuiltPrompt]:
    """Prompts in the order of their addresses, their pictures written in the order of the clips."""
    triplets = [dataset.triplet(address) for address in addresses]
    shown = [dataset.writer.num_pictures(triplet) for triplet in triplets]
    pictures.add(zip(triplets, shown, strict=True), progress)
    for address, triplet, num_pictures in zip(addresses, triplets, shown, strict=True):
        question = dataset.question(address, triplet, pictures.decoded_size(triplet))
        yield built_prompt(triplet, question, names_of(triplet, num_pictures), dataset.split, dataset.seed)


def prompts_by_split(data: TripletDataModule, num_triplets: int) -> dict[str, int]:
    """How many prompts of each split make ``num_triplets``: by the fractions, at least one of each split."""
    shares = {"val": data.val_fraction, "test": data.test_fraction}
    held_out = {name: max(1, round(share * num_triplets)) for name, share in shares.items() if name in data.prompts}
    train = num_triplets - sum(held_out.values())
    if train < 1:
        msg = f"{num_triplets} prompts are too few for {len(data.prompts)} splits, ask for more"
        raise ConfigError(msg)
    return {"train": train, **held_out}
