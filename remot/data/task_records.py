"""Built prompts of tasks as lines of JSON; :mod:`remot.data.task_lines` reads them.

``id``, ``images``, ``messages`` and ``solution`` stand as in the lines of triplets; ``remot`` holds everything needed
to show the prompt, to judge answers, and to check the reference again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from remot.errors import ConfigError
from remot.structures import BoxTrack, Reference, ReferencedQuestion

#: What a line can hold of a reference.
REFERENCE_KEYS = ("answer", "number", "intervals", "boxes", "events", "map_centres", "graphs", "tracks")


@dataclass(frozen=True)
class BuiltTaskPrompt:
    """One line of a built file.

    Args:
        question: Text, reference and response.
        place: Number of the task among those of the run.
        images: Paths of the frames shown, relative to the folder of the file.
        frames: Their annotated frames.
        pts_seconds: Their times.
        as_video: Shown as a video; False for pictures.
        edited: True if the pictures are not those of the clip but were changed on purpose.
        clip_id: Source clip.
        split: Its split.
        seed: Names the random stream of the split.
    """

    question: ReferencedQuestion
    place: int
    images: tuple[str, ...]
    frames: tuple[int, ...]
    pts_seconds: tuple[float, ...]
    as_video: bool
    edited: bool
    clip_id: str
    split: str
    seed: int


def to_task_line(prompt: BuiltTaskPrompt) -> str:
    """The JSON of one prompt, without a line break.

    Raises:
        ConfigError: If the prompt holds what a line cannot.
    """
    question = prompt.question
    record = {
        "id": question.prompt_id,
        "images": list(prompt.images),
        "messages": [{"role": "user", "content": question.text}],
        "solution": question.target,
        "remot": {
            "task": question.task,
            "place": prompt.place,
            "domain": question.domain,
            "scene": question.scene_id,
            "clip": prompt.clip_id,
            "split": prompt.split,
            "frames": [
                {"index": index, "pts_seconds": seconds}
                for index, seconds in zip(prompt.frames, prompt.pts_seconds, strict=True)
            ],
            "as_video": prompt.as_video,
            "edited": prompt.edited,
            "reference": _reference_record(question),
            "format": question.format,
            "key_times": question.key_times,
            "seed": prompt.seed,
            "reasoning": question.reasoning,
        },
    }
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _reference_record(question: ReferencedQuestion) -> dict[str, Any]:
    reference = question.reference or Reference()
    beyond = [name for name in ("counterparts", "answer_map") if getattr(reference, name) is not None]
    if beyond or question.slots:
        what = beyond[0] if beyond else "slots"
        msg = f"prompts of the task {question.task} hold {what}, which cannot be built; leave the task out"
        raise ConfigError(msg)
    held = {name: getattr(reference, name) for name in REFERENCE_KEYS}
    return {name: _plain(value) for name, value in held.items() if value is not None}


def _plain(value: object) -> object:
    """Tuples as lists and mappings as objects."""
    if isinstance(value, BoxTrack):
        return {name: _plain(getattr(value, name)) for name in ("name", "pts_seconds", "boxes")}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value
