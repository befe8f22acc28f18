"""``sti-bench``: spatio-temporal quantities in videos (arXiv 2503.23765), by the rules of its own script."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from remot.data.media.spans import VideoSpan
from remot.data.records.tables import media_file, number_of, rows_of, string_in
from remot.errors import AnnotationError
from remot.evaluation.benchmarks.base import (
    BenchmarkPrompt,
    Metric,
    ModelReply,
    Verdict,
    grouped,
    mean_of,
)
from remot.evaluation.benchmarks.published import MAX_CHARS, PublishedBenchmark
from remot.strict_json import json_object

LETTERS = "ABCDE"
#: Forms of an answer, the first that occurs counts.
_FORMS = tuple(
    re.compile(form, re.IGNORECASE | re.MULTILINE)
    for form in (
        r"\(([A-E])\)",
        r"Ans\s*=\s*['\"]?([A-E])['\"]?",
        r"Answer\s*[:=]\s*([A-E])",
        r"Option\s+([A-E])",
        r"\b([A-E])\s*(?:is|was)\s*correct",
        r"\b([A-E])[.)]\s*$",
    )
)


class STIBench(PublishedBenchmark):
    """Accuracy over all rows, by task and by kind of scene."""

    name: ClassVar[str] = "sti-bench"
    max_new_tokens: ClassVar[int] = 512
    num_frames: ClassVar[int] = 30

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """The rows of ``qa.parquet``."""
        rows = rows_of(data, "qa.parquet", "*.parquet", "*.jsonl")
        root = self.options.media or rows.folder
        return [self._prompt(where, row, root) for where, row in rows]

    def _prompt(self, where: str, row: Mapping[str, Any], root: Path) -> BenchmarkPrompt:
        video, answer = string_in(where, row, "Video"), string_in(where, row, "Answer")
        if len(answer) != 1 or answer not in LETTERS:
            msg = f"{where}: Answer {answer!r:.40} is none of {LETTERS}"
            raise AnnotationError(msg)
        start, end = (number_of(where, row, key) for key in ("time_start", "time_end"))
        options = [f"({letter}) {text}" for letter, text in _candidates(where, row.get("Candidates")).items()]
        question = f"From {start:g} s to {end:g} s. {string_in(where, row, 'Question')}"
        return BenchmarkPrompt(
            prompt_id=f"{video}/{string_in(where, row, 'ID')}",
            text="\n".join([question, *options, "Please output only the option letter!"]),
            gold=answer,
            scene=video,
            video=VideoSpan(media_file(where, video, root), self.num_shown_frames),
            sources=(video,),
            row={"task": string_in(where, row, "Task"), "scene": scene_kind(video)},
        )

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401, ARG002
        """The letter of the first form that occurs, else the stripped text."""
        text = text[:MAX_CHARS]
        found = next((match for form in _FORMS if (match := form.search(text))), None)
        return (text.strip() or None) if found is None else found[1].upper()

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """Whether the last character of what was parsed is the right letter."""
        return {"right": float(bool(parsed) and parsed[-1] == prompt.gold)}

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """Accuracy over rows, of each task and of each kind of scene."""
        found = [Metric("accuracy", mean_of(verdicts, "right"))]
        for kind in ("task", "scene"):
            groups = grouped(verdicts, lambda prompt, kind=kind: prompt.row[kind])  # type: ignore[misc]
            found += [Metric(f"{kind}/{name}", mean_of(group, "right")) for name, group in groups.items()]
        return found


def scene_kind(video: str) -> str:
    """``outdoor``, ``indoor`` or ``desktop`` by the name of the video."""
    name = Path(video).name
    if "camera" in name:
        return "outdoor"
    if name.startswith("scene"):
        return "indoor"
    stem = name.split(".")[0]
    return "desktop" if len(stem) == 6 and stem.isdigit() else "unknown"


def _candidates(where: str, value: object) -> dict[str, str]:
    if isinstance(value, str):
        value = json_object(value)
    if not isinstance(value, dict) or not value:
        msg = f"{where}: Candidates must map letters to texts"
        raise AnnotationError(msg, reason="shape")
    return {str(letter): str(text) for letter, text in value.items() if text is not None}
