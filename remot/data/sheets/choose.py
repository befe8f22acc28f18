"""Which prompts to show, and what is written beside their pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from remot.data.built_file import BuiltT
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
    chosen = drawn(folder, prompts, num_rows, domain, ("attributes", attribute, lambda one: one.labels[0].attribute))
    return [triplet_row(folder, prompt) for prompt in chosen]


def drawn(
    folder: Path,
    prompts: Sequence[BuiltT],
    num_rows: int,
    domain: str | None,
    kinds: tuple[str, str | None, Callable[[BuiltT], str]],
) -> list[BuiltT]:
    """Prompts drawn at random, the same ones every time, sorted by kind.

    Args:
        folder: Of the prompts, for messages.
        prompts: All of them.
        num_rows: How many to draw at most.
        domain: Draw from this domain only.
        kinds: What kinds are called, the only one to draw, and which one a prompt is of.

    Raises:
        ConfigError: If there is none of that kind.
    """
    called, kind, kind_of = kinds
    fitting = [one for one in prompts if domain in {None, one.question.domain} and kind in {None, kind_of(one)}]
    if not fitting:
        domains = ", ".join(sorted({one.question.domain for one in prompts}))
        msg = f"{folder} holds no such prompt; it has the domains {domains} and the {called} "
        raise ConfigError(msg + ", ".join(sorted(set(map(kind_of, prompts)))))
    order = numpy_generator(0, "sheet").permutation(len(fitting))[:num_rows]
    return sorted((fitting[k] for k in order), key=kind_of)


def triplet_row(folder: Path, prompt: BuiltPrompt) -> SheetRow:
    """The row of one built triplet.

    Raises:
        AnnotationError: If a picture lies outside the folder.
        DecodeError: If a picture is missing.
    """
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
