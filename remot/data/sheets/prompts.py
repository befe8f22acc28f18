"""Rows of a sheet for prompts that a run would see, whether of tasks or triplets."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from remot.data.audit.tasks.checks import is_checked, wrong_references
from remot.data.audit.tasks.prompt import AskedPrompt
from remot.data.datamodule import TripletDataModule
from remot.data.datasets.mixed import MixedDataset
from remot.data.datasets.prompts import TripletDataset
from remot.data.datasets.task_prompts import TaskDataset
from remot.data.sheets.choose import SheetRow, label_text
from remot.data.sheets.drawing import drawn_frames, drawn_graph, drawn_map
from remot.data.sheets.picture import as_image
from remot.errors import ConfigError
from remot.structures import Question, Reference, reference_of, task_of

#: Frames of a prompt that are drawn, spread over all.
MAX_FRAMES = 16
#: Addresses that are looked at for each row wanted, where only some are to be shown.
_MAX_TRIES = 50


def rows_of_run(
    data: TripletDataModule, split: str, num_rows: int, domain: str | None = None, task: str | None = None
) -> list[SheetRow]:
    """The first prompts that a run would see, sorted by task.

    Args:
        data: The data module of the run.
        split: Whose prompts.
        num_rows: How many at most.
        domain: Show this domain only.
        task: Show this task only; of triplets, this attribute.

    Raises:
        ConfigError: If there is no such split, or no such prompt.
        DecodeError: If a picture cannot be decoded.
    """
    data.require_asked("look at the folder instead: remot data show DIR")
    data.setup()
    if split not in data.prompts:
        msg = f"there is no {split} split; show one of {', '.join(data.prompts)}"
        raise ConfigError(msg)
    found = []
    for kind, row in _rows(data, split, num_rows, domain, task):
        found.append((kind, row))
        if len(found) == num_rows:
            break
    if not found:
        wanted = " and ".join(f"the {kind} {name}" for kind, name in (("domain", domain), ("task", task)) if name)
        msg = f"the first prompts of the {split} split hold none of {wanted or 'any kind'}"
        raise ConfigError(msg)
    return [row for _, row in sorted(found, key=lambda one: one[0])]


def _rows(
    data: TripletDataModule, split: str, num_rows: int, domain: str | None, task: str | None
) -> Iterator[tuple[str, SheetRow]]:
    prompts = data.mixed.get(split) or data.datasets[split]
    for address in range(num_rows * (1 if domain is None and task is None else _MAX_TRIES)):
        if isinstance(prompts, TripletDataset):
            kind, row = _triplet_row(prompts, address, domain, task)
        else:
            kind, row = _mixed_row(prompts, address, domain, task)
        if row is not None:
            yield kind, row


def _mixed_row(mixed: MixedDataset, address: int, domain: str | None, task: str | None) -> tuple[str, SheetRow | None]:
    number, within = mixed.place(address)
    name, part = mixed.parts[number]
    if task not in {None, name}:
        return name, None
    if isinstance(part, TripletDataset):
        return name, _triplet_row(part, within, domain, None, mixed.prompt_id(address))[1]
    clip, plan = part.plan(within)
    if domain not in {None, clip.domain}:
        return name, None
    question = replace(part.question(within, clip, plan), prompt_id=mixed.prompt_id(address))
    asked = AskedPrompt(clip, plan.frame_indices, question, part.task, plan.as_video, plan.edit)
    verdict = wrong_references(asked) or ["right by a second computation"] if is_checked(part.task) else ["not checked"]
    times = [float(clip.pts_seconds[frame]) for frame in plan.frame_indices]
    return name, task_row(_pictures(part, within), times, question, clip.clip_id, verdict)


def _pictures(part: TaskDataset, address: int) -> list[Image.Image]:
    sample = part[address]
    return [as_image(one) for one in (sample.videos[0].frames if sample.videos else sample.images)]


def task_row(
    pictures: Sequence[Image.Image], times: Sequence[float], question: Question, clip_id: str, verdict: Sequence[str]
) -> SheetRow:
    """The row of one prompt of a task.

    Args:
        pictures: What it shows.
        times: Seconds of each picture.
        question: Text, reference and response.
        clip_id: Its source.
        verdict: What the audit says of it.
    """
    reference, task = reference_of(question), task_of(question)
    chosen = np.unique(np.linspace(0, len(pictures) - 1, MAX_FRAMES).astype(int))
    frames = drawn_frames(pictures, times, reference, question.text)
    shown = [(frames[k], f"{k + 1}: {times[k]:.2f} s") for k in chosen]
    if reference.map_centres:
        shown.append((drawn_map(reference.map_centres), "map from above"))
    shown += [(drawn_graph(nodes), "graph from above") for nodes in reference.graphs or ()]
    left_out = f", {len(chosen)} of {len(pictures)} frames" if len(chosen) < len(pictures) else ""
    return SheetRow(
        title=f"{question.prompt_id}  {task}  clip {clip_id}{left_out}",
        pictures=tuple(picture for picture, _ in shown),
        captions=tuple(caption for _, caption in shown),
        labels=(*_told(reference), *verdict),
        text=question.text,
        gold=question.response or "no response is told",
    )


def _told(reference: Reference) -> list[str]:
    """What a reference holds, but for maps and graphs, which are drawn."""
    held = {
        "answer": reference.answer,
        "number": reference.number,
        "times": reference.intervals,
        "boxes": reference.boxes,
        "events": reference.events,
    }
    return [f"{name}: {value}" for name, value in held.items() if value is not None]


def _triplet_row(
    dataset: TripletDataset, address: int, domain: str | None, attribute: str | None, prompt_id: str = ""
) -> tuple[str, SheetRow | None]:
    triplet = dataset.triplet(address)
    kind = triplet.labels[0].attribute
    if attribute not in {None, kind} or domain not in {None, triplet.clip.domain}:
        return kind, None
    sample = dataset.sample(address, triplet)
    times = [float(triplet.clip.pts_seconds[frame]) for frame in triplet.frame_indices]
    question = sample.question
    return kind, SheetRow(
        title=f"{prompt_id or question.prompt_id}  clip {sample.clip_id}  {triplet.negative}, {question.format}",
        pictures=tuple(map(as_image, sample.images)),
        captions=tuple(
            f"{number}: frame {frame}, {time:.2f} s"
            for number, frame, time, _ in zip((1, 2, 3), triplet.frame_indices, times, sample.images, strict=False)
        ),
        labels=tuple(label_text(label) for label in triplet.labels),
        text=question.text,
        gold=question.solution,
    )
