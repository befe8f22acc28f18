"""Images and videos of prompts: what is missing, and what a model is shown."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from remot.data.media.frames import read_video
from remot.data.media.images import read_image
from remot.data.media.video.probe import probe
from remot.errors import DecodeError
from remot.evaluation.benchmarks.base import BenchmarkPrompt, EmbeddedImage, VideoSpan
from remot.structures import PromptBatch, Question, Video

#: Missing files that an error names.
NUM_NAMED = 5


def with_media(prompts: Sequence[BenchmarkPrompt], *, skip_missing: bool) -> tuple[list[BenchmarkPrompt], list[Path]]:
    """The prompts whose files exist, and the files that do not.

    Args:
        prompts: All prompts.
        skip_missing: Leave out prompts with missing files.

    Raises:
        DecodeError: If a file is missing and prompts are not to be left out, naming the first files.
    """
    exists: dict[Path, bool] = {}
    for prompt in prompts:
        for file in prompt.files:
            if file not in exists:
                exists[file] = file.is_file()
    missing = [file for file, found in exists.items() if not found]
    if missing and not skip_missing:
        named = ", ".join(str(file) for file in missing[:NUM_NAMED])
        affected = sum(not all(exists[file] for file in prompt.files) for prompt in prompts)
        msg = (
            f"missing files: {len(missing)}, of {affected} of {len(prompts)} prompts, such as {named}; give their "
            "folder with --media, or leave these prompts out with --skip_missing"
        )
        raise DecodeError(msg, reason="missing media")
    return [prompt for prompt in prompts if all(exists[file] for file in prompt.files)], missing


def shown_batch(prompts: Sequence[BenchmarkPrompt], domain: str) -> PromptBatch:
    """P prompts as a policy is shown them.

    Args:
        prompts: The prompts.
        domain: Name of the benchmark.

    Raises:
        DecodeError: If an image or video cannot be decoded.
    """
    images, videos = [], []
    for prompt in prompts:
        pictures = [_read(image) for image in prompt.images]
        if prompt.image_seconds:
            if len({picture.shape for picture in pictures}) > 1:
                msg = f"{prompt.prompt_id}: the images of its video differ in size"
                raise DecodeError(msg)
            clips = [Video(torch.stack(pictures), prompt.image_seconds)]
            pictures = []
        else:
            clips = [] if prompt.video is None else [read_span(prompt.video)]
        images.append(pictures)
        videos.append(clips)
    questions = [Question(prompt.prompt_id, prompt.text, (), domain, prompt.scene) for prompt in prompts]
    return PromptBatch(images, questions, [prompt.scene for prompt in prompts], videos)


def _read(image: Path | EmbeddedImage) -> torch.Tensor:
    return read_image(image) if isinstance(image, Path) else read_image(Path(image.name), image.content)


def read_span(span: VideoSpan) -> Video:
    """Frames spread evenly over a span, at the places of ``numpy.linspace(0, n - 1, k, dtype=int)`` of its n frames.

    Their times are counted from the first image of the video.

    Raises:
        DecodeError: If the video cannot be decoded, or has no frame within the span.
    """
    times = probe(span.file).pts_seconds
    start = -np.inf if span.start_seconds is None else span.start_seconds
    end = np.inf if span.end_seconds is None else span.end_seconds
    inside = times[(times >= start) & (times <= end)]
    if not len(inside):
        msg = f"{span.file}: has no frame between {start:g} and {end:g} s; it ends at {times[-1]:g} s"
        raise DecodeError(msg)
    places = np.unique(np.linspace(0, len(inside) - 1, min(span.num_frames, len(inside)), dtype=int))
    wanted = [float(time) for time in inside[places]]
    return Video(torch.stack(read_video(span.file, wanted)), tuple(wanted))
