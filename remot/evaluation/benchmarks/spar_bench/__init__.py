"""``spar-bench``: depth, distance and position in images (arXiv 2503.22976), by the rules of lmms-eval."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from remot.data.records.tables import rows_of, string_in
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
from remot.evaluation.benchmarks.rows import images_of_row

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
#: What stands behind the question.
NUMBER_SUFFIX = "Please answer the question using a single word or phrase."
LETTER_SUFFIX = "Answer with the option's letter from the given choices directly."
BOX_SUFFIX = (
    "The values represent the bounding box coordinates normalized to a 0-1000 scale, with the top-left corner as the "
    "origin of the image."
)


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
        return axes_of(text) if task == VIEW_CHANGE else text.strip().lower() or None

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """``score`` as published; ``strict`` counts an empty answer to a choice as wrong."""
        task, gold = prompt.row, prompt.gold
        if task in NUMERIC and parsed is None:  # several views: -1 is scored; one view: the code fails, which is 0
            missing = relative_accuracy(relative_error(-1.0, float(gold))) if task.endswith("_mv") else 0.0
            return {"score": missing, "strict": 0.0}
        if task in NUMERIC:
            return dict.fromkeys(("score", "strict"), relative_accuracy(relative_error(parsed, float(gold))))
        if task == VIEW_CHANGE:
            return dict.fromkeys(("score", "strict"), _view_change_score(parsed, gold))
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
    if task == VIEW_CHANGE and axes_of(answer) is None:
        msg = f"{where}: answer {answer!r:.60} is no list such as move_right:1.0,rotate_left:30"
        raise AnnotationError(msg)
    suffix = "" if task == VIEW_CHANGE else f"\n{NUMBER_SUFFIX if task in NUMERIC else LETTER_SUFFIX}"
    if task in ("position_matching", "camera_motion_infer"):
        suffix = f"\n{BOX_SUFFIX}{suffix}"
    name = str(row.get("id") or number)
    images = row.get("image", row.get("images"))
    return BenchmarkPrompt(
        prompt_id=f"{task}/{name}",
        text=string_in(where, row, "question") + suffix,
        gold=answer,
        scene=name,
        images=images_of_row(where, images, root),
        row=task,
    )


def axes_of(text: str) -> list[float] | None:
    """Signed size of each of :data:`AXES` in ``move_right:1.0,rotate_left:30``; None for a text in any other form.

    As published, white space before a name makes it another name, which counts nothing.
    """
    moves: dict[str, float] = {}
    for part in text.split(","):
        name, colon, size = part.partition(":")
        number = plain_float(size)
        if not colon or number is None:
            return None
        moves[name] = number
    return [moves.get(positive, 0.0) - moves.get(negative, 0.0) for positive, negative in AXES]


def _view_change_score(said: list[float] | None, gold: str) -> float:
    """Mean over the axes; the published call gives the prediction in the place of the right value, as a divisor."""
    right = axes_of(gold)
    if said is None or right is None:
        return 0.0
    scores = [relative_accuracy(relative_error(*pair)) for pair in zip(right, said, strict=True)]
    return sum(scores) / len(scores)
