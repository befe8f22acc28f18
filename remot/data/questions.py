"""From a triplet to the text of a prompt, its options in shuffled order and the right letters."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from remot.answers import LETTERS
from remot.data.reasoning import readable, tell_reasoning
from remot.data.templates import CLOSING, ORDINALS, PAIR_LINE, WORDINGS
from remot.errors import ConfigError
from remot.motion import ATTRIBUTES
from remot.structures import MotionLabel, Question, Slot, Triplet

#: Whether options are shuffled anew for each question, or once for all questions of a prompt.
OptionOrder = Literal["question", "prompt"]


class QuestionWriter:
    """Writes one prompt about all pairs of a triplet.

    Args:
        num_wordings: How many wordings to choose from for each attribute; 1 always uses the first.
        binary: Ask about anchor and positive only, two pictures and one answer (the pair baseline of ReMoT,
            arXiv 2603.00461).
        option_order: ``question`` shuffles the options of each question, ``prompt`` those of all questions of a prompt
            alike, which is easier to learn for a model of a million parameters.
    """

    def __init__(
        self,
        num_wordings: int = 3,
        binary: bool = False,  # noqa: FBT001, FBT002 - a setting
        option_order: OptionOrder = "question",
    ) -> None:
        most = min(len(wordings) for wordings in WORDINGS.values())
        if not 1 <= num_wordings <= most:
            msg = f"num_wordings is {num_wordings}; choose 1 to {most}"
            raise ConfigError(msg)
        self.num_wordings = num_wordings
        self.binary = binary
        self.option_order: OptionOrder = option_order

    @property
    def num_pictures(self) -> int:
        """Pictures shown with each prompt."""
        return 2 if self.binary else 3

    def write(
        self, triplet: Triplet, prompt_id: str, picture_size: tuple[int, int], generator: np.random.Generator
    ) -> Question:
        """The prompt for ``triplet``.

        Args:
            triplet: Frames and labels.
            prompt_id: Unique, stable name.
            picture_size: Width and height of the clip's pictures in pixels, for the reasoning.
            generator: Chooses the wording and shuffles the options.
        """
        labels = triplet.labels[:1] if self.binary else triplet.labels
        slots = self._slots(labels, generator)
        wording = WORDINGS[labels[0].attribute][generator.integers(self.num_wordings)]
        pair_lines = map(_pair_line, ORDINALS, slots)
        lines = [wording.format(subject=readable(labels[0].subject)), *pair_lines, CLOSING[len(slots)]]
        frames = triplet.frame_indices[: self.num_pictures]
        return Question(
            prompt_id=prompt_id,
            text="\n".join(lines),
            slots=slots,
            domain=triplet.clip.domain,
            scene_id=triplet.clip.scene_id,
            reasoning=tell_reasoning(triplet.clip, frames, slots, picture_size),
        )

    def _slots(self, labels: Sequence[MotionLabel], generator: np.random.Generator) -> tuple[Slot, ...]:
        shared = _shuffled(labels[0], generator) if self.option_order == "prompt" else None
        return tuple(_slot(label, _shuffled(label, generator) if shared is None else shared) for label in labels)


def _shuffled(label: MotionLabel, generator: np.random.Generator) -> tuple[str, ...]:
    values = ATTRIBUTES[label.attribute].values
    return tuple(values[k] for k in generator.permutation(len(values)))


def _slot(label: MotionLabel, options: tuple[str, ...]) -> Slot:
    return Slot(label=label, options=options, gold=LETTERS[options.index(label.value)])


def _pair_line(ordinal: str, slot: Slot) -> str:
    options = ", ".join(f"{letter} {value}" for letter, value in zip(LETTERS, slot.options, strict=False))
    first, second = slot.label.pair
    return PAIR_LINE.format(ordinal=ordinal, first=first, second=second, options=options)
