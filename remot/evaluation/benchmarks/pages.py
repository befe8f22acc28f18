"""Cards of an evaluation: prompts as they were shown, with replies, verdicts and scores; also from its files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from remot.data.annotations.base import parse_json, require_object
from remot.data.records.fields import text_in
from remot.data.records.jsonl import MAX_LINE_CHARS, bounded_lines
from remot.errors import AnnotationError, DecodeError
from remot.evaluation.benchmarks.base import BenchmarkPrompt, ModelReply, Verdict
from remot.evaluation.benchmarks.media import shown_batch
from remot.evaluation.viewer import SampleRecord, card_of
from remot.structures import PromptBatch, Question
from remot.viewer import Card

#: Scores that say whether a reply is right altogether, the first that a benchmark has.
RIGHT_SCORES = ("overall", "right", "exact", "score")
#: Longest line of ``answers.jsonl``: a prompt and a reply.
_MAX_CHARS = 8 * MAX_LINE_CHARS


def verdict_cards(verdicts: Sequence[Verdict], benchmark: str) -> Iterator[Card]:
    """One card after another; images are decoded when theirs is asked for."""
    for one in verdicts:
        yield verdict_card(one, benchmark)


def verdict_card(verdict: Verdict, benchmark: str) -> Card:
    """The card of one prompt; one whose media cannot be decoded any more has none."""
    prompt, reply = verdict.prompt, verdict.reply
    facts = [f"scene: {prompt.scene}"]
    try:
        batch = shown_batch([prompt], benchmark)
    except DecodeError as error:
        batch = PromptBatch([[]], [Question(prompt.prompt_id, prompt.text, (), benchmark, prompt.scene)], [""], [[]])
        facts.append(str(error))
    shown = batch.questions[0]
    question = prompt.row if isinstance(prompt.row, Question) else replace(shown, task=kind_of(prompt))
    right = [right_of(verdict.scores)]
    record = SampleRecord(
        batch.images[0], question, [reply.text], [verdict.scores], batch.videos[0], [reply.cut_off], right
    )
    card = card_of(record, gold_text=str(prompt.gold))
    is_shown = verdict.knows_parsed and not question.slots
    read_as = "" if not is_shown else "nothing" if verdict.parsed is None else str(verdict.parsed)
    answers = [replace(answer, read_as=read_as) for answer in card.answers]
    return replace(card, facts=[*card.facts, *facts], answers=answers)


def kind_of(prompt: BenchmarkPrompt) -> str:
    """The kind of question, as its benchmark calls it; "" if it has none."""
    row = prompt.row
    kind = row.get("task", row.get("class")) if isinstance(row, Mapping) else getattr(row, "task", row)
    return kind if isinstance(kind, str) else ""


def right_of(scores: Mapping[str, float]) -> bool | None:
    """Whether a reply is right altogether; None where its score lies between, or is none of :data:`RIGHT_SCORES`."""
    score = next((scores[name] for name in RIGHT_SCORES if name in scores), None)
    return {1.0: True, 0.0: False}.get(score) if score is not None else None


def recorded_verdicts(file: Path, prompts: Sequence[BenchmarkPrompt]) -> list[Verdict]:
    """The verdicts of an ``answers.jsonl`` on those of the prompts that it holds, in their order.

    Args:
        file: As ``remot evaluate`` writes it.
        prompts: The benchmark's prompts, which give texts and media: nothing the file says is opened.

    Raises:
        AnnotationError: If a line is malformed.
    """
    by_id = {prompt.prompt_id: prompt for prompt in prompts}
    found = {}
    for number, line in bounded_lines(file, _MAX_CHARS):
        where = f"{file}: line {number}"
        record = require_object(where, parse_json(where, line))
        missing = [key for key in ("id", "reply", "scores") if key not in record]
        if missing or len(line) > _MAX_CHARS:
            msg = f"{where}: no answer of remot evaluate, {', '.join(missing) or 'it is too long'} missing"
            raise AnnotationError(msg)
        name = text_in(where, record, "id")
        if name in by_id:
            found[name] = _recorded(where, by_id[name], record)
    return [found[name] for name in by_id if name in found]


def _recorded(where: str, prompt: BenchmarkPrompt, record: Mapping[str, Any]) -> Verdict:
    scores = {
        str(name): float("nan") if value is None else float(value)
        for name, value in require_object(f"{where}: scores", record["scores"]).items()
        if value is None or isinstance(value, int | float)
    }
    text, cut_off = record["reply"], record.get("cut_off")
    if not isinstance(text, str):
        msg = f"{where}: reply must be a text, found {type(text).__name__}"
        raise AnnotationError(msg)
    reply = ModelReply(text, cut_off=cut_off if isinstance(cut_off, bool) else None)
    return Verdict(prompt, reply, record.get("parsed"), scores, knows_parsed="parsed" in record)
