"""``got-10k``: boxes in seven frames of a video (arXiv 1810.11981), by VideoChat-R1 and by the toolkit."""

import configparser
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from remot.data.media.images import IMAGE_SUFFIXES
from remot.errors import AnnotationError, ConfigError
from remot.evaluation.benchmarks.base import Benchmark, BenchmarkPrompt, Mean, Metric, ModelReply, Verdict, mean_of
from remot.evaluation.benchmarks.published import MAX_CHARS
from remot.files import files_in, in_number_order, open_text
from remot.rewards.functional.boxes import mean_overlap
from remot.rewards.parsing.literals import box_list
from remot.rewards.parsing.tags import first_element
from remot.structures import Box, FloatArray

#: Frames shown, and boxes asked for: the processor of Qwen2-VL shows the last frame twice.
NUM_SHOWN, NUM_BOXES = 7, 8
#: Frames a second at which the images of a sequence were taken.
FRAMES_PER_SECOND = 10.0
RIGHT_OVERLAP = 0.5
MAX_INI_CHARS = 10_000


class GOT10k(Benchmark):
    """Mean overlap of eight boxes, and the toolkit's AO and SR over the frames behind the first."""

    name: ClassVar[str] = "got-10k"
    max_new_tokens: ClassVar[int] = 1024

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """One prompt a sequence of a folder such as ``val``."""
        folders = sorted(file.parent for file in data.glob("*/groundtruth.txt")) if data.is_dir() else []
        if not folders:
            msg = f"--data {data}: holds no sequence with groundtruth.txt; give GOT-10k's val folder"
            raise ConfigError(msg)
        return [_prompt(folder, self.options.media or data) for folder in folders]

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401, ARG002
        """A list of eight boxes in the answer; None for anything else."""
        answer = first_element(text[:MAX_CHARS], "answer")
        return None if answer is None else box_list(answer, NUM_BOXES)

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """``overlap`` of VideoChat-R1; the toolkit's overlaps are computed in :meth:`metrics`."""
        mean = 0.0 if parsed is None else mean_overlap(parsed, [tuple(box) for box in prompt.gold])
        return {"overlap": mean, "right": float(mean >= RIGHT_OVERLAP)}

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """Both forms."""
        pooled = [(one.prompt.scene, overlap) for one in verdicts for overlap in toolkit_overlaps(one)]
        by_sequence = [(one.prompt.scene, float(np.mean(toolkit_overlaps(one) or [np.nan]))) for one in verdicts]
        success = [(scene, float(overlap > RIGHT_OVERLAP)) for scene, overlap in pooled]
        shown = f"frames behind the first of {NUM_SHOWN}, where the object is visible, of all sequences pooled"
        return [
            Metric("overlap", mean_of(verdicts, "overlap"), "VideoChat-R1: mean over videos of 8 boxes"),
            Metric("R@0.5", mean_of(verdicts, "right"), "VideoChat-R1: share of videos"),
            Metric("toolkit/AO", Mean(pooled), shown),
            Metric("toolkit/SR0.5", Mean(success), "overlap above 0.5"),
            Metric("toolkit/AO_by_sequence", Mean(by_sequence)),
        ]


def shown_indices(count: int) -> list[int]:
    """The frames VideoChat-R1 shows of ``count``: first, int(i (n - 1) / 6) for i = 1 … 5, last."""
    return [0, *(int(k * (count - 1) / 6) for k in range(1, 6)), count - 1]


def toolkit_overlaps(verdict: Verdict) -> list[float]:
    """Overlaps of the frames behind the first in which the object is visible; boxes are brought into the image.

    intersection / (union + eps) with the smallest float64 step as eps, as the toolkit computes it.
    """
    row, eps = verdict.prompt.row, np.finfo(float).eps
    predicted = verdict.parsed or [(0.0, 0.0, 0.0, 0.0)] * NUM_BOXES
    found = []
    for box, gold, cover in list(zip(predicted, verdict.prompt.gold, row["cover"], strict=False))[1:NUM_SHOWN]:
        if cover > 0:
            first, second = (_bounded(np.array(one, dtype=float)) for one in (box, gold))
            sides = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None)
            areas = [float(np.prod(one[2:] - one[:2])) for one in (first, second)]
            shared = float(np.prod(sides))
            found.append(min(1.0, shared / (sum(areas) - shared + eps)))
    return found


def _bounded(box: FloatArray) -> FloatArray:
    """The toolkit's bound: left and top are moved into the image, width and height kept as far as they fit in it."""
    corner = np.clip(box[:2], 0.0, 1.0)
    return np.concatenate([corner, corner + np.clip(box[2:] - box[:2], 0.0, 1.0 - corner)])


def _prompt(folder: Path, root: Path) -> BenchmarkPrompt:
    where, images_folder = str(folder), root / folder.name
    boxes = _numbers(folder / "groundtruth.txt", 4)
    cover = [row[0] for row in _numbers(folder / "cover.label", 1)] if (folder / "cover.label").is_file() else []
    width, height, name = _meta(folder)
    listed = files_in(images_folder, IMAGE_SUFFIXES) if images_folder.is_dir() else []
    names = in_number_order(where, (path.name for path in listed), AnnotationError)
    names = names or [f"{k + 1:08d}.jpg" for k in range(len(boxes))]
    if len(names) < len(boxes):
        msg = f"{where}: {len(names)} images for {len(boxes)} boxes"
        raise AnnotationError(msg, reason="unsynchronised")
    chosen = shown_indices(len(boxes))
    right: list[Box] = []
    for left, top, wide, high in (boxes[k] for k in [*chosen, chosen[-1]]):
        right.append((left / width, top / height, (left + wide) / width, (top + high) / height))
    first = ", ".join(f"{edge:.3f}" for edge in right[0])
    text = (
        f"These are {NUM_SHOWN} frames of a video. In the first one the box of the {name} is [{first}]: left, top, "
        "right, bottom in shares of the width and height. Give its box in each frame, and the last one once more: "
        f"a list of {NUM_BOXES} boxes [[left, top, right, bottom], ...] in <answer></answer>."
    )
    return BenchmarkPrompt(
        prompt_id=folder.name,
        text=text,
        gold=[list(box) for box in right],
        scene=folder.name,
        images=tuple(images_folder / names[k] for k in chosen),
        image_seconds=tuple(k / FRAMES_PER_SECOND for k in chosen) if len(set(chosen)) == NUM_SHOWN else (),
        sources=(folder.name,),
        row={"cover": [cover[k] if k < len(cover) else 8.0 for k in chosen]},
    )


def _numbers(file: Path, width: int) -> list[list[float]]:
    try:
        with open_text(file) as lines:
            rows = [[float(one) for one in line.replace(",", " ").split()] for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        msg = f"{file}: is no table of numbers ({error})"
        raise AnnotationError(msg) from error
    if not rows or any(len(row) != width or not np.isfinite(row).all() for row in rows):
        msg = f"{file}: each line must hold {width} finite numbers"
        raise AnnotationError(msg, reason="shape")
    return rows


def _meta(folder: Path) -> tuple[float, float, str]:
    """Width, height and name of the object, from ``meta_info.ini``."""
    file = folder / "meta_info.ini"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with open_text(file) as stream:
            parser.read_string(stream.read(MAX_INI_CHARS))
        section = parser["METAINFO"]
        width, height = (float(part) for part in section["resolution"].strip("() ").split(","))
    except (OSError, ValueError, KeyError, configparser.Error) as error:
        msg = f"{file}: needs resolution: (width, height) under [METAINFO] ({error})"
        raise AnnotationError(msg) from error
    if not (width > 0 and height > 0):
        msg = f"{file}: the resolution {width:g} x {height:g} is none"
        raise AnnotationError(msg)
    return width, height, section.get("object_class", "object")
