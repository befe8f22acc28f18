"""Prompts written to disk: ``triplets.jsonl``, the pictures in ``frames/``, and ``manifest.json``.

The prompts are those of the data module, address by address: what is built is what training on the fly would see.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image
from torch import Tensor

from remot.data.datamodule import TripletDataModule
from remot.data.dataset import TripletDataset
from remot.data.manifest import MANIFEST, RECORDS, manifest_of
from remot.data.records import BuiltPrompt, built_prompt, to_line
from remot.errors import ConfigError
from remot.structures import PictureTransform, Triplet

FRAMES = "frames"
#: Longest name of a folder of pictures; longer ones end in a hash.
_MAX_NAME = 100

#: Told what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass
class PictureFolder:
    """Writes each picture once, under a name that says where it comes from.

    Args:
        root: Folder of the built prompts.
    """

    root: Path
    written: set[str] = field(default_factory=set)

    def add(self, triplet: Triplet, images: Sequence[Tensor]) -> list[str]:
        """Paths relative to the root of a prompt's pictures, written if they are new."""
        shown = zip(triplet.frame_indices, triplet.transforms, images, strict=False)
        names = []
        for index, transform, image in shown:
            names.append(picture_name(triplet.clip.clip_id, index, transform))
            if names[-1] not in self.written:
                self._write(names[-1], image)
        return names

    def _write(self, name: str, image: Tensor) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).save(path, compress_level=1)
        self.written.add(name)


def picture_name(clip_id: str, index: int, transform: PictureTransform | None) -> str:
    """Such as ``frames/kitchen-7/000012.png``; a transformed picture has a hash of its transform behind the number."""
    folder = quote(clip_id, safe="").replace(".", "%2E")  # no dots, so that no name leads elsewhere
    if len(folder) > _MAX_NAME:
        folder = f"{folder[:_MAX_NAME]}-{hashlib.sha256(clip_id.encode()).hexdigest()[:12]}"
    marked = "" if transform is None else f"-{hashlib.sha256(repr(transform).encode()).hexdigest()[:12]}"
    return f"{FRAMES}/{folder}/{index:06d}{marked}.png"


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
        ConfigError: If the folder holds something, or nothing is to be built.
        RemotError: If the data cannot be used.
    """
    if num_triplets < 1:
        msg = f"{num_triplets} triplets: ask for at least 1"
        raise ConfigError(msg)
    if out.exists() and any(out.iterdir()):
        msg = f"{out} is not empty; give a new folder, or empty this one first"
        raise ConfigError(msg)
    data.setup()
    out.mkdir(parents=True, exist_ok=True)
    sizes = prompts_by_split(data, num_triplets)
    prompts: list[BuiltPrompt] = []
    partial = out / f"{RECORDS}.partial"
    with partial.open("w", encoding="utf-8") as file:
        for prompt in _built_prompts(data, PictureFolder(out), sizes):
            prompts.append(prompt)
            file.write(to_line(prompt) + "\n")
            progress("building triplets", len(prompts), sum(sizes.values()))
    partial.rename(out / RECORDS)
    manifest = manifest_of(data, prompts, out, settings)
    (out / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    return manifest


def _built_prompts(data: TripletDataModule, folder: PictureFolder, sizes: dict[str, int]) -> Iterator[BuiltPrompt]:
    for split, size in sizes.items():
        dataset: TripletDataset = data.datasets[split]
        for address in range(size):
            triplet = dataset.triplet(address)
            sample = dataset.sample(address, triplet)
            names = folder.add(triplet, sample.images)
            yield built_prompt(triplet, sample.question, names, split, dataset.seed)


def prompts_by_split(data: TripletDataModule, num_triplets: int) -> dict[str, int]:
    """How many prompts of each split make ``num_triplets``: by the fractions, at least one of each split."""
    shares = {"val": data.val_fraction, "test": data.test_fraction}
    held_out = {name: max(1, round(share * num_triplets)) for name, share in shares.items() if name in data.datasets}
    train = num_triplets - sum(held_out.values())
    if train < 1:
        msg = f"{num_triplets} triplets are too few for {len(data.datasets)} splits, ask for more"
        raise ConfigError(msg)
    return {"train": train, **held_out}
