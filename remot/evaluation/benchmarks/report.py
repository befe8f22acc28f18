"""What an evaluation writes: a table for the terminal, ``scores.json`` and ``answers.jsonl``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from remot.evaluation.benchmarks.base import Mean, Metric, Verdict
from remot.evaluation.benchmarks.estimates import MeasuredMetric, measured
from remot.evaluation.benchmarks.replies import content_digest
from remot.evaluation.estimates import format_estimate
from remot.strict_json import json_text
from remot.structures import interval_note
from remot.terminal import counted, printable

#: Titles of the baselines, in the order of their columns.
BASELINES = {"chance": "chance", "law": "law-aware", "blind": "blind"}
SCORES_FILE, ANSWERS_FILE, TABLE_FILE, PAGE_FILE = "scores.json", "answers.jsonl", "table.txt", "page.html"
#: Share of replies cut off, or not understood, from which a note is added.
NOTED_SHARE = 0.01


@dataclass(frozen=True)
class Facts:
    """What an evaluation was of.

    Args:
        benchmark: Its name.
        weights: The weights in words.
        data: The data in words: path, version.
        settings: How prompts were answered, JSON-ready.
        num_rows: Prompts of the benchmark.
        limit: Only so many were considered; None for all.
        num_missing_files: Files that do not exist.
        num_skipped: Prompts left out because of these.
        notes: Further sentences, such as on contamination.
        more: Further entries of ``scores.json``.
    """

    benchmark: str
    weights: str
    data: str
    settings: Mapping[str, Any]
    num_rows: int
    limit: int | None
    num_missing_files: int
    num_skipped: int
    notes: tuple[str, ...] = ()
    more: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Report:
    """The scores of one evaluation.

    Args:
        facts: What it was of.
        rows: Metrics with values, the benchmark's own first, then those of all benchmarks.
        num_answered: Prompts answered.
        num_scenes: Their scenes.
    """

    facts: Facts
    rows: Sequence[MeasuredMetric]
    num_answered: int
    num_scenes: int

    def notes(self) -> list[str]:
        """What a reader of the table has to know."""
        facts = self.facts
        found = [f"weights: {facts.weights}", f"data: {facts.data}"]
        settings = ", ".join(f"{name} {value}" for name, value in facts.settings.items())
        found.append(f"{counted(self.num_answered, 'prompt')} from {counted(self.num_scenes, 'scene')}; {settings}")
        if facts.limit is not None:
            found.append(f"only the first {min(facts.limit, facts.num_rows)} of {facts.num_rows} prompts (--limit)")
        if facts.num_skipped:
            found.append(f"prompts left out: {facts.num_skipped}, missing files: {facts.num_missing_files}")
        found += [note for note in (interval_note(self.num_scenes),) if note]
        by_name = {row.metric.name: row.estimate.mean for row in self.rows}
        if by_name.get("cut_off", 0.0) >= NOTED_SHARE:
            found.append(f"{by_name['cut_off']:.0%} of the replies were cut off; raise --max_new_tokens")
        return [*found, *facts.notes]

    def record(self) -> dict[str, Any]:
        """``scores.json``."""
        facts, metrics = self.facts, {}
        for row in self.rows:
            estimate, metric = row.estimate, row.metric
            numbers = {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
            metrics[metric.name] = {
                **{name: None if math.isnan(number) else number for name, number in numbers.items()},
                "n": metric.statistic.count,
                "num_scenes": estimate.num_scenes,
                "chance": dict(metric.chance),
                "note": metric.note,
            }
        return {
            "benchmark": facts.benchmark,
            "weights": facts.weights,
            "data": facts.data,
            "settings": dict(facts.settings),
            "num_rows": facts.num_rows,
            "limit": facts.limit,
            "num_answered": self.num_answered,
            "num_scenes": self.num_scenes,
            "num_missing_files": facts.num_missing_files,
            "num_skipped": facts.num_skipped,
            "metrics": metrics,
            "notes": self.notes(),
            **(facts.more or {}),
        }

    def table(self) -> Table:
        """The table for the terminal, its notes as the caption."""
        explained = [f"{row.metric.name}: {row.metric.note}" for row in self.rows if row.metric.note]
        caption = Text(printable("\n".join([*explained, *self.notes()])))
        table = Table(title=Text(self.facts.benchmark), caption=caption, title_justify="left", caption_justify="left")
        table.add_column("metric", overflow="fold")
        table.add_column("score", justify="right", no_wrap=True)
        shown = [name for name in BASELINES if any(name in row.metric.chance for row in self.rows)]
        for title in ("n", *(BASELINES[name] for name in shown)):
            table.add_column(title, justify="right", no_wrap=True)
        for row in self.rows:
            metric = row.metric
            baselines = [f"{metric.chance[name]:.3f}" if name in metric.chance else "" for name in shown]
            score = format_estimate(row.estimate)
            table.add_row(Text(printable(metric.name)), score, str(metric.statistic.count), *baselines)
        return table


def report_of(metrics: Sequence[Metric], verdicts: Sequence[Verdict], facts: Facts) -> Report:
    """Values of a benchmark's metrics and of those that all have, as far as these are known of every reply."""
    scenes = [one.prompt.scene for one in verdicts]
    common: list[tuple[str, str, list[float | None]]] = [
        ("unparsed", "no answer read", [one.parsed is None if one.knows_parsed else None for one in verdicts]),
        ("cut_off", "did not end within the budget", [one.reply.cut_off for one in verdicts]),
        ("num_tokens", "mean length of a reply", [one.reply.num_tokens or None for one in verdicts]),
    ]
    # A mean over some of the replies, such as those that were not cached, would not be that of the model.
    known = [
        Metric(name, Mean([(scene, one) for scene, one in zip(scenes, values, strict=True) if one is not None]), note)
        for name, note, values in common
        if values and None not in values
    ]
    return Report(facts, measured([*metrics, *known]), len(verdicts), len(set(scenes)))


def write_answers(file: Path, verdicts: Sequence[Verdict]) -> None:
    """One line a prompt: question, gold, reply, what was read from it, and its scores."""
    with file.open("w", encoding="utf-8") as lines:
        for one in verdicts:
            media = [str(image) if isinstance(image, Path) else image.name for image in one.prompt.images]
            record = {
                "id": one.prompt.prompt_id,
                "content": content_digest(one.prompt),
                "scene": one.prompt.scene,
                "media": media if one.prompt.video is None else [*media, str(one.prompt.video.file)],
                "question": one.prompt.text,
                "gold": one.prompt.gold,
                "reply": one.reply.text,
                **({"parsed": one.parsed} if one.knows_parsed else {}),
                "scores": dict(one.scores),
                "num_tokens": one.reply.num_tokens,
                "cut_off": one.reply.cut_off,
            }
            lines.write(json_text(record, ensure_ascii=True) + "\n")
