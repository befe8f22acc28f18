"""Prompts written to disk: ``prompts.jsonl``, the images in ``frames/``, and ``manifest.json``.

The prompts are those of the data module, address by address: what is built is what training on the fly would see.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from remot.data.datasets.mixed import MixedDataset
from remot.data.prompt_data import PromptData
from remot.data.records.folder import MANIFEST, RECORDS
from remot.data.records.schema import BuiltPrompt, built_frames, to_line
from remot.datatools.build.images import ImageFolder, PlannedPrompt
from remot.datatools.build.manifest import Counts, json_ready, manifest_of
from remot.datatools.build.shards import WHOLE, Shard, shard_record
from remot.errors import ConfigError
from remot.files import cause_of
from remot.locks import is_unwritten, staged
from remot.strict_json import json_text

#: Prompts that are planned before their images are decoded, clip by clip.
AT_ONCE = 4096

#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


def build(
    data: PromptData,
    out: Path,
    num_prompts: int,
    settings: dict[str, Any],
    on_progress: Progress = lambda *_: None,
    shard: Shard = WHOLE,
) -> dict[str, Any]:
    """Write prompts of all splits, or a part of them.

    Args:
        data: Whose prompts.
        out: Folder to write to, created; it must be empty.
        num_prompts: Prompts in all, divided among the splits by their fractions.
        settings: The configuration's data section, kept in the manifest so that the prompts can be checked again.
        on_progress: Called with what is being done and how far it is.
        shard: Which part to write.

    Returns:
        The manifest.

    Raises:
        ConfigError: If the folder holds something or cannot be written to, nothing is to be built, or a task cannot be.
        RemotError: If the data cannot be used.
    """
    data.require_clips("nothing can be built from them")
    require_usable(data, out, num_prompts)
    settings = json_ready(settings)
    data.setup()
    sizes = prompts_by_split(data, num_prompts)
    try:
        with staged(out, is_new=True) as stage:
            manifest = _write(data, stage, shard.addresses(sizes), settings, on_progress) | shard_record(shard, sizes)
            (stage / MANIFEST).write_text(json_text(manifest, indent=2) + "\n", "utf-8")
    except OSError as error:
        msg = f"{out}: cannot be written ({cause_of(error)}); choose another folder, or build again"
        raise ConfigError(msg) from error
    return manifest


def _write(
    data: PromptData, out: Path, parts: dict[str, range], settings: dict[str, Any], on_progress: Progress
) -> dict[str, Any]:
    counts, images, total, done = Counts(), ImageFolder(out), sum(map(len, parts.values())), 0

    def report(before: int, written: int) -> None:
        on_progress("building prompts", before + written, total)

    with (out / RECORDS).open("w", encoding="utf-8") as lines:
        for split, part in parts.items():
            for start in range(0, len(part), AT_ONCE):
                addresses = part[start : start + AT_ONCE]
                for prompt in _built(data.mixed[split], addresses, images, partial(report, done)):
                    counts.add(prompt)
                    lines.write(to_line(prompt) + "\n")
                done += len(addresses)
    return manifest_of(data, counts.record(images.num_images), out, settings)


def _built(
    mixed: MixedDataset, addresses: range, images: ImageFolder, on_progress: Callable[[int], None]
) -> Iterator[BuiltPrompt]:
    """Prompts in the order of their addresses, their images written in the order of the clips."""
    plans = [mixed.plan(address) for address in addresses]
    planned = [
        PlannedPrompt(clip, plan, mixed.prompt_id(k)) for k, (_, clip, plan) in zip(addresses, plans, strict=True)
    ]
    images.add(planned, on_progress)
    for address, (part, clip, plan), one in zip(addresses, plans, planned, strict=True):
        question = part.question(address, clip, plan, images.decoded_size(one))
        yield BuiltPrompt(
            question=mixed.named(address, question),
            task_index=part.task_index,
            images=tuple(one.images),
            frames=built_frames(clip, plan),
            as_video=plan.as_video,
            labels=plan.labels,
            negative=plan.negative,
            clip_id=clip.clip_id,
            split=mixed.split,
            seed=part.seed,
            as_pairs=plan.as_pairs,
        )


def require_usable(data: PromptData, out: Path, num_prompts: int) -> None:
    """Raise a ConfigError unless something is to be built, into a folder that is empty and not among the clips."""
    if num_prompts < 1:
        msg = f"{num_prompts} prompts: ask for at least 1"
        raise ConfigError(msg)
    if not is_unwritten(out):
        msg = f"{out} is not empty; give a new folder, or empty this one first"
        raise ConfigError(msg)
    if out.resolve().is_relative_to(data.root.resolve()):
        msg = f"{out} lies inside the folder of the clips, {data.root}, where it would be taken for one; choose another"
        raise ConfigError(msg)


def prompts_by_split(data: PromptData, num_prompts: int) -> dict[str, int]:
    """How many prompts of each split make ``num_prompts``: by the fractions, at least one of each split."""
    shares = {"val": data.val_fraction, "test": data.test_fraction}
    held_out = {name: max(1, round(share * num_prompts)) for name, share in shares.items() if name in data.prompts}
    train = num_prompts - sum(held_out.values())
    if train < 1:
        msg = f"{num_prompts} prompts are too few for {len(data.prompts)} splits, ask for more"
        raise ConfigError(msg)
    return {"train": train, **held_out}
