"""From a batch and its answers to what a page shows."""

import math
from collections.abc import Sequence
from dataclasses import replace

from remot.evaluation.benchmark import AnsweredBatch
from remot.evaluation.scores import JudgedCompletion
from remot.evaluation.viewer import SampleRecord, card_of
from remot.structures import PromptBatch
from remot.viewer import page_html, side_by_side

#: Headings of the two columns.
SIDES = ("base", "trained")


def sample_records(batch: PromptBatch, answered: AnsweredBatch) -> list[SampleRecord]:
    """The prompts with their answers; an answer to other frames than the batch's beside those that were shown last."""
    group = len(answered.judged) // len(batch)
    records = []
    for place in range(len(batch)):
        rows = range(place * group, (place + 1) * group)
        seen_once = [answered.judged[row] for row in rows if row not in answered.shown]
        if seen_once:
            asked = SampleRecord(batch.images[place], batch.questions[place], (), videos=batch.videos[place])
            records.append(with_answers(asked, seen_once))
        for row in rows:  # what was shown last, with the answer to it and the first one, which says why it was shown
            if row in answered.shown:
                shown, one = answered.shown[row], answered.judged[row]
                name = f"{one.prompt_id}, perception {one.num_perceptions}"
                records.append(
                    SampleRecord(
                        shown.images[0],
                        replace(shown.questions[0], prompt_id=name),
                        [one.completion, one.first_completion],
                        [one.rewards, {"first total": one.first_total}],
                        shown.videos[0],
                        [one.cut_off, None],
                        [_is_right(one.success), _is_right(one.first_success)],
                    )
                )
    return records


def with_answers(record: SampleRecord, judged: Sequence[JudgedCompletion]) -> SampleRecord:
    """The prompt with these completions of it."""
    return replace(
        record,
        completions=[one.completion for one in judged],
        rewards=[one.rewards for one in judged],
        cut_off=[one.cut_off for one in judged],
        right=[_is_right(one.success) for one in judged],
    )


def compared_html(
    samples: Sequence[SampleRecord], before: Sequence[JudgedCompletion], title: str, notes: Sequence[str]
) -> str:
    """The page of some prompts, with completions of the base policy beside those of the trained one.

    Args:
        samples: The prompts with the completions of the trained policy.
        before: Completions of the base policy; a prompt without any shows those of the trained one alone.
        title: Of the page.
        notes: Lines above the prompts.
    """
    by_prompt: dict[str, list[JudgedCompletion]] = {}
    for one in before:
        by_prompt.setdefault(one.prompt_id, []).append(one)
    cards = []
    for sample in samples:
        earlier = by_prompt.get(sample.question.prompt_id)
        card = card_of(sample)
        cards.append(side_by_side(card_of(with_answers(sample, earlier)), card, SIDES) if earlier else card)
    return page_html(cards, title, notes)


def _is_right(success: float) -> bool | None:
    return None if math.isnan(success) else success == 1
