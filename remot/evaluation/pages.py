"""From a batch and its answers to what a page shows."""

from dataclasses import replace

from remot.evaluation.benchmark import AnsweredBatch
from remot.evaluation.scores import JudgedCompletion
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
            cut_off = [one.cut_off for one in seen_once]
            images, videos = batch.images[place], batch.videos[place]
            records.append(SampleRecord(images, question, completions, rewards, videos, cut_off))
        records += [
            _last_perception(answered.shown[row], answered.judged[row]) for row in rows if row in answered.shown
        ]
    return records


def _last_perception(shown: PromptBatch, one: JudgedCompletion) -> SampleRecord:
    """What was shown last, with the answer to it and below that the first one, which says why it was shown."""
    question = replace(shown.questions[0], prompt_id=f"{one.prompt_id}, perception {one.num_perceptions}")
    rewards = [one.rewards, {"first total": one.first_total}]
    return SampleRecord(shown.images[0], question, [one.completion, one.first_completion], rewards, shown.videos[0])
