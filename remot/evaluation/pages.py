"""From a batch and its answers to what a page shows."""

import math
from dataclasses import replace

from remot.evaluation.benchmark import AnsweredBatch
from remot.evaluation.viewer import SampleRecord
from remot.structures import PromptBatch


def sample_records(batch: PromptBatch, answered: AnsweredBatch) -> list[SampleRecord]:
    """The prompts with their answers; an answer to other frames than the batch's beside those that were shown last."""
    group = len(answered.judged) // len(batch)
    records = []
    for place in range(len(batch)):
        rows = range(place * group, (place + 1) * group)
        seen_once = [answered.judged[row] for row in rows if row not in answered.shown]
        if seen_once:
            completions, rewards = [one.completion for one in seen_once], [one.rewards for one in seen_once]
            question = batch.questions[place]
            cut_off, right = [one.cut_off for one in seen_once], [_is_right(one.success) for one in seen_once]
            images, videos = batch.images[place], batch.videos[place]
            records.append(SampleRecord(images, question, completions, rewards, videos, cut_off, right))
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


def _is_right(success: float) -> bool | None:
    return None if math.isnan(success) else success == 1
