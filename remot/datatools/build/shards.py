"""Building in parts: each machine builds some of the prompts, which are then put together as one would have built them.

Prompts have addresses, so the parts need nothing of each other. Which machine builds which is left to its scheduler.
"""

import filecmp
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from remot.data.annotations.base import require_object
from remot.data.records.folder import MANIFEST, RECORDS, SHARD, read_manifest
from remot.data.records.jsonl import read_lines
from remot.data.records.parsing import from_record
from remot.data.records.reading import image_in
from remot.datatools.build.manifest import Counts
from remot.errors import AnnotationError, ConfigError
from remot.files import cause_of, sha256_of
from remot.locks import is_unwritten, staged
from remot.strict_json import json_text

#: What differs between shards of one set of prompts.
_OWN_KEYS = ("sha256", "counts", SHARD)


@dataclass(frozen=True)
class Shard:
    """One of the parts of a set of prompts.

    Args:
        number: Which one, from 1.
        of: How many there are.

    Raises:
        ConfigError: If there is no such part.
    """

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            msg = f"shard {self}: give I/N with I from 1 to N, such as 2/8"
            raise ConfigError(msg)

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The part that a text such as ``2/8`` means.

        Raises:
            ConfigError: If it means none.
        """
        number, _, of = text.partition("/")
        if not (number.isascii() and number.isdigit() and of.isascii() and of.isdigit()):
            msg = f"shard {text!r:.40}: give I/N with I from 1 to N, such as 2/8"
            raise ConfigError(msg)
        return cls(int(number), int(of))

    def addresses(self, sizes: Mapping[str, int]) -> dict[str, range]:
        """Addresses of each split, of which all shards have a consecutive part each, of equal sizes up to one."""
        total, before, found = sum(sizes.values()), 0, {}
        first, last = (total * number // self.of for number in (self.number - 1, self.number))
        for split, size in sizes.items():
            found[split] = range(min(size, max(0, first - before)), min(size, max(0, last - before)))
            before += size
        return found

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


#: All of the prompts.
WHOLE = Shard()


def shard_record(shard: Shard, sizes: Mapping[str, int]) -> dict[str, Any]:
    """What the manifest of a shard says of it; nothing if it is all there is."""
    return {} if shard.of == 1 else {SHARD: {**asdict(shard), "prompts_of_all": dict(sizes)}}


def merge(folder: Path, out: Path, on_progress: Callable[[int, int], None] = lambda *_: None) -> dict[str, Any]:
    """Put the shards of a set of prompts together; the result is, byte for byte, what one build would have written.

    Images are linked where the file system allows that, else copied.

    Args:
        folder: Holds a folder for each shard.
        out: Folder to write to, created; it must be empty.
        on_progress: Called with the number of shards that are done and their total.

    Returns:
        The manifest.

    Raises:
        ConfigError: If shards are missing, there twice, or of other settings or versions; or ``out`` cannot be written.
        AnnotationError: If one is damaged, or two hold different images of one name.
    """
    manifests = _manifests(folder)
    if not is_unwritten(out):
        msg = f"{out} is not empty; give a new folder, or empty this one first"
        raise ConfigError(msg)
    try:
        with staged(out, is_new=True) as stage:
            return _merged(manifests, stage, on_progress)
    except OSError as error:
        msg = f"{out}: cannot be written ({cause_of(error)}); choose another folder, or merge again"
        raise ConfigError(msg) from error


def _merged(
    manifests: Mapping[Path, dict[str, Any]], out: Path, on_progress: Callable[[int, int], None]
) -> dict[str, Any]:
    counts, images = Counts(), set[str]()
    with (out / RECORDS).open("wb") as merged:
        for done, shard in enumerate(manifests, 1):
            for number, record in read_lines(shard / RECORDS):
                where = f"{shard / RECORDS}: line {number}"
                prompt = from_record(where, record)
                counts.add(prompt)
                images.update(_brought(where, prompt.images, shard, out))
            with (shard / RECORDS).open("rb") as records:
                shutil.copyfileobj(records, merged)
            on_progress(done, len(manifests))
    first = next(iter(manifests.values()))
    manifest = {key: value for key, value in first.items() if key != SHARD}
    manifest |= {"sha256": {RECORDS: sha256_of(out / RECORDS)}, "counts": counts.record(len(images))}
    (out / MANIFEST).write_text(json_text(manifest, indent=2) + "\n", "utf-8")
    return manifest


def _brought(where: str, names: Sequence[str], shard: Path, out: Path) -> Iterator[str]:
    """Bring the images of a prompt that are not there yet, and compare those that are."""
    for name in names:
        source, target = image_in(where, name, shard), out / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except OSError:  # another file system, or one without links
                shutil.copyfile(source, target)
        elif not filecmp.cmp(source, target, shallow=False):
            msg = f"{where}: the image {name!r:.80} differs from that of another shard; build both with one version"
            raise AnnotationError(msg)
        yield name


def _manifests(folder: Path) -> dict[Path, dict[str, Any]]:
    """Folder and manifest of each shard in their order, none missing and all alike."""
    found: dict[int, tuple[Path, dict[str, Any]]] = {}
    for shard in sorted(path.parent for path in folder.glob(f"*/{MANIFEST}")):
        manifest = read_manifest(shard, may_be_shard=True)
        where = f"{shard / MANIFEST}: {SHARD}"
        held = require_object(where, manifest.get(SHARD, {"number": 1, "of": 1}))
        number = held.get("number")
        if type(number) is not int or type(held.get("of")) is not int:
            msg = f"{where} must say which shard it is"
            raise AnnotationError(msg)
        if number in found:
            msg = f"{shard} is shard {number}, as {found[number][0]} is; remove one of them"
            raise ConfigError(msg)
        found[number] = shard, manifest
    if not found:
        msg = f"{folder} holds no folder that `remot data build --shard` wrote"
        raise ConfigError(msg)
    first_folder, first = next(iter(found.values()))
    for other_folder, other in found.values():
        if difference := _difference(first, other):
            msg = f"{first_folder} and {other_folder} are no shards of the same prompts: {difference}; build them again"
            raise ConfigError(msg)
    num_shards = first.get(SHARD, {}).get("of", 1)
    missing = [str(Shard(number, num_shards)) for number in range(1, num_shards + 1) if number not in found]
    if missing or len(found) > num_shards:
        more = f" and {len(missing) - 10} others" if len(missing) > 10 else ""
        msg = f"{folder}: shard {', '.join(missing[:10])}{more} of {num_shards} is missing; build it with --shard"
        raise ConfigError(msg)
    return dict(found[number] for number in sorted(found))


def _difference(first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The first key in which two manifests differ that have to be alike, with both values; "" if there is none."""
    mine, theirs = ({key: value for key, value in one.items() if key not in _OWN_KEYS} for one in (first, other))
    for manifest, record in ((first, mine), (other, theirs)):
        shard = manifest.get(SHARD, {})
        record |= {"number of shards": shard.get("of", 1), "number of prompts": shard.get("prompts_of_all")}
    for key in {**mine, **theirs}:
        if mine.get(key) != theirs.get(key):
            return f"{key} is {mine.get(key)!s:.200} and {theirs.get(key)!s:.200}"
    return ""
