"""What is asked about a clip: labels, triplets, questions and batches of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from remot.structures.clip import Clip


@dataclass(frozen=True)
class MotionLabel:
    """What an annotation says happened between two frames.

    Args:
        pair: 1-based picture numbers, such as (1, 2).
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


@dataclass(frozen=True, eq=False)
class Triplet:
    """Anchor, positive and negative frame of one clip with the labels of all three pairs.

    Args:
        clip: The source.
        frame_indices: Three different annotated frames, in the order the pictures are shown.
        labels: One label for each of :data:`remot.motion.PAIRS`.
        negative: How the negative was made, such as ``retrieval``.
    """

    clip: Clip
    frame_indices: tuple[int, int, int]
    labels: tuple[MotionLabel, MotionLabel, MotionLabel]
    negative: str = "retrieval"


@dataclass(frozen=True)
class Slot:
    """One multiple-choice question of a prompt.

    Args:
        label: The truth behind it.
        options: Values in the order of their letters.
        gold: The right letter.
    """

    label: MotionLabel
    options: tuple[str, ...]
    gold: str


@dataclass(frozen=True)
class Question:
    """The text of a prompt and everything needed to judge an answer to it.

    Args:
        prompt_id: Unique and stable; addresses the rollout noise.
        text: What the user says after the pictures.
        slots: The questions asked, in the order of the answer's letters.
        domain: Domain of the clip, for reports.
        scene_id: Scene of the clip, for intervals that respect that prompts of one scene are alike.
        reasoning: Reasoning that leads to the answer, told from the annotations; "" if they do not tell it.
    """

    prompt_id: str
    text: str
    slots: tuple[Slot, ...]
    domain: str
    scene_id: str
    reasoning: str = ""

    @property
    def solution(self) -> str:
        """The right letters in order."""
        return "".join(slot.gold for slot in self.slots)


class PromptBatch:
    """P prompts: pictures and questions.

    Not a dataclass, so that Lightning passes it on whole instead of converting what is in it.

    Args:
        images: For each prompt its pictures, uint8 tensors [3, H, W] on the CPU.
        questions: One question per prompt.
        clip_ids: Source clip of each prompt.
    """

    def __init__(
        self, images: Sequence[Sequence[Tensor]], questions: Sequence[Question], clip_ids: Sequence[str]
    ) -> None:
        if not len(images) == len(questions) == len(clip_ids):
            msg = f"{len(images)} image lists, {len(questions)} questions, {len(clip_ids)} clip ids"
            raise ValueError(msg)
        self.images = images
        self.questions = questions
        self.clip_ids = clip_ids

    def __len__(self) -> int:
        return len(self.questions)

    def __repr__(self) -> str:
        return f"PromptBatch(num_prompts={len(self)})"
