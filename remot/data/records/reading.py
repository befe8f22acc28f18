"""Finished prompts from disk: folders that ``remot data build`` wrote, one's own questions, the public ReMoT layout."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from remot.data.clips.exclusions import Exclusions
from remot.data.clips.splits import split_by_scene
from remot.data.media.spans import VideoSpan, frame_times
from remot.data.media.video.names import VIDEO_SUFFIXES
from remot.data.records.folder import RECORDS, read_manifest
from remot.data.records.jsonl import SPLITS, read_lines, read_objects
from remot.data.records.parsing import from_record
from remot.data.records.qa_jsonl import QARecord, read_qa
from remot.data.records.released import read_released
from remot.errors import AnnotationError, DecodeError, EmptySplitError
from remot.files import require_records
from remot.structures import Question

_NOT_IN_METRICS = re.compile(r"[^\w. -]+")


@dataclass(frozen=True)
class RecordedPrompt:
    """One prompt and where its images are.

    Args:
        question: Text, slots and right answers.
        image_files: Files of its images, in the order shown.
        clip_id: Source clip, or the prompt's own name where that is not known.
        where: File and line, for messages.
        video_seconds: Times of the images, if they are shown as a video; else empty.
        video: The part of a video file to show in place of images.
        split: Its split; "" if the file has none.
        as_pairs: The images are shown in pairs, each a video of two frames.
    """

    question: Question
    image_files: tuple[Path, ...]
    clip_id: str
    where: str
    video_seconds: tuple[float, ...] = ()
    video: VideoSpan | None = None
    split: str = ""
    as_pairs: bool = False

    @property
    def scene_id(self) -> str:
        """Scene of the question."""
        return self.question.scene_id

    @property
    def domain(self) -> str:
        """Domain of the question."""
        return self.question.domain


@dataclass(frozen=True)
class RecordSettings:
    """How finished prompts are shown and divided.

    Args:
        images_root: Folder of images and videos; by default the one the file lies in.
        num_frames: Frames shown of a video at most, for questions about videos.
        fractions: Shares of ``val`` and ``test``, for files without splits.
        seed: Names the shuffle of such files.
        exclusions: Clips, scenes and videos to leave out.
    """

    images_root: Path | None = None
    num_frames: int = 32
    fractions: Mapping[str, float] = field(default_factory=lambda: {"val": 0.0, "test": 0.0})
    seed: int = 0
    exclusions: Exclusions = field(default_factory=Exclusions)


def read_recorded(records: Path, settings: RecordSettings | None = None) -> dict[str, list[RecordedPrompt]]:
    """The prompts of each split that has any, in the order of the file.

    Files without splits are divided: one's own questions by scenes, the public layout, which names none, by prompts.

    Args:
        records: A folder that ``remot data build`` wrote, the file with its prompts, one's own questions, or a file in
            the public layout.
        settings: How they are shown and divided.

    Raises:
        ConfigError: If there is no such file or folder.
        AnnotationError: If a line is malformed.
        DecodeError: If an image or video is missing.
        EmptySplitError: If nothing is left to train on.
    """
    settings = settings or RecordSettings()
    if records.is_dir():
        read_manifest(records)
        records = records / RECORDS
    require_records(records)
    folder = records.parent if settings.images_root is None else settings.images_root
    layout = layout_of(records)
    if layout == "built":
        prompts = list(_built(records, folder))
    else:
        read = _asked(records, folder, settings.num_frames) if layout == "questions" else _released(records, folder)
        prompts = list(read)
    prompts = settings.exclusions.remaining(prompts)
    if layout == "built":
        by_split = {name: [prompt for prompt in prompts if prompt.split == name] for name in SPLITS}
        splits = {name: part for name, part in by_split.items() if part}
    else:
        splits = _divided(prompts, settings)
    if "train" not in splits:
        msg = f"data.records: {records} holds no prompt to train on"
        raise EmptySplitError(msg)
    return splits


def layout_of(file: Path) -> Literal["built", "released", "questions"]:
    """What a file of prompts holds, by the keys of its first object.

    ``built`` is what ``remot data build`` writes, ``released`` the public ReMoT layout, ``questions`` one's own.

    Raises:
        AnnotationError: If it holds nothing, or no objects.
    """
    for _, first in read_objects(file):
        return "built" if "remot" in first else "released" if "messages" in first else "questions"
    msg = f"{file}: holds no prompt"
    raise AnnotationError(msg, reason="zero length")


def _asked(file: Path, folder: Path, num_frames: int) -> Iterator[RecordedPrompt]:
    """One's own questions."""
    for record in read_qa(file):
        question = Question(
            prompt_id=record.record_id,
            text=record.text,
            slots=(),
            domain=file.stem,
            scene_id=record.scene,
            reasoning=record.reasoning,
            format=record.answer_type,
            target=record.response,
            task=metric_name(record.task or record.answer_type),
            reference=record.reference,
        )
        images = tuple(find_media(record.where, image, folder) for image in record.images)
        video = _span(record, folder, num_frames) if record.video else None
        yield RecordedPrompt(question, images, record.video or record.images[0], record.where, video=video)


def _span(record: QARecord, folder: Path, num_frames: int) -> VideoSpan:
    """What is shown of a video; a part of it has to hold a frame."""
    file = find_media(record.where, record.video, folder)
    span = VideoSpan(file, num_frames, record.start_seconds, record.end_seconds)
    if (record.start_seconds, record.end_seconds) != (None, None):
        try:
            frame_times(span)
        except DecodeError as error:
            msg = f"{record.where}: {error}"
            raise DecodeError(msg, reason=error.reason) from error
    return span


def metric_name(task: str) -> str:
    """The name of a task as part of a metric's name, for which some signs are not allowed.

    >>> metric_name("how many chairs?")
    'how many chairs_'
    """
    return _NOT_IN_METRICS.sub("_", task)


def _built(file: Path, folder: Path) -> Iterator[RecordedPrompt]:
    lines: dict[str, int] = {}
    for number, record in read_lines(file):
        where = f"{file}: line {number}"
        prompt = from_record(where, record)
        _require_new(where, prompt.question.prompt_id, lines, number)
        pictures = tuple(image_in(where, name, folder) for name in prompt.images)
        times = tuple(frame.pts_seconds for frame in prompt.frames) if prompt.as_video else ()
        source = (prompt.clip_id, where, times)
        yield RecordedPrompt(prompt.question, pictures, *source, split=prompt.split, as_pairs=prompt.as_pairs)


def _require_new(where: str, prompt_id: str, lines: dict[str, int], number: int) -> None:
    if (first := lines.setdefault(prompt_id, number)) != number:
        msg = f"{where}: the id {prompt_id!r:.80} is taken by line {first}, each prompt needs its own"
        raise AnnotationError(msg, reason="duplicate id")


def image_in(where: str, name: str, folder: Path) -> Path:
    """The existing image ``name`` below ``folder``.

    Raises:
        AnnotationError: If it lies outside.
        DecodeError: If it is missing.
    """
    try:
        picture = (folder / name).resolve()
        inside, exists = picture.is_relative_to(folder.resolve()), picture.is_file()
    except (OSError, ValueError) as error:
        msg = f"{where}: the image {name!r:.80} is no valid path ({error})"
        raise AnnotationError(msg) from error
    if not inside:
        msg = f"{where}: the image {name!r:.80} leads outside {folder}"
        raise AnnotationError(msg, reason="outside root")
    if not exists:
        msg = f"{where}: the image {name!r:.80} is not in {folder}; copy the folder with all its images"
        raise DecodeError(msg, reason="missing media")
    return picture


def _released(file: Path, folder: Path) -> Iterator[RecordedPrompt]:
    """Prompts with lettered options; the others cannot be judged and are left out with a warning."""
    prompts = read_released(file)
    judged = [prompt for prompt in prompts if prompt.question.slots]
    if len(judged) < len(prompts):
        left_out = f"{file}: {len(prompts) - len(judged)} prompts ask for words or numbers and are left out"
        warnings.warn(f"{left_out}, {len(judged)} remain", stacklevel=2)
    lines: dict[str, int] = {}
    for prompt in judged:
        where, prompt_id = f"{file}: line {prompt.line}", prompt.question.prompt_id
        _require_new(where, prompt_id, lines, prompt.line)
        pictures = tuple(find_below(where, image, folder) for image in prompt.images)
        yield RecordedPrompt(prompt.question, pictures, prompt_id, where)


def find_below(where: str, published: str, folder: Path) -> Path:
    """The file that a path of another machine means: the longest end of the path that exists below ``folder``.

    ``/data/them/scenes/7/a.png`` may be found as ``FOLDER/scenes/7/a.png``.

    Raises:
        AnnotationError: If the path leads upwards.
        DecodeError: If no end of it exists.
    """
    parts = [part for part in PurePosixPath(published).parts if part != "/"]
    if ".." in parts or "\0" in published:
        msg = f"{where}: the image {published!r:.80} leads outside {folder}"
        raise AnnotationError(msg, reason="outside root")
    inside = folder.resolve()
    for start in range(len(parts)):
        found = folder.joinpath(*parts[start:])
        with suppress(OSError):  # such as a name that is too long
            if found.is_file() and found.resolve().is_relative_to(inside):
                return found
    msg = f"{where}: no end of the path {published!r:.200} exists below {folder}; name its folder as images_root"
    raise DecodeError(msg, reason="missing media")


def names_of_media(name: str) -> list[str]:
    """A published path, and for one without an ending those of videos of that name."""
    return [name] if PurePosixPath(name).suffix else [name, *(f"{name}{suffix}" for suffix in VIDEO_SUFFIXES)]


def find_media(where: str, published: str, folder: Path) -> Path:
    """As :func:`find_below`; a path without an ending also stands for a video of that name."""
    for name in names_of_media(published):
        try:
            return find_below(where, name, folder)
        except DecodeError as error:
            missing = error
    raise missing


def _divided(prompts: Sequence[RecordedPrompt], settings: RecordSettings) -> dict[str, list[RecordedPrompt]]:
    """Each split its share of the scenes, at least one of each split that is wanted where there are three or more."""
    fractions = settings.fractions
    splits = split_by_scene(
        prompts, fractions.get("val", 0.0), fractions.get("test", 0.0), settings.seed, required=False
    )
    parts = {"val": splits.val, "test": splits.test, "train": splits.train}
    return {name: list(part) for name, part in parts.items() if part}
