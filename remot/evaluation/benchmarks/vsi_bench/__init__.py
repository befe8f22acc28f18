"""``vsi-bench``: spatial questions about scans of rooms (arXiv 2412.14171), by the rules of lmms-eval."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from remot.data.media.spans import VideoSpan
from remot.data.records.tables import media_file, rows_of, string_in
from remot.errors import AnnotationError
from remot.evaluation.benchmarks.base import (
    BenchmarkPrompt,
    Metric,
    ModelReply,
    Statistic,
    Verdict,
    grouped,
    mean_of,
    plain_mean,
)
from remot.evaluation.benchmarks.published import (
    PublishedBenchmark,
    first_spoken_number,
    plain_float,
    relative_accuracy,
    relative_error,
)

DIRECTIONS = tuple(f"object_rel_direction_{level}" for level in ("easy", "medium", "hard"))
LETTERED = (*DIRECTIONS, "object_rel_distance", "route_planning", "obj_appearance_order")
NUMERIC = ("object_abs_distance", "object_counting", "object_size_estimation", "room_size_estimation")
LETTER_SUFFIX = "Answer with the option's letter from the given choices directly."
NUMBER_SUFFIX = "Please answer the question using a single word or phrase."


class VSIBench(PublishedBenchmark):
    """Mean of eight tasks; numbers by mean relative accuracy."""

    name: ClassVar[str] = "vsi-bench"
    max_new_tokens: ClassVar[int] = 16

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """The rows of ``test*.parquet`` or ``test*.jsonl``."""
        rows = rows_of(data, "test.jsonl", "test*.parquet", "*.parquet", "*.jsonl")
        root = self.options.media or rows.folder
        return [self._prompt(where, row, root) for where, row in rows]

    def _prompt(self, where: str, row: Mapping[str, Any], root: Path) -> BenchmarkPrompt:
        kind, scene = string_in(where, row, "question_type"), string_in(where, row, "scene_name")
        if kind not in (*LETTERED, *NUMERIC):
            msg = f"{where}: question_type {kind!r:.60} is none of VSI-Bench"
            raise AnnotationError(msg)
        dataset = string_in(where, row, "dataset")
        question, gold = string_in(where, row, "question"), string_in(where, row, "ground_truth")
        lines = ["These are frames of a video.", question]
        if kind in LETTERED:
            lines += ["Options:", *_options(where, row.get("options")), LETTER_SUFFIX]
        else:
            lines.append(NUMBER_SUFFIX)
            if plain_float(gold) is None:
                msg = f"{where}: ground_truth {gold!r:.60} is no number"
                raise AnnotationError(msg)
        file = media_file(where, f"{dataset}/{scene}.mp4", root)
        return BenchmarkPrompt(
            prompt_id=string_in(where, row, "id"),
            text="\n".join(lines),
            gold=gold,
            scene=f"{dataset}/{scene}",
            video=VideoSpan(file, self.num_shown_frames),
            sources=(scene, f"{dataset}/{scene}"),
            row=kind,
        )

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401
        """The first word without its full stop, and for numbers also the number that stands first."""
        word = text.split(" ", maxsplit=1)[0].rstrip(".").strip()
        if prompt.row in LETTERED:
            return word or None
        number = first_spoken_number(text)
        return None if number is None and plain_float(word) is None else {"number": number, "word": word}

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """``score`` by lmms-eval from 0.7.2, ``original`` by the first code, which reads the first word alone."""
        if prompt.row in LETTERED:
            right = float(str(parsed or "").lower() == str(prompt.gold).lower())
            return {"score": right, "original": right}
        gold, found = float(prompt.gold), parsed or {"number": None, "word": ""}
        return {"score": _accuracy(found["number"], gold), "original": _accuracy(plain_float(found["word"]), gold)}

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """Overall, its older form, each task, and the mean over all rows."""
        types = grouped(verdicts, lambda prompt: str(prompt.row))
        tasks: dict[str, dict[str, Statistic]] = {}
        for score in ("score", "original"):
            found: dict[str, Statistic] = {name: mean_of(group, score) for name, group in types.items()}
            directions = [found.pop(name) for name in DIRECTIONS if name in found]
            if directions:  # the three levels of relative direction are one task
                found["object_rel_direction"] = plain_mean(directions)
            tasks[score] = found
        present = f"plain mean of {len(tasks['score'])} of 8 tasks"
        return [
            Metric("overall", plain_mean(list(tasks["score"].values())), f"{present}, lmms-eval ≥ 0.7.2"),
            Metric("overall/original", plain_mean(list(tasks["original"].values())), f"{present}, first word alone"),
            *(Metric(f"task/{name}", statistic) for name, statistic in tasks["score"].items()),
            *(Metric(f"type/{name}", mean_of(group, "score")) for name, group in types.items()),
            Metric("all_rows", mean_of(verdicts, "score"), "mean over rows, not a published number"),
        ]


def _options(where: str, value: object) -> list[str]:
    if isinstance(value, str):  # as tables write lists
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, list) or not value:
        msg = f"{where}: options must be a list of texts"
        raise AnnotationError(msg, reason="shape")
    return [str(option) for option in value]


def _accuracy(number: float | None, gold: float) -> float:
    return 0.0 if number is None else relative_accuracy(relative_error(number, gold))
