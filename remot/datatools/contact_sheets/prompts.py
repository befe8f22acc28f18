"""Rows of a sheet: prompts that a run would see, or prompts of a folder."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from remot.data.datasets.mixed import MixedDataset
from remot.data.datasets.prompts import Sample
from remot.data.media.images import read_image
from remot.data.prompt_data import PromptData
from remot.data.records.reading import image_in
from remot.data.records.schema import BuiltPrompt, built_frames
from remot.datatools.audit.run import asked_at
from remot.datatools.audit.tasks.checks import is_checked, wrong_references
from remot.datatools.audit.tasks.prompt import AskedPrompt
from remot.datatools.contact_sheets.rows import SheetRow, prompt_row
from remot.errors import ConfigError
from remot.seeding import numpy_generator
from remot.structures import MotionLabel, Question

#: Addresses that are looked at for each row wanted, where only some are to be shown.
_MAX_TRIES = 50


def rows_of_run(
    data: PromptData, split: str, num_rows: int, domain: str | None = None, kind: str | None = None
) -> list[SheetRow]:
    """The first prompts of a split that a run would see, of one domain, task or attribute if that is given.

    They are sorted by task and attribute.

    Raises:
        ConfigError: If there is no such split, or no such prompt.
        DecodeError: If an image cannot be decoded.
    """
    data.require_clips("look at the folder instead: remot data show DIR")
    data.setup()
    if split not in data.prompts:
        msg = f"there is no {split} split; show one of {', '.join(data.prompts)}"
        raise ConfigError(msg)
    mixed, found = data.mixed[split], list[tuple[tuple[str, str], SheetRow]]()
    for address in range(num_rows * (1 if domain is None and kind is None else _MAX_TRIES)):
        asked = asked_at(mixed, address)
        kinds = _kinds(asked.question, asked.labels)
        if (kind is None or kind in kinds) and domain in {None, asked.clip.domain}:
            found.append((kinds, _run_row(mixed, address, asked)))
        if len(found) == num_rows:
            break
    if not found:
        wanted = " and ".join(f"the {what} {name}" for what, name in (("domain", domain), ("kind", kind)) if name)
        msg = f"the first prompts of the {split} split hold none of {wanted or 'any kind'}"
        raise ConfigError(msg)
    return [row for _, row in sorted(found, key=lambda one: one[0])]


def _kinds(question: Question, labels: Sequence[MotionLabel]) -> tuple[str, str]:
    """Task and attribute of a prompt; the attribute is "" for tasks without labels."""
    return question.task, labels[0].attribute if labels else ""


def _run_row(mixed: MixedDataset, address: int, asked: AskedPrompt) -> SheetRow:
    sample = mixed.prompt(address)
    verdict = [] if asked.labels else ["not checked"]
    if verdict and is_checked(asked.task):
        verdict = wrong_references(asked) or ["right by a second computation"]
    _, clip, plan = mixed.plan(address)
    images = _shown(sample)
    frames = built_frames(clip, plan)
    return prompt_row(list(images), frames, sample.question, asked.labels, asked.negative, verdict, clip.clip_id, clip)


def _shown(sample: Sample) -> Sequence[Tensor]:
    """The frames of a prompt, each once: of three pairs 1 and 2, then the last frame of 1 and 3."""
    if not sample.videos:
        return sample.images
    first, *others = sample.videos
    return [*first.frames, *(one.frames[-1] for one in others[:1])]


def rows_of_folder(
    folder: Path, prompts: Sequence[BuiltPrompt], num_rows: int, domain: str | None = None, kind: str | None = None
) -> list[SheetRow]:
    """Built prompts of a folder drawn at random, the same ones every time, sorted by task and attribute.

    Raises:
        ConfigError: If there is none of that kind.
        AnnotationError: If an image lies outside the folder.
        DecodeError: If an image is missing.
    """
    kinds = {id(one): _kinds(one.question, one.labels) for one in prompts}
    fitting = [
        one for one in prompts if domain in {None, one.question.domain} and (kind is None or kind in kinds[id(one)])
    ]
    if not fitting:
        domains = ", ".join(sorted({one.question.domain for one in prompts}))
        known = ", ".join(sorted({name for both in kinds.values() for name in both if name}))
        msg = f"{folder} holds no such prompt; it has the domains {domains} and the tasks and attributes {known}"
        raise ConfigError(msg)
    order = numpy_generator(0, "sheet").permutation(len(fitting))[:num_rows]
    chosen = sorted((fitting[k] for k in order), key=lambda one: kinds[id(one)])
    rows = []
    for one in chosen:
        where = f"{folder}: {one.question.prompt_id}"
        images = [read_image(image_in(where, name, folder)) for name in one.images]
        rows.append(prompt_row(images, one.frames, one.question, one.labels, one.negative, [], one.clip_id))
    return rows
