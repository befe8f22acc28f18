"""Built prompts as lines of JSON.

Each has ``id``, ``images``, ``messages`` and ``solution`` as the public ReMoT files do (https://github.com/Tony-create1/ReMoT),
and ``remot``, which holds everything needed to check the answers again. :mod:`remot.data.record_lines` reads them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from remot.answers import ANSWER_CLOSE, ANSWER_OPEN
from remot.structures import MaskOf, MotionLabel, PictureTransform, Question, ReferencedQuestion, Slot, Triplet, Warp


@dataclass(frozen=True)
class BuiltFrame:
    """One picture of a prompt.

    Args:
        index: Annotated frame of the clip.
        pts_seconds: Its time.
        transform: What was done to it, None for nothing.
    """

    index: int
    pts_seconds: float
    transform: PictureTransform | None


@dataclass(frozen=True)
class BuiltPrompt:
    """One line of a built file.

    Args:
        question: Text, slots and right answers; a :class:`ReferencedQuestion` where triplets are one task among others.
        images: Paths of the pictures, relative to the folder of the file.
        clip_id: Source clip.
        split: Its split.
        frames: Where each picture comes from; three, also where two are shown.
        labels: The truth about the pairs.
        negative: How the third picture was found or made.
        seed: Names the random stream.
    """

    question: Question
    images: tuple[str, ...]
    clip_id: str
    split: str
    frames: tuple[BuiltFrame, ...]
    labels: tuple[MotionLabel, ...]
    negative: str
    seed: int


def built_prompt(triplet: Triplet, question: Question, images: Sequence[str], split: str, seed: int) -> BuiltPrompt:
    """What is kept of a prompt.

    Args:
        triplet: Its frames and labels.
        question: Its text and answers.
        images: Paths of its pictures.
        split: Its split.
        seed: Names the random stream of the split.
    """
    frames = tuple(
        BuiltFrame(index, float(triplet.clip.pts_seconds[index]), transform)
        for index, transform in zip(triplet.frame_indices, triplet.transforms, strict=True)
    )
    return BuiltPrompt(
        question, tuple(images), triplet.clip.clip_id, split, frames, triplet.labels, triplet.negative, seed
    )


def to_line(prompt: BuiltPrompt) -> str:
    """The JSON of one prompt, without a line break."""
    question = prompt.question
    record: dict[str, Any] = {
        "id": question.prompt_id,
        "images": list(prompt.images),
        "messages": [{"role": "user", "content": question.text}],
        "solution": f"{ANSWER_OPEN}{question.solution}{ANSWER_CLOSE}",
        "remot": {
            "domain": question.domain,
            "scene": question.scene_id,
            "clip": prompt.clip_id,
            "split": prompt.split,
            "frames": [_frame_record(frame) for frame in prompt.frames],
            "labels": [asdict(label) for label in prompt.labels],
            "slots": [_slot_record(slot) for slot in question.slots],
            "negative": prompt.negative,
            "format": question.format,
            "seed": prompt.seed,
            "reasoning": question.reasoning,
        },
    }
    if isinstance(question, ReferencedQuestion):
        record["remot"]["task"] = question.task
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _frame_record(frame: BuiltFrame) -> dict[str, Any]:
    transform: dict[str, Any] | None = None
    if isinstance(frame.transform, Warp):
        transform = asdict(frame.transform)
    elif isinstance(frame.transform, MaskOf):
        transform = {"kind": "mask", "subject": frame.transform.subject}
    return {"index": frame.index, "pts_seconds": frame.pts_seconds, "transform": transform}


def _slot_record(slot: Slot) -> dict[str, Any]:
    letters = slot.letters[: len(slot.options)]
    record: dict[str, Any] = {"pair": list(slot.label.pair), "options": list(slot.options), "gold": slot.gold}
    return record | {"letters": letters} | ({} if slot.tolerance is None else {"tolerance": slot.tolerance})
