"""From a batch and its answers to what a page shows."""

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
        seen_once = [row for row in rows if row not in answered.shown]
        if seen_once:
            records.append(_record(batch, place, answered, seen_once))
        records += [_record(answered.shown[row], 0, answered, [row]) for row in rows if row in answered.shown]
    return records


def _record(batch: PromptBatch, place: int, answered: AnsweredBatch, rows: list[int]) -> SampleRecord:
    shown, question = [answered.judged[row] for row in rows], batch.questions[place]
    if shown[0].num_looks > 1:
        question = replace(question, prompt_id=f"{question.prompt_id}, look {shown[0].num_looks}")
    rewards = [{**one.rewards, **({"first total": one.first_total} if one.num_looks > 1 else {})} for one in shown]
    completions = [one.completion for one in shown]
    return SampleRecord(batch.images[place], question, completions, rewards, batch.videos[place])
