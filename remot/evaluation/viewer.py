"""Completions beside the images and videos they are about, as cards of the page of :mod:`remot.viewer`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from torch import Tensor

from remot.answers import parse_response
from remot.evaluation.scores import MIXED, attribute_of, judge
from remot.rewards.functional import answers_of, is_right, option_of
from remot.rewards.parsing.spans import spans_of_answer
from remot.structures import Question, Reference, Slot, Video
from remot.viewer import Answer, Card, Timeline, TimelineRow, page_html
from remot.viewer.cards import Mark
from remot.viewer.drawing import drawn_frames, given_boxes
from remot.viewer.images import as_image
from remot.viewer.timeline import spans_row

#: Frames shown of a video; of more, so many that lie evenly.
MAX_SHOWN_FRAMES = 16
#: Characters of an answer that a mark shows.
_MARK_CHARS = 20


@dataclass(frozen=True, eq=False)
class SampleRecord:
    """One prompt and what the policy said to it.

    Args:
        images: uint8 tensors [3, H, W] in the order shown to the policy.
        question: The prompt's question.
        completions: G texts.
        rewards: G mappings from reward part to value, ``total`` among them; empty if not scored.
        videos: Videos shown after the images.
        cut_off: For each completion whether it was cut off at the budget of new tokens; empty if unknown.
        right: For each completion whether it is right altogether, where that does not follow from slots; empty if
            unknown.
    """

    images: Sequence[Tensor]
    question: Question
    completions: Sequence[str]
    rewards: Sequence[Mapping[str, float]] = ()
    videos: Sequence[Video] = ()
    cut_off: Sequence[bool | None] = ()
    right: Sequence[bool | None] = ()

    def __post_init__(self) -> None:
        if self.rewards and len(self.rewards) != len(self.completions):
            msg = f"{len(self.completions)} completions but {len(self.rewards)} rewards in {self.question.prompt_id}"
            raise ValueError(msg)


def completions_html(samples: Sequence[SampleRecord], title: str, notes: Sequence[str] = ()) -> str:
    """The page of some prompts with their completions."""
    return page_html(map(card_of, samples), title, notes)


def card_of(sample: SampleRecord, gold_text: str = "") -> Card:
    """The card of a prompt.

    Args:
        sample: The prompt and its completions.
        gold_text: The right answer, where the question does not hold it.
    """
    question = sample.question
    captions = [f"image {number}" for number in range(1, len(sample.images) + 1)]
    images = [as_image(image, caption) for image, caption in zip(sample.images, captions, strict=True)]
    images = _drawn(images, [math.nan] * len(images), question)
    shown = [(images, captions), *(_strip(video, question) for video in sample.videos)]
    attribute = attribute_of(question)
    counts = [
        f"video {number}: {len(video)} frames"
        + (f", {MAX_SHOWN_FRAMES} of them shown" if len(video) > MAX_SHOWN_FRAMES else "")
        for number, video in enumerate(sample.videos, 1)
    ]
    return Card(
        title=question.prompt_id,
        images=[image for images, _ in shown for image in images],
        captions=[caption for _, captions in shown for caption in captions],
        question=question.text,
        gold=[("gold", f"{_pair(slot)} {slot.gold} {slot.label.value}") for slot in question.slots],
        gold_text="" if question.slots else question.target or gold_text,
        answers=_answers(sample),
        facts=counts,
        tags={
            "task": question.task,
            "attribute": "" if attribute == MIXED and not question.slots else attribute,
            "domain": question.domain,
        },
        timeline=_timeline(sample),
    )


def _pair(slot: Slot) -> str:
    first, second = slot.label.pair
    return f"{first}→{second}"


# -- what is seen --------------------------------------------------------------------------------------------------


def _strip(video: Video, question: Question) -> tuple[list[Image.Image], list[str]]:
    """Frames of a video, spread over all, with their times and what the reference holds about them."""
    chosen = np.unique(np.linspace(0, len(video) - 1, min(len(video), MAX_SHOWN_FRAMES)).round().astype(int))
    drawn = _drawn([as_image(frame) for frame in video.frames], video.pts_seconds, question)
    return [drawn[k] for k in chosen], [f"{video.pts_seconds[k]:.2f} s" for k in chosen]


def _drawn(images: list[Image.Image], times: Sequence[float], question: Question) -> list[Image.Image]:
    """The images with their boxes, as they are where there are none."""
    reference = question.reference or Reference()
    has_boxes = reference.boxes or reference.tracks or given_boxes(times, question.text)
    return drawn_frames(images, times, reference, question.text) if images and has_boxes else images


def _timeline(sample: SampleRecord) -> Timeline | None:
    """Frames of the first video with the right stretches of time, and those that the completions give."""
    if not sample.videos or len(sample.videos[0]) < 2:
        return None
    times = sample.videos[0].pts_seconds
    reference = sample.question.reference or Reference()
    rows: list[TimelineRow] = []
    if reference.intervals is not None:
        rows.append(spans_row("right answer", reference.intervals, colour=None))
        for number, text in enumerate(sample.completions, 1):
            spans = spans_of_answer(parse_response(text).answer)
            rows.append(spans_row(f"answer {number}", spans or [], colour=number % 8))
    end = max([times[-1], *(end for _, end in reference.intervals or ())])
    return Timeline(times[0], end, tuple(times), tuple(rows))


# -- what is said --------------------------------------------------------------------------------------------------


def _answers(sample: SampleRecord) -> list[Answer]:
    count = len(sample.completions)
    rewards = sample.rewards or [{}] * count
    totals = [reward.get("total", math.nan) for reward in rewards]
    best = max((total for total in totals if not math.isnan(total)), default=math.nan)
    cut_off, right = sample.cut_off or [None] * count, sample.right or [None] * count
    found = []
    for k, text in enumerate(sample.completions):
        answer = Answer(text, (), rewards[k], right[k], cut_off=cut_off[k], best=count > 1 and totals[k] == best)
        if sample.question.slots:
            judged, marks = judge(text, sample.question), _verdict(text, sample.question)
            answer = replace(answer, marks=marks, right=judged.overall == 1, contradictory=judged.logic == -1)
        found.append(answer)
    return found


def _verdict(completion: str, question: Question) -> list[Mark]:
    """One mark a slot, then what was said beyond the last slot."""
    given = answers_of(parse_response(completion).answer, question)
    marks: list[Mark] = []
    for place, slot in enumerate(question.slots):
        said = given[place] if place < len(given) else ""
        words = f"{_pair(slot)} {said.strip()[:_MARK_CHARS]}".rstrip()
        meaning = slot.label.unit if slot.tolerance is not None else option_of(said, slot) or "no such option"
        meaning = meaning if said.strip() else "no answer"
        marks.append(("right" if is_right(said, slot) else "wrong", f"{words} {meaning}"))
    rest = given[len(question.slots) :]
    if rest:
        marks.append(("wrong", f"+{len(rest)} more: {''.join(rest).strip()[:_MARK_CHARS]}"))
    return marks
