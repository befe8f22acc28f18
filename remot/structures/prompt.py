"""What is asked about a clip: labels, triplets, questions and batches of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from remot.answers import LETTERS, render_response
from remot.errors import require_type, require_types
from remot.structures.clip import Clip
from remot.structures.references import Reference
from remot.structures.turns import Turn
from remot.structures.video import Video


@dataclass(frozen=True)
class MotionLabel:
    """What an annotation says happened between two frames.

    Args:
        pair: 1-based image numbers, such as (1, 2).
        attribute: A key of :data:`remot.motion.ATTRIBUTES`.
        value: One of the attribute's values.
        magnitude: Unsigned size of the motion.
        unit: Unit of ``magnitude``.
        subject: The arm or object that moved, "" for the camera.
    """

    pair: tuple[int, int]
    attribute: str
    value: str
    magnitude: float
    unit: str
    subject: str = ""


@dataclass(frozen=True)
class Warp:
    """A plane perspective map of an image, which a camera that only turns, zooms or shifts its window causes.

    Args:
        kind: How it came about, such as ``mirror``.
        matrix: Nine numbers in row order that take places in the shown image, (x, y, 1) in pixels with the origin at
            the outer top left corner, to those in the decoded image.
        size: Width and height of the shown image in pixels.
    """

    kind: str
    matrix: tuple[float, ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class MaskOf:
    """An object alone: white where it is, black elsewhere.

    Args:
        subject: Name of the object.
    """

    subject: str


class ImageEdit(ABC):
    """Any other change of a decoded image, a function of the image alone; a frozen record."""

    @abstractmethod
    def __call__(self, image: Tensor) -> Tensor:
        """The changed image, uint8 [3, H, W] like ``image``; the same for the same image."""


#: What is done to a decoded image before it is shown.
ImageTransform = Warp | MaskOf | ImageEdit


@dataclass(frozen=True, eq=False)
class Triplet:
    """Anchor, positive and negative frame of one clip with the labels of all three pairs.

    Args:
        clip: The source.
        frame_indices: Annotated frames in the order the images are shown; three different ones, unless one of them
            is shown transformed.
        labels: One label for each of :data:`remot.motion.PAIRS`, or one only for attributes that compare two images.
        negative: How the third image was found or made, such as ``retrieval``.
        transforms: What is done to each image, None for nothing.
    """

    clip: Clip
    frame_indices: tuple[int, ...]
    labels: tuple[MotionLabel, ...]
    negative: str = "retrieval"
    transforms: tuple[ImageTransform | None, ...] = (None, None, None)


@dataclass(frozen=True)
class Slot:
    """One question of a prompt, answered with a letter or a number.

    Args:
        label: The truth behind it.
        options: Answers in the order of their letters: values, pairs of images, or true and false; none for a number.
        gold: The right letter or number.
        letters: The options' letters.
        tolerance: Largest distance from the right number that counts as right; None for a question with letters.
    """

    label: MotionLabel
    options: tuple[str, ...]
    gold: str
    letters: str = LETTERS
    tolerance: float | None = None

    def __post_init__(self) -> None:
        """Refuse a text in place of several options."""
        require_type("label", self.label, MotionLabel)
        require_types("options", self.options, str)
        require_type("gold", self.gold, str)
        require_type("letters", self.letters, str)


def asks_numbers(slots: Sequence[Slot]) -> bool:
    """True if the answers are numbers, not letters."""
    return any(slot.tolerance is not None for slot in slots)


def solution_of(slots: Sequence[Slot]) -> str:
    """The right letters in order, or the right numbers separated by commas."""
    return (", " if asks_numbers(slots) else "").join(slot.gold for slot in slots)


@dataclass(frozen=True)
class Question:
    """The text of a prompt and everything needed to judge an answer to it.

    Args:
        prompt_id: Unique and stable; addresses the rollout noise.
        text: What the user says after the images.
        slots: The questions asked, in the order of the answer; all of one kind.
        domain: Domain of the clip, for reports.
        scene_id: Scene of the clip, for intervals that respect that prompts of one scene are alike.
        reasoning: Reasoning that leads to the answer, built from the annotations; "" if they do not suffice.
        format: How it is asked, such as ``multiple_choice``.
        target: The response of a perfect policy, if it is more than the reasoning and the solution; else "".
        task: Name of the task, by which rewards and scores are chosen; "" for a question from elsewhere.
        reference: What completions are compared with, where that is more than the letters of the slots.
        key_times: Element of an answer that names the times to look at again, such as ``glue``; "" if the frames stay.
        thinks: Whether reasoning is asked for before the answer.
    """

    prompt_id: str
    text: str
    slots: tuple[Slot, ...]
    domain: str
    scene_id: str
    reasoning: str = ""
    format: str = "multiple_choice"
    target: str = ""
    task: str = ""
    reference: Reference | None = None
    key_times: str = ""
    thinks: bool = True

    def __post_init__(self) -> None:
        """Refuse letters in place of slots, and other parts in place of a text."""
        require_type("text", self.text, str)
        require_types("slots", self.slots, Slot)

    @property
    def response(self) -> str:
        """The response of a perfect policy; "" if there is none, as for a question without slots and target."""
        if self.target or not self.slots:
            return self.target
        return self.respond(self.solution)

    def respond(self, letters: str) -> str:
        """The response with these letters or numbers, and the reasoning of the right ones if it is asked for."""
        return render_response(self.reasoning if self.thinks else None, letters)

    @property
    def asks_numbers(self) -> bool:
        """True if the answers are numbers, not letters."""
        return asks_numbers(self.slots)

    @property
    def solution(self) -> str:
        """The right letters in order, or the right numbers separated by commas."""
        return solution_of(self.slots)


def reference_of(question: Question) -> Reference:
    """What to compare answers to ``question`` with: its reference, else its letters, else nothing at all."""
    if question.reference is not None:
        return question.reference
    return Reference(answer=question.solution) if question.slots else Reference()


def with_counterfactuals(
    question: Question, completions: Iterable[str], answer_map: Mapping[str, str] | None = None, change: str = ""
) -> Question:
    """``question`` with ``completions`` as the counterfactuals of its reference; everything else stays.

    Args:
        question: Any question.
        completions: Completions of the same policy for a changed input.
        answer_map: How the change carries over to answers; the reference's own if None.
        change: Name of the change.
    """
    reference = replace(reference_of(question), counterfactuals=tuple(completions), change=change)
    if answer_map is not None:
        reference = replace(reference, answer_map=answer_map)
    return replace(question, reference=reference)


def with_turns(question: Question, turns: Iterable[Turn]) -> Question:
    """``question`` with the ``turns`` before a completion in its reference; everything else stays."""
    return replace(question, reference=replace(reference_of(question), turns=tuple(turns)))


def task_of(question: Question) -> str:
    """Name of the task of ``question``: its own, else how it is asked."""
    return question.task or question.format


class PromptBatch:
    """P prompts: images, videos and questions. A prompt shows its images first, then its videos, then the text.

    Not a dataclass, so that Lightning passes it on whole instead of converting what is in it.

    Args:
        images: For each prompt its images, uint8 tensors [3, H, W] on the CPU.
        questions: One question per prompt.
        clip_ids: Source clip of each prompt.
        videos: For each prompt its videos; no prompt has any if left out.
        replaced: What could not be read, once for each prompt that another one took the place of: clip and message.
    """

    def __init__(
        self,
        images: Sequence[Sequence[Tensor]],
        questions: Sequence[Question],
        clip_ids: Sequence[str],
        videos: Sequence[Sequence[Video]] | None = None,
        replaced: Sequence[tuple[str, str]] = (),
    ) -> None:
        videos = [()] * len(questions) if videos is None else videos
        if not len(images) == len(questions) == len(clip_ids) == len(videos):
            msg = (
                f"{len(images)} image lists, {len(questions)} questions, {len(clip_ids)} clip ids, "
                f"{len(videos)} video lists"
            )
            raise ValueError(msg)
        self.images = images
        self.questions = questions
        self.clip_ids = clip_ids
        self.videos = videos
        self.replaced = replaced

    @classmethod
    def joined(cls, batches: Sequence["PromptBatch"]) -> "PromptBatch":
        """The prompts of several batches, one after another."""
        return cls(
            images=[images for batch in batches for images in batch.images],
            questions=[question for batch in batches for question in batch.questions],
            clip_ids=[clip_id for batch in batches for clip_id in batch.clip_ids],
            videos=[videos for batch in batches for videos in batch.videos],
            replaced=[fault for batch in batches for fault in batch.replaced],
        )

    def __len__(self) -> int:
        return len(self.questions)

    def __repr__(self) -> str:
        return f"PromptBatch(num_prompts={len(self)})"
