"""Prompts from disk."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import torch

from remot.data.datasets.prompts import PromptDataset, Sample, replaced_split
from remot.data.media.images import read_image
from remot.data.media.spans import read_span
from remot.data.media.unchanged import require_unchanged
from remot.data.records.reading import RecordedPrompt
from remot.errors import DecodeError, EmptySplitError
from remot.seeding import numpy_generator
from remot.structures import Question, Video, pair_videos


class RecordDataset(PromptDataset):
    """Prompts that were built before; an epoch holds every prompt once, in an order given by (seed, split, epoch).

    Args:
        prompts: What there is.
        split: Name of the split.
        seed: Names the order of each epoch.
        shuffled: Each epoch in an order of its own; False keeps the order of the file.
        with_images: False leaves images unread, for use of the text alone.
        surveyed_ns: When the prompts were read, in ns since 1970; images that change later are refused. None: never.

    Raises:
        EmptySplitError: If there is no prompt.
    """

    def __init__(
        self,
        prompts: Sequence[RecordedPrompt],
        split: str,
        seed: int = 0,
        *,
        shuffled: bool = False,
        with_images: bool = True,
        surveyed_ns: int | None = None,
    ) -> None:
        if not prompts:
            msg = f"the {split} split of the records holds no prompt"
            raise EmptySplitError(msg)
        super().__init__(split, len(prompts), {prompt.question.scene_id for prompt in prompts})
        self.prompts = tuple(prompts)
        self.seed = seed
        self.shuffled = shuffled
        self.with_images = with_images
        self.surveyed_ns = surveyed_ns
        self.prefix = ""
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    def with_split(self, split: str) -> Self:
        """The same prompts, in orders of their own and named ``split/…``."""
        renamed = copy.copy(self)
        renamed.split, renamed.prefix, renamed._order = split, f"{split}/", (-1, self._order[1])
        return renamed

    def prompt(self, address: int) -> Sample:
        """The prompt at an address."""
        prompt = self.record(address)
        try:
            images = [read_image(image) for image in prompt.image_files] if self.with_images else []
            videos = [read_span(prompt.video)] if self.with_images and prompt.video is not None else []
            if self.with_images and self.surveyed_ns is not None:
                videos_read = [] if prompt.video is None else [prompt.video.file]
                require_unchanged([*prompt.image_files, *videos_read], self.surveyed_ns)
        except DecodeError as error:
            msg = f"{prompt.where}: {error}"
            raise DecodeError(msg, reason=error.reason) from error
        question = self.question(address)
        if prompt.as_pairs and images:
            return Sample((), question, prompt.clip_id, pair_videos(images))
        if not (prompt.video_seconds and images):
            return Sample(images, question, prompt.clip_id, videos)
        if any(image.shape != images[0].shape for image in images):
            msg = f"{prompt.where}: its images differ in size, and make no video; build it again"
            raise DecodeError(msg)
        return Sample((), question, prompt.clip_id, [Video(torch.stack(images), prompt.video_seconds)])

    def replacement(self, address: int, attempt: int) -> Sample:
        """Another prompt of the file in place of the one at an address, named after both."""
        generator = numpy_generator(self.seed, self.split, address, attempt, "replaced")
        other = self.with_split(f"{replaced_split(self.split, attempt)}/{self.prompt_id(address)}")
        return other.prompt(int(generator.integers(len(self))))

    def facts(self) -> Iterator[tuple[str, ...]]:
        """The prompts, and which show their images as a video or in pairs."""
        for one in self.prompts:
            shown = ["video"] * bool(one.video_seconds) + ["pairs"] * one.as_pairs
            yield (one.question.prompt_id, one.clip_id, one.question.text, *shown)

    def record(self, address: int) -> RecordedPrompt:
        """The prompt as it stands in the file."""
        count = len(self.prompts)
        epoch, number = divmod(address, count)
        if self._order[0] != epoch:
            generator = numpy_generator(self.seed, self.split, epoch, "recorded")
            self._order = epoch, generator.permutation(count) if self.shuffled else np.arange(count)
        return self.prompts[int(self._order[1][number])]

    def question(self, address: int) -> Question:
        """The prompt's text and right answers.

        From the second epoch on its name ends in ``#`` and the epoch's number: no two addresses may share a name, which
        addresses the rollout noise.
        """
        question, epoch = self.record(address).question, address // len(self.prompts)
        suffix = f"#{epoch}" if epoch else ""
        return replace(question, prompt_id=f"{self.prefix}{question.prompt_id}{suffix}")
