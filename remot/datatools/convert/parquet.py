"""Prompts as Parquet files that ``datasets.load_dataset`` opens, with their images.

The columns are those of other trainers: ``messages``, ``images`` and ``solution``. ``reference`` is what rewards
compare with, in the layout of ``remot score``.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from remot.data.media.images import is_turned, read_image
from remot.data.media.spans import read_span
from remot.data.records.reading import RecordedPrompt, RecordSettings, read_recorded
from remot.data.records.schema import score_record, solution_of
from remot.errors import ConfigError, DecodeError, EmptySplitError
from remot.files import cause_of, open_regular
from remot.locks import is_unwritten, staged
from remot.strict_json import json_text
from remot.viewer.images import as_image

Images = Literal["embedded", "paths"]
#: Names of the splits that ``datasets`` finds in file names.
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
#: Rows that are in memory at a time, and written as one group.
GROUP_ROWS = 64
#: Bytes of images after which another file begins.
SHARD_BYTES = 400 * 2**20
#: Columns beside ``images``, and what ``datasets`` calls their types.
_TEXT = pa.string(), {"dtype": "string", "_type": "Value"}
_NUMBER = pa.float64(), {"dtype": "float64", "_type": "Value"}
_MESSAGES = (
    pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
    {"feature": {"role": _TEXT[1], "content": _TEXT[1]}, "_type": "List"},
)
_COLUMNS: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "id": _TEXT,
    "messages": _MESSAGES,
    "image_seconds": (pa.list_(_NUMBER[0]), {"feature": _NUMBER[1], "_type": "List"}),
    "video": _TEXT,
    "start": _NUMBER,
    "end": _NUMBER,
    "solution": _TEXT,
    "reference": _TEXT,
    "task": _TEXT,
    "scene": _TEXT,
}
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True)
class ParquetSettings:
    """How prompts are written.

    Args:
        images: ``embedded`` puts the bytes of image files into the table, ``paths`` their absolute paths.
        images_root: Folder of images and videos; the one the file lies in if None.
        num_frames: Frames of a video file that are embedded as images in place of its path; None leaves the path.
        val_fraction: Share of the scenes in the validation split, for files without splits.
        test_fraction: Share of the scenes in the test split.
        seed: Names the division.
    """

    images: Images = "embedded"
    images_root: Path | None = None
    num_frames: int | None = None
    val_fraction: float = 0.0
    test_fraction: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_frames is not None and (self.images == "paths" or self.num_frames < 1):
            msg = f"--num_frames {self.num_frames} embeds at least 1 frame of a video; leave --images paths out with it"
            raise ConfigError(msg)


def write_parquet(records: Path, out: Path, settings: ParquetSettings) -> dict[str, int]:
    """Write the prompts of each split to ``OUT/SPLIT-00000-of-00001.parquet`` and so on.

    Args:
        records: A folder that ``remot data build`` wrote, one's own questions, or a file in the public layout.
        out: New or empty folder.
        settings: How they are written.

    Returns:
        Prompts of each split by the name that ``datasets`` gives it.

    Raises:
        ConfigError: If the folder holds something or cannot be written to.
        AnnotationError: If a line is malformed.
        DecodeError: If an image or video is missing or cannot be read.
        EmptySplitError: If a wanted split would have no prompt.
    """
    if not is_unwritten(out):
        msg = f"--out {out} is not empty; give a new folder"
        raise ConfigError(msg)
    fractions = {"val": settings.val_fraction, "test": settings.test_fraction}
    splits = read_recorded(
        records, RecordSettings(settings.images_root, settings.num_frames or 1, fractions, settings.seed)
    )
    for name in (one for one, fraction in fractions.items() if fraction and one not in splits):
        msg = f"{records} holds no prompt of the {name} split; add scenes, or leave --{name}_fraction out"
        raise EmptySplitError(msg)
    try:
        with staged(out, is_new=True) as stage:
            for split, prompts in splits.items():
                rows = (row_of(prompt, settings) for prompt in prompts)
                _write_split(stage, SPLIT_NAMES[split], rows, settings.images)
    except (OSError, pa.ArrowException) as error:
        msg = f"--out {out}: cannot be written ({cause_of(error)})"
        raise ConfigError(msg) from error
    return {SPLIT_NAMES[split]: len(prompts) for split, prompts in splits.items()}


def row_of(prompt: RecordedPrompt, settings: ParquetSettings) -> dict[str, Any]:
    """One prompt as a row."""
    question, span = prompt.question, prompt.video
    images: list[Any] = [str(file.resolve()) for file in prompt.image_files]
    if settings.images == "embedded":
        images = [{"bytes": _content(file, prompt.where), "path": file.name} for file in prompt.image_files]
    row: dict[str, Any] = {
        "id": question.prompt_id,
        "messages": [{"role": "user", "content": question.text}],
        "solution": solution_of(question),
        "reference": json_text(score_record(question)),
        "task": question.task,
        "scene": question.scene_id,
        "images": images,
        "image_seconds": list(prompt.video_seconds) or None,
    }
    if span is not None and settings.num_frames is None:
        row |= {"video": str(span.file.resolve()), "start": span.start_seconds, "end": span.end_seconds}
    elif span is not None:
        video = read_span(span)
        row["images"] = [{"bytes": _png(frame), "path": None} for frame in video.frames]
        row["image_seconds"] = list(video.pts_seconds)
    return row


def _png(image: Tensor) -> bytes:
    content = io.BytesIO()
    as_image(image).save(content, "png", compress_level=1)
    return content.getvalue()


def _content(file: Path, where: str) -> bytes:
    """Bytes of the file; of one that ``datasets`` would turn by its EXIF orientation the stored pixels, as PNG."""
    if is_turned(file):
        return _png(read_image(file))
    try:
        with open_regular(file) as stream:
            return stream.read()
    except OSError as error:
        msg = f"{where}: {file} cannot be read ({cause_of(error)})"
        raise DecodeError(msg) from error


def _write_split(out: Path, split: str, rows: Iterable[dict[str, Any]], images: Images) -> None:
    """Write files of bounded size, whose names count them."""
    kind, feature = (_IMAGE, {"_type": "Image"}) if images == "embedded" else _TEXT
    of_images = pa.list_(kind), {"feature": feature, "_type": "List"}
    kinds: dict[str, tuple[Any, Mapping[str, Any]]] = {"images": of_images, **_COLUMNS}
    # the note makes ``datasets`` decode the images
    note = json_text({"info": {"features": {name: kind for name, (_, kind) in kinds.items()}}})
    schema = pa.schema([(name, kind) for name, (kind, _) in kinds.items()], metadata={"huggingface": note})
    files: list[Path] = []
    remaining = iter(rows)
    groups = iter(lambda: list(islice(remaining, GROUP_ROWS)), [])
    for first in groups:
        files.append(out / f"{split}-{len(files):05d}.partial")
        with pq.ParquetWriter(files[-1], schema) as writer:
            for group in _up_to_size(first, groups):
                writer.write_table(pa.Table.from_pylist(group, schema))
    for number, file in enumerate(files):
        file.rename(out / f"{split}-{number:05d}-of-{len(files):05d}.parquet")


def _up_to_size(first: list[dict[str, Any]], others: Iterator[list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    """Groups of rows until their images fill a file."""
    num_bytes = 0
    for group in chain([first], others):
        yield group
        num_bytes += sum(len(image["bytes"]) for row in group for image in row["images"] if not isinstance(image, str))
        if num_bytes >= SHARD_BYTES:
            return
