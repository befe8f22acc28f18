"""``spar-bench``: depth, distance and position in images (arXiv 2503.22976), by the rules of lmms-eval."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

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
    MAX_CHARS,
    PublishedBenchmark,
    plain_float,
    relative_accuracy,
    relative_error,
)
from remot.evaluation.benchmarks.rows import images_of_row, rows_of, string_in

_PLACES = ("oc", "oo", "oc_mv", "oo_mv")
NUMERIC = tuple(f"{kind}_prediction_{place}" for kind in ("depth", "distance") for place in _PLACES)
VIEW_CHANGE = "view_change_infer"
MIDDLE = (VIEW_CHANGE, "position_matching", "camera_motion_infer")
HIGH = (
    *(f"obj_spatial_relation_{place}" for place in ("oo", "oc_mv", "oo_mv")),
    *(f"spatial_imagination_{place}" for place in _PLACES),
    *(f"distance_infer_center_{place}" for place in ("oo", "oo_mv")),
)
LEVELS = {"low": NUMERIC, "middle": MIDDLE, "high": HIGH}
TASKS = (*NUMERIC, *MIDDLE, *HIGH)
#: Axes of a change of view: the move that counts as positive, and its opposite.
AXES = (
    ("move_right", "move_left"),
    ("move_up", "move_down"),
    ("move_forward", "move_backward"),
    ("rotate_right", "rotate_left"),
    ("rotate_up", "rotate_down"),
)
_NUMBER = re.compile(r"(?<!\^)[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_MOVE = re.compile(r"\b((?:move|rotate)_[a-z]{2,8})\s{0,3}:\s{0,3}(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)", re.ASCII)


class SPARBench(PublishedBenchmark):
    """Mean of twenty tasks, and of three levels of them."""

    name: ClassVar[str] = "spar-bench"
    max_new_tokens: ClassVar[int] = 1024

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """The rows of the test split."""
        rows = rows_of(data, "test*.parquet", "*.parquet", "*.jsonl")
        root = self.options.media or rows.folder
        return [_prompt(where, row, number, root) for number, (where, row) in enumerate(rows)]

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401
        """A number, five axes, or the text in lower case; None for no number, no move or no text."""
        text, task = text[:MAX_CHARS], prompt.row
        if task in NUMERIC:
            found = _NUMBER.findall(text)
            return float(found[-1 if task.endswith("_mv") else 0]) if found else None
        return (_axes(text) if _MOVE.search(text) else None) if task == VIEW_CHANGE else text.strip().lower() or None

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """``score`` as published; ``strict`` counts an empty answer to a choice as wrong."""
        task, gold = prompt.row, prompt.gold
        if task in NUMERIC:
            missing = -1.0 if task.endswith("_mv") else 0.0
            value = relative_accuracy(relative_error(missing if parsed is None else parsed, float(gold)))
            return {"score": value, "strict": 0.0 if parsed is None else value}
        if task == VIEW_CHANGE:
            # the published call gives the prediction in the place of the right value, by which the error is divided
            pairs = zip(parsed or [0.0] * len(AXES), _axes(str(gold)), strict=True)
            scores = [relative_accuracy(relative_error(right, said)) for said, right in pairs]
            value = sum(scores) / len(scores)
            return {"score": value, "strict": 0.0 if parsed is None else value}
        said, right = parsed or "", str(gold).lower()
        value = float(said in right or said[:1] == right)
        return {"score": value, "strict": value if said else 0.0}

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """Overall, levels and tasks, and the overall without what an empty answer earns."""
        groups = grouped(verdicts, lambda prompt: str(prompt.row))
        tasks: dict[str, Statistic] = {name: mean_of(group, "score") for name, group in groups.items()}
        strict = [mean_of(group, "strict") for group in groups.values()]
        present = f"plain mean of {len(tasks)} of {len(TASKS)} tasks"
        found = [Metric("overall", plain_mean(list(tasks.values())), present)]
        found.append(Metric("overall/strict", plain_mean(strict), "replies that cannot be read are wrong"))
        for level, names in LEVELS.items():
            parts = [tasks[name] for name in names if name in tasks]
            if parts:
                found.append(Metric(f"level/{level}", plain_mean(parts)))
        return [*found, *(Metric(f"task/{name}", statistic) for name, statistic in tasks.items())]


def _prompt(where: str, row: Mapping[str, Any], number: int, root: Path) -> BenchmarkPrompt:
    task, answer = string_in(where, row, "task"), string_in(where, row, "answer")
    if task not in TASKS:
        msg = f"{where}: task {task!r:.60} is none of SPAR-Bench"
        raise AnnotationError(msg)
    if task in NUMERIC and plain_float(answer) is None:
        msg = f"{where}: answer {answer!r:.60} is no number"
        raise AnnotationError(msg)
    name = str(row.get("id") or number)
    images = row.get("image", row.get("images"))
    return BenchmarkPrompt(
        prompt_id=f"{task}/{name}",
        text=string_in(where, row, "question"),
        gold=answer,
        scene=name,
        images=images_of_row(where, images, root),
        row=task,
    )


def _axes(text: str) -> list[float]:
    """Signed size of each of :data:`AXES`; 0 for one that is not named."""
    moves = {name: float(size) for name, size in _MOVE.findall(text)}
    return [moves.get(positive, 0.0) - moves.get(negative, 0.0) for positive, negative in AXES]
