"""``mmsi-bench``: spatial questions over several images (arXiv 2505.23764), by the rules of lmms-eval."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from remot.data.records.tables import rows_of, string_in
from remot.errors import AnnotationError
from remot.evaluation.benchmarks.base import BenchmarkPrompt, Metric, ModelReply, Verdict, grouped, mean_of
from remot.evaluation.benchmarks.published import MAX_CHARS, PublishedBenchmark
from remot.evaluation.benchmarks.rows import images_of_row

#: Marks around an answer, each of which replaces the text by what is between, if it occurs; then braces do.
_MARKS = (re.compile(r"``([^`]*)``"), re.compile(r"`([^`]*)`"))
_LETTER = re.compile(r"\b[A-F]\b(?!\s[a-z])", re.IGNORECASE)
SUFFIX = "Answer with the option's letter from the given choices directly. Enclose the option's letter within ``."


class MMSIBench(PublishedBenchmark):
    """Accuracy over all rows, and by category."""

    name: ClassVar[str] = "mmsi-bench"
    max_new_tokens: ClassVar[int] = 2048

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """The rows of the test split."""
        rows = rows_of(data, "*.parquet", "*.jsonl")
        root = self.options.media or rows.folder
        return [_prompt(where, row, root) for where, row in rows]

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401, ARG002
        """The first letter A to F within the marks; None if there is none."""
        text = text[:MAX_CHARS]
        for mark in _MARKS:
            found = mark.search(text)
            text = found[1] if found else text
        _, opened, rest = text.partition("{")
        if opened and "}" in rest:
            text = rest.partition("}")[0]
        letter = _LETTER.search(text)
        return letter[0].upper() if letter else None

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """Whether it is the right letter; none is wrong."""
        return {"right": float(parsed == prompt.gold)}

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """Accuracy over rows, and of each category."""
        groups = grouped(verdicts, lambda prompt: str(prompt.row))
        categories = [Metric(f"category/{name}", mean_of(group, "right")) for name, group in groups.items()]
        return [Metric("accuracy", mean_of(verdicts, "right")), *categories]


def _prompt(where: str, row: Mapping[str, Any], root: Path) -> BenchmarkPrompt:
    answer, name = string_in(where, row, "answer").strip().upper(), string_in(where, row, "id")
    if len(answer) != 1 or answer not in "ABCDEF":
        msg = f"{where}: answer {answer!r:.40} is no letter A to F"
        raise AnnotationError(msg)
    return BenchmarkPrompt(
        prompt_id=name,
        text=f"{string_in(where, row, 'question')}\n{SUFFIX}",
        gold=answer,
        scene=name,
        images=images_of_row(where, row.get("images"), root),
        row=string_in(where, row, "question_type"),
    )
