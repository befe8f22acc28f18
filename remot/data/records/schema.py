"""Built prompts as lines of JSON.

Each has ``id``, ``images``, ``messages`` and ``solution`` as the public ReMoT files do
(https://github.com/Tony-create1/ReMoT), and ``remot``, which holds everything needed to show the prompt, to score
answers and to check labels and references again. :mod:`remot.data.records.parsing` reads them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from remot.answers import ANSWER_CLOSE, ANSWER_OPEN
from remot.data.tasks.base import TaskPlan
from remot.errors import ConfigError
from remot.structures import (
    BoxTrack,
    Clip,
    ImageEdit,
    MaskOf,
    MotionLabel,
    Question,
    Reference,
    Slot,
    Warp,
)

#: What a line can hold of a reference.
REFERENCE_KEYS = ("answer", "number", "intervals", "boxes", "events", "map_centres", "graphs", "tracks")


@dataclass(frozen=True)
class BuiltFrame:
    """One image of a prompt.

    Args:
        index: Annotated frame of the clip.
        pts_seconds: Its time.
        transform: What was done to it, None for nothing, or for an edit that a line does not describe.
        edited: Changed by an edit that a line does not describe, such as blur; the image on disk is the only record.
    """

    index: int
    pts_seconds: float
    transform: Warp | MaskOf | None = None
    edited: bool = False


@dataclass(frozen=True)
class BuiltPrompt:
    """One line of a built file.

    Args:
        question: Text, slots or reference, and response.
        task_index: Position of the task among those of the run.
        images: Paths of the images, relative to the folder of the file.
        frames: Where each image comes from.
        as_video: Shown as a video; False for images.
        labels: What the annotations say about pairs of the frames, for tasks that label pairs.
        negative: How the third image of a triplet was found or made; "" for other tasks.
        clip_id: Source clip.
        split: Its split.
        seed: Seed of the split.
        as_pairs: Shown in pairs, each a video of two frames.
    """

    question: Question
    task_index: int
    images: tuple[str, ...]
    frames: tuple[BuiltFrame, ...]
    as_video: bool
    labels: tuple[MotionLabel, ...]
    negative: str
    clip_id: str
    split: str
    seed: int
    as_pairs: bool = False

    @property
    def edited(self) -> bool:
        """Whether an image was changed in a way that a line does not describe."""
        return any(frame.edited for frame in self.frames)


def built_frames(clip: Clip, plan: TaskPlan) -> tuple[BuiltFrame, ...]:
    """Where the images of a plan come from."""
    found = []
    for index, transform in zip(plan.frame_indices, plan.frame_transforms, strict=True):
        pts_seconds = float(clip.pts_seconds[index])
        if isinstance(transform, ImageEdit):
            found.append(BuiltFrame(index, pts_seconds, edited=True))
        else:
            found.append(BuiltFrame(index, pts_seconds, transform))
    return tuple(found)


def to_line(prompt: BuiltPrompt) -> str:
    """The JSON of one prompt, without a line break.

    Raises:
        ConfigError: If the prompt holds what a line cannot.
    """
    question, reference = prompt.question, None
    if question.reference is not None:
        for name in ("counterfactuals", "answer_map"):
            if getattr(question.reference, name) is not None:
                msg = f"prompts of the task {question.task} hold {name}, which cannot be built; leave the task out"
                raise ConfigError(msg)
        values = {name: getattr(question.reference, name) for name in REFERENCE_KEYS}
        reference = {name: _plain(value) for name, value in values.items() if value is not None}
    record = {
        "id": question.prompt_id,
        "images": list(prompt.images),
        "messages": [{"role": "user", "content": question.text}],
        "solution": solution_of(question),
        "remot": {
            "task": question.task,
            "task_index": prompt.task_index,
            "domain": question.domain,
            "scene": question.scene_id,
            "clip": prompt.clip_id,
            "split": prompt.split,
            "frames": [_frame_record(frame) for frame in prompt.frames],
            "as_video": prompt.as_video,
            "labels": [asdict(label) for label in prompt.labels],
            "slots": [_slot_record(slot) for slot in question.slots],
            "negative": prompt.negative,
            "reference": reference,
            "format": question.format,
            "key_times": question.key_times,
            "seed": prompt.seed,
            "reasoning": question.reasoning,
            **_without_thinking(question),
            **({"as_pairs": True} if prompt.as_pairs else {}),
        },
    }
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def solution_of(question: Question) -> str:
    """The right letters or numbers in an answer element, or the whole response of a question without slots.

    Raises:
        ConfigError: If the question has both.
    """
    if question.slots and question.target:
        msg = f"prompts of the task {question.task} have slots and a response of their own, which a line cannot hold"
        raise ConfigError(msg)
    return f"{ANSWER_OPEN}{question.solution}{ANSWER_CLOSE}" if question.slots else question.target


def score_record(question: Question) -> dict[str, Any]:
    """What answers are compared with, JSON-ready, as ``remot score`` reads it under ``reference``."""
    reference = question.reference or Reference()
    held = {name: getattr(reference, name) for name in (*REFERENCE_KEYS, "answer_type", "options")}
    slots = [
        _slot_record(slot) | {"attribute": slot.label.attribute, "subject": slot.label.subject}
        for slot in question.slots
    ]
    plain = {name: _plain(value) for name, value in held.items() if value not in (None, "", ())}
    return plain | ({"slots": slots} if slots else {}) | _without_thinking(question)


def _without_thinking(question: Question) -> dict[str, bool]:
    """``thinks: false`` of a prompt that asks for the answer alone; lines of others are as they were."""
    return {} if question.thinks else {"thinks": False}


def _frame_record(frame: BuiltFrame) -> dict[str, Any]:
    transform: dict[str, Any] | None = None
    if isinstance(frame.transform, Warp):
        transform = asdict(frame.transform)
    elif isinstance(frame.transform, MaskOf):
        transform = {"kind": "mask", "subject": frame.transform.subject}
    return {
        "index": frame.index,
        "pts_seconds": frame.pts_seconds,
        "transform": {"kind": "edit"} if frame.edited else transform,
    }


def _slot_record(slot: Slot) -> dict[str, Any]:
    letters = slot.letters[: len(slot.options)]
    record: dict[str, Any] = {"pair": list(slot.label.pair), "options": list(slot.options), "gold": slot.gold}
    return record | {"letters": letters} | ({} if slot.tolerance is None else {"tolerance": slot.tolerance})


def _plain(value: object) -> object:
    """Tuples as lists and mappings as objects."""
    if isinstance(value, BoxTrack):
        return {name: _plain(getattr(value, name)) for name in ("name", "pts_seconds", "boxes")}
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value
