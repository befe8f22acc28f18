"""One prompt of a sheet: its images and what is written beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image
from torch import Tensor

from remot.data.records.schema import BuiltFrame
from remot.structures import Box, Clip, MaskOf, MotionLabel, Question, Reference, Warp, reference_of
from remot.viewer import Timeline
from remot.viewer.drawing import drawn_frames, drawn_graph, drawn_map, drawn_tracks
from remot.viewer.images import as_image
from remot.viewer.timeline import MAX_ROWS, clip_timeline, spans_row

#: Frames of a prompt that are drawn, spread over all.
MAX_FRAMES = 16
#: Width at which images are shown, in pixels; smaller ones are left as they are.
MAX_WIDTH = 420


@dataclass(frozen=True)
class SheetRow:
    """One prompt of a sheet: images with captions, and the text and right answer.

    ``labels`` are the label of each pair, or what the reference holds, and what the audit found. ``tags`` are what a
    page can be filtered by, and ``timeline`` shows what is annotated when.
    """

    title: str
    images: tuple[Image.Image, ...]
    captions: tuple[str, ...]
    labels: tuple[str, ...]
    text: str
    gold: str
    tags: dict[str, str] = field(default_factory=dict)
    timeline: Timeline | None = None


def prompt_row(
    images: Sequence[Tensor],
    frames: Sequence[BuiltFrame],
    question: Question,
    labels: Sequence[MotionLabel],
    negative: str,
    verdict: Sequence[str],
    clip_id: str,
    clip: Clip | None = None,
) -> SheetRow:
    """The row of one prompt: images uint8 [3, H, W] as shown, and the audit's ``verdict``.

    With the clip its tracks are drawn into images that are shown as they were annotated, and put on a timeline.
    """
    reference = reference_of(question) if question.reference else Reference()
    chosen = np.unique(np.linspace(0, len(images) - 1, MAX_FRAMES).astype(int))
    times = [frame.pts_seconds for frame in frames]
    whole = [as_image(image) for image in images]
    if question.reference:
        drawn = drawn_frames(whole, times, reference, question.text)
    else:  # small enough that a thousand rows fit into memory
        heights = [max(1, round(one.height * min(1.0, MAX_WIDTH / one.width))) for one in whole]
        drawn = [one.resize((min(one.width, MAX_WIDTH), high)) for one, high in zip(whole, heights, strict=True)]
    drawn = [_with_tracks(drawn[k], whole[k].size, frame, clip) for k, frame in enumerate(frames)]
    shown = [(drawn[k], _caption(k + 1, frames[k])) for k in chosen]
    if reference.map_centres:
        shown.append((drawn_map(reference.map_centres), "map from above"))
    shown += [(drawn_graph(nodes), "graph from above") for nodes in reference.graphs or ()]
    described = []
    for label in labels:
        of = f" of {label.subject}" if label.subject else ""
        pair = f"{label.pair[0]} to {label.pair[1]}"
        described.append(f"{pair}: {label.attribute}{of} {label.value} ({label.magnitude:.3g} {label.unit})")
    left_out = f", {len(chosen)} of {len(images)} frames" if len(chosen) < len(images) else ""
    how = ", ".join(filter(None, (question.task, negative, question.format if negative else "")))
    return SheetRow(
        title=f"{question.prompt_id}  {how}  clip {clip_id}{left_out}",
        images=tuple(image for image, _ in shown),
        captions=tuple(caption for _, caption in shown),
        labels=(*described, *_held(reference), *verdict),
        text=question.text,
        gold=question.solution if question.slots else question.response or "no response is known",
        tags={"task": question.task, "attribute": labels[0].attribute if labels else "", "domain": question.domain},
        timeline=_timeline(reference, frames, clip),
    )


def _timeline(reference: Reference, frames: Sequence[BuiltFrame], clip: Clip | None) -> Timeline | None:
    """The clip's annotations with the right stretches of time; those and the frames alone without the clip."""
    times = [frame.pts_seconds for frame in frames]
    right = [] if reference.intervals is None else [spans_row("right answer", reference.intervals, colour=None)]
    if clip is not None:
        known = clip_timeline(clip, [frame.index for frame in frames])
        return replace(known, rows=(*right, *known.rows))
    end = max([*times, *(end for _, end in reference.intervals or ())])
    return Timeline(min(times), end, tuple(times), tuple(right)) if min(times) < end else None


def _with_tracks(image: Image.Image, size: tuple[int, int], frame: BuiltFrame, clip: Clip | None) -> Image.Image:
    """The image with the boxes of the clip's tracks, which belong to ``size``, if it is shown as it was annotated."""
    boxes: list[tuple[str, int, Box]] = []
    if clip is not None and frame.transform is None and not frame.edited:
        for number, (name, track) in enumerate([*clip.objects.items()][:MAX_ROWS]):
            left, top, right, bottom = map(float, track.boxes_xyxy[frame.index])
            if all(map(math.isfinite, (left, top, right, bottom))):
                boxes.append((name, number, (left, top, right, bottom)))
    return drawn_tracks(image, boxes, size) if boxes else image


def _held(reference: Reference) -> list[str]:
    """What a reference holds, but for maps and graphs, which are drawn."""
    held = {
        "answer": reference.answer,
        "number": reference.number,
        "times": reference.intervals,
        "boxes": reference.boxes,
        "events": reference.events,
    }
    return [f"{name}: {value}" for name, value in held.items() if value is not None]


def _caption(number: int, frame: BuiltFrame) -> str:
    transform = frame.transform
    how = ", edited" if frame.edited else ""
    if isinstance(transform, MaskOf):
        how = ", mask"
    elif isinstance(transform, Warp):
        how = f", {transform.kind}"
    return f"{number}: frame {frame.index}, {frame.pts_seconds:.2f} s{how}"
