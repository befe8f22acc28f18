"""Which prompts to show, and what is written beside their pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from remot.data.recorded import picture_in
from remot.data.records import BuiltFrame, BuiltPrompt
from remot.errors import ConfigError
from remot.seeding import numpy_generator
from remot.structures import MaskOf, MotionLabel


@dataclass(frozen=True)
class SheetRow:
    """One prompt of a sheet.

    Args:
        title: Which prompt it is.
        pictures: Its pictures, or their files.
        captions: Where each picture comes from.
        labels: The truth about each pair, with its size; of a task what its reference holds.
        text: The question.
        gold: The right answer, or the response that is told.
    """

    title: str
    pictures: tuple[Path | Image.Image, ...]
    captions: tuple[str, ...]
    labels: tuple[str, ...]
    text: str
    gold: str


def choose_rows(
    folder: Path, prompts: Sequence[BuiltPrompt], num_rows: int, domain: str | None = None, attribute: str | None = None
) -> list[SheetRow]:
    """Prompts drawn at random, the same ones every time, sorted by attribute.

    Args:
        folder: Folder of the built prompts.
        prompts: All of them.
        num_rows: How many to show at most.
        domain: Show this domain only.
        attribute: Show this attribute only.

    Raises:
        ConfigError: If there is none of that kind.
        AnnotationError: If a picture lies outside the folder.
        DecodeError: If a picture is missing.
    """
    fitting = [
        prompt
        for prompt in prompts
        if domain in {None, prompt.question.domain} and attribute in {None, prompt.labels[0].attribute}
    ]
    if not fitting:
        domains = sorted({prompt.question.domain for prompt in prompts})
        attributes = sorted({prompt.labels[0].attribute for prompt in prompts})
        msg = f"{folder} holds no such prompt; it has the domains {', '.join(domains)} and the attributes "
        raise ConfigError(msg + ", ".join(attributes))
    order = numpy_generator(0, "sheet").permutation(len(fitting))[:num_rows]
    chosen = sorted((fitting[k] for k in order), key=lambda prompt: prompt.labels[0].attribute)
    return [_row(folder, prompt) for prompt in chosen]


def _row(folder: Path, prompt: BuiltPrompt) -> SheetRow:
    question = prompt.question
    pictures = tuple(picture_in(f"{folder}: {question.prompt_id}", name, folder) for name in prompt.images)
    return SheetRow(
        title=f"{question.prompt_id}  clip {prompt.clip_id}  {prompt.negative}, {question.format}",
        pictures=pictures,
        captions=tuple(_caption(number, frame) for number, frame in enumerate(prompt.frames[: len(pictures)], 1)),
        labels=tuple(label_text(label) for label in prompt.labels),
        text=question.text,
        gold=question.solution,
    )


def _caption(number: int, frame: BuiltFrame) -> str:
    shown = (
        ""
        if frame.transform is None
        else ", mask"
        if isinstance(frame.transform, MaskOf)
        else f", {frame.transform.kind}"
    )
    return f"{number}: frame {frame.index}, {frame.pts_seconds:.2f} s{shown}"


def label_text(label: MotionLabel) -> str:
    """What a label says, in words."""
    subject = f" of {label.subject}" if label.subject else ""
    first, second = label.pair
    return f"{first} to {second}: {label.attribute}{subject} {label.value} ({label.magnitude:.3g} {label.unit})"
