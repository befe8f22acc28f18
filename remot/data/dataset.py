"""Prompts by number: the same number is the same prompt, whoever asks and however often."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from torch import Tensor
from torch.utils.data import Dataset

from remot.data.formats import QuestionFormat
from remot.data.index import BalanceBy, TripletIndex
from remot.data.questions import QuestionWriter
from remot.data.shown import read_pictures
from remot.data.triplets import Askable, TripletSampler
from remot.errors import ConfigError, EmptySplitError
from remot.seeding import numpy_generator
from remot.structures import Clip, Question, Triplet, Video

#: Triplets drawn for a prompt until the format wished for can ask about one.
MAX_DRAWS = 200


@dataclass(frozen=True, eq=False)
class Sample:
    """One prompt.

    Args:
        images: Its pictures, uint8 tensors [3, H, W].
        question: What is asked about them.
        clip_id: Where they come from.
        videos: Its videos, shown after the pictures.
    """

    images: Sequence[Tensor]
    question: Question
    clip_id: str
    videos: Sequence[Video] = ()


class TripletDataset(Dataset[Sample]):
    """Motion-contrast prompts made from annotated clips.

    An item's number is an *address*: any integer from 0, with no end. Address ``a`` is prompt ``a % num_prompts`` of
    epoch ``a // num_prompts``, so later epochs hold new prompts and resuming means asking for later addresses. The
    prompt is a function of (seed, split, address) alone.

    Attributes take turns: each run of as many addresses as there are attributes holds every attribute once.

    Args:
        clips: The clips of this split.
        sampler: Finds triplets.
        writer: Makes questions of them.
        split: Name of the split, part of every prompt's name and random stream.
        num_prompts: Prompts in an epoch.
        seed: Names the random streams.
        balance_by: Over what answers are balanced, see :class:`remot.data.index.TripletIndex`.
        askables: What can be asked about each clip, if that is known already.

    Raises:
        EmptySplitError: If no triplet can be built from ``clips``.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        sampler: TripletSampler,
        writer: QuestionWriter,
        split: str,
        num_prompts: int,
        seed: int = 0,
        balance_by: BalanceBy = "attribute",
        askables: Sequence[Sequence[Askable]] | None = None,
    ) -> None:
        if num_prompts < 1:
            msg = f"the {split} split is asked for {num_prompts} prompts; ask for at least 1"
            raise ConfigError(msg)
        self.clips = clips
        self.sampler = sampler
        self.writer = writer
        self.split = split
        self.num_prompts = num_prompts
        self.seed = seed
        self.index = TripletIndex(self.clips, sampler, balance_by, askables)
        if not self.index.attributes:
            msg = (
                f"no triplet can be built from the {len(self.clips)} clips of the {split} split: no three frames are "
                "clearly still or clearly moved under any expert; lower salient_min, raise still or add clips"
            )
            raise EmptySplitError(msg)

    def __len__(self) -> int:
        return self.num_prompts

    def renamed(self, split: str) -> Self:
        """The same clips under a name with random streams of its own."""
        renamed = copy.copy(self)
        renamed.split = split
        return renamed

    def __getitem__(self, address: int) -> Sample:
        triplet = self.triplet(address)
        return self.sample(address, triplet)

    def sample(self, address: int, triplet: Triplet) -> Sample:
        """The prompt ``address`` about ``triplet``, which is what :meth:`triplet` gives for it.

        Raises:
            DecodeError: If a picture cannot be decoded.
        """
        pictures = read_pictures(triplet, self.writer.num_pictures(triplet))
        question = self.question(address, triplet, picture_size=pictures.decoded_size)
        return Sample(images=pictures.shown, question=question, clip_id=triplet.clip.clip_id)

    def triplet(self, address: int) -> Triplet:
        """The frames and labels behind a prompt; decodes nothing unless a negative looks at pictures.

        Raises:
            ConfigError: If none of the formats can ask about what is drawn.
        """
        generator = numpy_generator(self.seed, self.split, address, "triplet")
        fallback: Triplet | None = None
        for _ in range(MAX_DRAWS):
            entry, pattern = self.index.draw(self.attribute(address), generator)
            place = entry.expert_index, entry.subject, pattern
            triplet = self.sampler.sample(self.clips[entry.clip_index], *place, generator, entry.negative_index)
            if self.writer.grants(self._wish(address), triplet):
                return triplet
            fallback = fallback or (triplet if self.writer.fits(triplet) else None)
        if fallback is not None:
            return fallback
        msg = (
            f"no question of the formats {', '.join(one.name for one in self.writer.formats)} can be asked about "
            f"{self.attribute(address)} in {MAX_DRAWS} tries; add a format or leave the expert out"
        )
        raise ConfigError(msg)

    def question(self, address: int, triplet: Triplet, picture_size: tuple[int, int]) -> Question:
        """The text and right answers of a prompt.

        Args:
            address: Its number.
            triplet: What :meth:`triplet` gives for ``address``.
            picture_size: Width and height of the clip's pictures in pixels; only the reasoning depends on it.
        """
        epoch, number = divmod(address, self.num_prompts)
        label = triplet.labels[0]
        return self.writer.write(
            triplet,
            prompt_id=f"{self.split}/{epoch}/{number}",
            picture_size=picture_size,
            generator=numpy_generator(self.seed, self.split, address, "question"),
            values=self.index.values(label.attribute, label.subject),
            slot_values=self.index.slot_values(label.attribute, label.subject),
            wish=self._wish(address),
        )

    def _wish(self, address: int) -> QuestionFormat:
        return self.writer.wish(numpy_generator(self.seed, self.split, address, "format"))

    def attribute(self, address: int) -> str:
        """The attribute a prompt asks about."""
        names = self.index.attributes
        turn, place = divmod(address, len(names))
        order = numpy_generator(self.seed, self.split, turn, "attributes").permutation(len(names))
        return names[int(order[place])]
