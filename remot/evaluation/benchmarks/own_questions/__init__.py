"""``jsonl``: one's own questions in one documented file, JSON lines or a JSON list."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from remot.data.media.spans import VideoSpan
from remot.data.records.qa_jsonl import QARecord, read_qa
from remot.data.records.tables import media_file, rows_file
from remot.evaluation.benchmarks.base import (
    Benchmark,
    BenchmarkPrompt,
    Metric,
    ModelReply,
    Verdict,
    grouped,
    mean_of,
)
from remot.rewards.answers.typed import answer_scores, answer_text, read_answer


class OwnQuestions(Benchmark):
    """Accuracy and score by task and by type of answer; see :mod:`remot.data.records.qa_jsonl` for the rows."""

    name: ClassVar[str] = "jsonl"
    max_new_tokens: ClassVar[int] = 512

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """One prompt a question."""
        file = rows_file(data, "*.jsonl", "*.json")
        root = self.options.media or file.parent
        return [self._prompt(record, root) for record in read_qa(file)]

    def _prompt(self, record: QARecord, root: Path) -> BenchmarkPrompt:
        video = None
        if record.video:
            file = media_file(record.record_id, record.video, root)
            video = VideoSpan(file, self.num_shown_frames, record.start_seconds, record.end_seconds)
        return BenchmarkPrompt(
            prompt_id=record.record_id,
            text=record.text,
            gold=record.answer,
            scene=record.scene,
            images=tuple(media_file(record.record_id, image, root) for image in record.images),
            video=video,
            sources=record.sources,
            row=record,
        )

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401
        """The answer of the question's type."""
        return read_answer(answer_text(text), prompt.row.answer_type, prompt.row.options)

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """See :func:`answer_scores`."""
        return answer_scores(parsed, prompt.gold, prompt.row.answer_type)

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """Accuracy and mean score of all questions, of each task and of each type of answer."""
        found = [
            Metric(
                "accuracy", mean_of(verdicts, "right"), "letters, words and texts alike, numbers equal, overlap ≥ 0.5"
            ),
            Metric("score", mean_of(verdicts, "score"), "mean relative accuracy of numbers, word F1 of texts, overlap"),
        ]
        for kind, key in (("task", lambda prompt: prompt.row.task), ("type", lambda prompt: prompt.row.answer_type)):
            for name, group in grouped(verdicts, key).items():
                counts = [len(one.prompt.row.options) for one in group]
                chance = {"chance": sum(1 / count for count in counts) / len(counts)} if all(counts) else {}
                found.append(Metric(f"{kind}/{name}/accuracy", mean_of(group, "right"), chance=chance))
                found.append(Metric(f"{kind}/{name}/score", mean_of(group, "score")))
        return found
