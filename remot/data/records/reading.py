"""Finished prompts from disk: folders that ``remot data build`` wrote, and files in the public ReMoT layout."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from remot.data.records.folder import RECORDS, read_manifest
from remot.data.records.jsonl import SPLITS, read_lines
from remot.data.records.parsing import from_record
from remot.data.records.released import read_released
from remot.errors import AnnotationError, ConfigError, DecodeError, EmptySplitError
from remot.seeding import numpy_generator
from remot.structures import Question


@dataclass(frozen=True)
class RecordedPrompt:
    """One prompt and where its images are.

    Args:
        question: Text, slots and right answers.
        image_files: Files of its images, in the order shown.
        clip_id: Source clip, or the prompt's own name where that is not known.
        where: File and line, for messages.
        video_seconds: Times of the images, if they are shown as a video; else empty.
    """

    question: Question
    image_files: tuple[Path, ...]
    clip_id: str
    where: str
    video_seconds: tuple[float, ...] = ()


def read_recorded(
    records: Path, images_root: Path | None = None, fractions: Mapping[str, float] = MappingProxyType({}), seed: int = 0
) -> dict[str, list[RecordedPrompt]]:
    """The prompts of each split that has any, in the order of the file.

    Args:
        records: A folder that ``remot data build`` wrote, the file with its prompts, or a file in the public layout.
        images_root: Folder of the images; by default the one the file lies in.
        fractions: Shares of ``val`` and ``test``, for files without splits.
        seed: Names the shuffle of such files.

    Raises:
        ConfigError: If there is no such file or folder.
        AnnotationError: If a line is malformed.
        DecodeError: If an image is missing.
        EmptySplitError: If nothing is left to train on.
    """
    if records.is_dir():
        read_manifest(records)
        records = records / RECORDS
    if not records.is_file():
        msg = f"data.records: {records} does not exist; give a folder that `remot data build` wrote, or a JSONL file"
        raise ConfigError(msg)
    folder = records.parent if images_root is None else images_root
    if _is_built(records):
        splits = _built(records, folder)
    else:
        splits = _divided(list(_released(records, folder)), fractions, seed)
    if "train" not in splits:
        msg = f"data.records: {records} holds no prompt to train on"
        raise EmptySplitError(msg)
    return splits


def _is_built(file: Path) -> bool:
    """Whether the first line has the key that only ``remot data build`` writes."""
    return any("remot" in record for _, record in islice(read_lines(file), 1))


def _built(file: Path, folder: Path) -> dict[str, list[RecordedPrompt]]:
    splits: dict[str, list[RecordedPrompt]] = {name: [] for name in SPLITS}
    lines: dict[str, int] = {}
    for number, record in read_lines(file):
        where = f"{file}: line {number}"
        prompt = from_record(where, record)
        _require_new(where, prompt.question.prompt_id, lines, number)
        pictures = tuple(image_in(where, name, folder) for name in prompt.images)
        times = tuple(frame.pts_seconds for frame in prompt.frames) if prompt.as_video else ()
        splits[prompt.split].append(RecordedPrompt(prompt.question, pictures, prompt.clip_id, where, times))
    return {name: prompts for name, prompts in splits.items() if prompts}


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
        told = f"{file}: {len(prompts) - len(judged)} prompts ask for words or numbers and are left out"
        warnings.warn(f"{told}, {len(judged)} remain", stacklevel=2)
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
        if _is_file(found) and found.resolve().is_relative_to(inside):
            return found
    msg = f"{where}: no end of the path {published!r:.200} exists below {folder}; give data.images_root"
    raise DecodeError(msg, reason="missing media")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False


def _divided(
    prompts: Sequence[RecordedPrompt], fractions: Mapping[str, float], seed: int
) -> dict[str, list[RecordedPrompt]]:
    """Each split its share, at least one prompt of each that is wanted."""
    if min(fractions.values(), default=0) < 0 or sum(fractions.values()) >= 1:
        told = ", ".join(f"{name}_fraction={share}" for name, share in fractions.items())
        msg = f"{told}; choose shares from 0 that sum to less than 1"
        raise ConfigError(msg)
    order, start = numpy_generator(seed, "recorded").permutation(len(prompts)), 0
    parts = {}
    for name, share in fractions.items():
        size = max(1, round(share * len(prompts))) if share > 0 else 0
        parts[name] = order[start : start + size]
        start += size
    parts["train"] = order[start:]
    return {name: [prompts[k] for k in sorted(part)] for name, part in parts.items() if len(part)}
