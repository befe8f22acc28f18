"""Images and videos of prompts: what is missing, and what a model is shown."""

from collections.abc import Sequence
from pathlib import Path

import torch

from remot.data.media.images import read_image
from remot.data.media.spans import read_span
from remot.errors import DecodeError
from remot.evaluation.benchmarks.base import BenchmarkPrompt
from remot.structures import PromptBatch, Question, Video, pair_videos

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
        pictures = [
            read_image(image) if isinstance(image, Path) else read_image(Path(image.name), image.content)
            for image in prompt.images
        ]
        if prompt.as_pairs:
            clips = pair_videos(pictures)
            pictures = []
        elif prompt.image_seconds:
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
