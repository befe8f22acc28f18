"""Motion-contrast prompts by address, balanced over the clips of a split."""

from collections.abc import Sequence
from functools import partial

from remot.data.media.image_changes import ImageChange, ImageChanges
from remot.data.questions.reasoning import describe_labels
from remot.data.questions.writer import QuestionWriter
from remot.data.tasks.base import PromptSeed, TaskIndex, TaskPlan
from remot.data.tasks.motion_contrast.balancing import BalanceBy, TripletIndex
from remot.data.tasks.motion_contrast.sampler import TripletCandidate, TripletSampler
from remot.errors import ConfigError, EmptySplitError
from remot.seeding import numpy_generator
from remot.structures import Clip, MotionLabel, Triplet

#: Triplets drawn for a prompt until the requested format can ask about one.
MAX_DRAWS = 200


class MotionContrastIndex(TaskIndex):
    """Plans motion-contrast prompts, balanced over the clips of a split.

    Attributes are interleaved round-robin: each run of as many addresses as there are attributes holds every one once.

    Raises:
        EmptySplitError: If no triplet can be built from ``clips``.
    """

    def __init__(
        self,
        sampler: TripletSampler,
        writer: QuestionWriter,
        clips: Sequence[Clip],
        candidates: Sequence[Sequence[TripletCandidate]],
        balance_by: BalanceBy = "attribute",
        split: str = "train",
        *,
        as_pairs: bool = False,
        changes: ImageChanges | None = None,
    ) -> None:
        self.sampler, self.writer, self.clips, self.as_pairs = sampler, writer, clips, as_pairs
        self.changes = changes
        self.balance = TripletIndex(clips, sampler, balance_by, candidates)
        if not self.balance.attributes:
            msg = (
                f"no triplet can be built from the {len(clips)} clips of the {split} split: no three frames are "
                "clearly still or clearly moved under any expert; lower salient_min, raise still or add clips"
            )
            raise EmptySplitError(msg)

    def plan(self, at: PromptSeed) -> tuple[Clip, TaskPlan]:
        """Clip and plan of a prompt; decodes nothing unless a negative looks at images."""
        triplet = self.triplet(at)
        label = triplet.labels[0]
        asked, written = self.writer.write(
            triplet,
            at.generator("question"),
            self.balance.values(label.attribute, label.subject),
            self.writer.draw_format(at.generator("format")),
            self.balance.slot_values(label.attribute, label.subject),
        )
        shown, change = self.writer.num_images(triplet), self._change(at, label)
        reasoning = partial(self.writer.reasoning, triplet, written.slots)
        plan = TaskPlan(
            frame_indices=triplet.frame_indices[:shown],
            text="\n".join(written.lines),
            as_video=False,
            as_pairs=self.as_pairs,
            change=change,
            thought=reasoning if change is None else describe_labels(written.slots),  # places are others then
            slots=written.slots,
            transforms=triplet.transforms[:shown],
            format=asked.name,
            labels=self.writer.labels(triplet),
            negative=triplet.negative,
            thinks=self.writer.thinks,
        )
        return triplet.clip, plan

    def _change(self, at: PromptSeed, label: MotionLabel) -> ImageChange | None:
        """What is done to the images of a training prompt: to those about a thing nothing, as places may count."""
        is_trained = at.split.partition("~")[0] == "train"
        if self.changes is None or not is_trained or not label.attribute.startswith("camera_"):
            return None
        return self.changes.draw(at.generator("image changes"))

    def triplet(self, at: PromptSeed) -> Triplet:
        """The frames and labels behind a prompt; a ConfigError if no format can ask about what is drawn."""
        generator, attribute = at.generator("triplet"), self.attribute(at)
        fallback: Triplet | None = None
        for _ in range(MAX_DRAWS):
            entry, pattern = self.balance.draw(attribute, generator)
            place = entry.expert_index, entry.subject, pattern
            triplet = self.sampler.sample(self.clips[entry.clip_index], *place, generator, entry.negative_index)
            if self.writer.draw_format(at.generator("format")).accepts(self.writer.labels(triplet)):
                return triplet
            fallback = fallback or (triplet if self.writer.accepts(triplet) else None)
        if fallback is not None:
            return fallback
        msg = (
            f"no question of the formats {', '.join(one.name for one in self.writer.formats)} can be asked about "
            f"{attribute} in {MAX_DRAWS} tries; add a format or leave the expert out"
        )
        raise ConfigError(msg)

    def attribute(self, at: PromptSeed) -> str:
        """The attribute a prompt asks about."""
        names = self.balance.attributes
        turn, place = divmod(at.address, len(names))
        order = numpy_generator(at.seed, at.split, turn, "attributes").permutation(len(names))
        return names[int(order[place])]
