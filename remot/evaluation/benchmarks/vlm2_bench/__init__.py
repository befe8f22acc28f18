"""``vlm2-bench``: linking visual cues across images (arXiv 2502.12084), nine sub-tasks by their own scripts."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from remot.data.media.spans import VideoSpan
from remot.data.records.tables import media_file, number_of, rows_in, string_in
from remot.errors import AnnotationError, ConfigError
from remot.evaluation.benchmarks.base import (
    BenchmarkPrompt,
    EmbeddedImage,
    Mean,
    Metric,
    ModelReply,
    Statistic,
    Verdict,
    grouped,
    mean_of,
    plain_mean,
)
from remot.evaluation.benchmarks.published import MAX_CHARS, PublishedBenchmark
from remot.evaluation.benchmarks.rows import images_of_row
from remot.evaluation.benchmarks.vlm2_bench.rules import (
    counting_score,
    group_letter,
    one_number,
    true_or_false,
    video_prompt,
    video_rating,
)

TASKS = ("gc_mat", "gc_trk", "oc_cpr", "oc_cnt", "oc_grp", "pc_cpr", "pc_cnt", "pc_grp", "pc_v")
_TASK = re.compile(r"(gc|oc|pc)[-_](mat|trk|cpr|cnt|grp|v(?:id)?)(?![a-z])")
#: Images of a counting question that does not say how many it shows.
DEFAULT_LENGTH = 2
_SIDES = ("_p", "_n")
MAX_LENGTH = 10_000


class VLM2Bench(PublishedBenchmark):
    """Mean of nine sub-tasks; pairs of statements count together."""

    name: ClassVar[str] = "vlm2-bench"
    max_new_tokens: ClassVar[int] = 512

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """The rows of all JSON lines below a folder, or of one file; a file's name tells its sub-task."""
        files = [data] if data.is_file() else sorted(data.rglob("*.jsonl")) if data.is_dir() else []
        named = [(file, found) for file in files if (found := _TASK.search(file.stem.lower()))]
        if not named:
            msg = f"--data {data}: there is no file of JSON lines named after a sub-task, such as {TASKS[0]}.jsonl"
            raise ConfigError(msg)
        prompts = []
        for file, found in named:
            task, root = f"{found[1]}_{found[2][:3]}".replace("_vid", "_v"), self.options.media or file.parent
            prompts += [self._prompt(where, row, task, k, root) for k, (where, row) in enumerate(rows_in(file))]
        return prompts

    def _prompt(self, where: str, row: Mapping[str, Any], task: str, number: int, root: Path) -> BenchmarkPrompt:
        name = str(row.get("q_id", number))
        gold: Any = number_of(where, row, "gt_answer") if task.endswith("cnt") else row.get("gt_answer")
        images: tuple[Path | EmbeddedImage, ...] = ()
        video = None
        if task == "pc_v":
            video = VideoSpan(media_file(where, string_in(where, row, "vid", "video"), root), self.num_shown_frames)
            gold = "ABA" if "ABA" in f"{name} {video.file.name}" else "AB"
        elif not isinstance(gold, str | float):
            msg = f"{where}: gt_answer must be a text or number"
            raise AnnotationError(msg)
        else:
            images = images_of_row(where, row.get("images"), root)
        return BenchmarkPrompt(
            prompt_id=f"{task}/{number}/{name}",
            text=string_in(where, row, "question"),
            gold=gold,
            # the two statements of a pair share the id without its side
            scene=name[:-2] if name.endswith(_SIDES) and not task.startswith("gc") else name,
            images=images,
            video=video,
            row={"task": task, "q_id": name, "length": _length(row)},
        )

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401
        """By sub-task: the text as it is, T or F, one number, or what stands before the bracket."""
        text, task = text[:MAX_CHARS], prompt.row["task"]
        if task.startswith("gc"):
            return text or None  # compared as it is
        if task.endswith("cpr"):
            return true_or_false(text)
        if task.endswith("cnt"):
            return one_number(text)
        return group_letter(text) if task.endswith("grp") else text.strip() or None

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """``right``, and for counting the normalised score with and without the rows that are left out."""
        task, nan = prompt.row["task"], float("nan")
        if task == "pc_v":
            grader = self.options.grader
            if grader is None:
                return {"right": nan}
            highest = 2 if prompt.gold == "ABA" else 1
            rating = video_rating(grader(video_prompt(str(parsed or ""), highest)), highest) if parsed else 0
            return {"right": rating / highest, "strict": 0.0 if rating != rating else rating / highest}
        if task.endswith("cnt"):
            value = counting_score(parsed, prompt.gold, prompt.row["length"])
            return {
                "right": float(parsed == prompt.gold),
                "normalised": value,
                "strict": 0.0 if value != value else value,
            }
        right = group_letter(str(prompt.gold)) if task.endswith("grp") else str(prompt.gold).strip().upper()
        return {"right": float(parsed is not None and parsed == right)}

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """The overall, and each sub-task with its parts."""
        groups = grouped(verdicts, lambda prompt: prompt.row["task"])
        main: dict[str, Statistic] = {}
        details: list[Metric] = []
        for task in (one for one in TASKS if one in groups):
            main[task], more = _of_task(task, groups[task])
            details += [Metric(f"task/{task}", main[task]), *more]
        scored = [statistic for statistic in main.values() if statistic.count]
        note = f"plain mean of {len(scored)} of {len(TASKS)} sub-tasks"
        if "pc_v" in main and self.options.grader is None:
            note += "; pc_v needs a judge (--judge_url)"
        return [Metric("overall", plain_mean(scored), note), *details]


def _of_task(task: str, group: Sequence[Verdict]) -> tuple[Statistic, list[Metric]]:
    """What counts for the overall, and what else is shown."""
    if task.startswith("gc") or task.endswith("cpr"):
        return _of_pairs(task, group)
    if task.endswith("cnt"):
        return mean_of(group, "right"), [
            Metric(f"task/{task}/normalised", mean_of(group, "normalised"), "unreadable and out of range left out"),
            Metric(f"task/{task}/normalised/all_rows", mean_of(group, "strict"), "these as 0"),
        ]
    if task == "pc_v":
        kinds = {gold: [one for one in group if one.prompt.gold == gold] for gold in ("AB", "ABA")}
        parts = {gold: mean_of(held, "right") for gold, held in kinds.items() if held}
        whole = plain_mean([mean_of(held, "strict") for held in kinds.values() if held])
        return plain_mean(list(parts.values())), [
            *(Metric(f"task/{task}/{gold}", part) for gold, part in parts.items()),
            Metric(f"task/{task}/all_rows", whole, "ratings that cannot be read as 0, left out above"),
        ]
    return mean_of(group, "right"), []


def _of_pairs(task: str, group: Sequence[Verdict]) -> tuple[Statistic, list[Metric]]:
    """Share of pairs whose true and whose false statement are judged right, and of either side."""
    pairs: dict[str, dict[str, float]] = {}
    for one in group:  # the id's end is the side, else the answer
        name, pair = str(one.prompt.row["q_id"]), pairs.setdefault(one.prompt.scene, {})
        side = name[-1] if name.endswith(_SIDES) else "p" if str(one.prompt.gold).upper() == "T" else "n"
        pair[side] = max(pair.get(side, 0.0), one.scores["right"])
    sides = list(pairs.items())
    needs_both = task.endswith("cpr")
    counted = [(scene, held) for scene, held in sides if len(held) == 2 or not needs_both]
    both = Mean([(scene, _both(held)) for scene, held in counted])
    details = [
        Metric(f"task/{task}/{name}", Mean([(scene, held.get(side, 0.0)) for scene, held in counted]))
        for name, side in (("positive", "p"), ("negative", "n"))
    ]
    if needs_both:
        whole = Mean([(scene, _both(held)) for scene, held in sides])
        details.append(Metric(f"task/{task}/all_rows", whole, "pairs that lack a side are wrong"))
    return both, details


def _both(sides: Mapping[str, float]) -> float:
    return min(sides.get("p", 0.0), sides.get("n", 0.0))


def _length(row: Mapping[str, Any]) -> int:
    """Images of a counting question."""
    value = row.get("image_seq_len", row.get("image_seq"))
    if isinstance(value, list):
        return len(value)
    return int(value) if isinstance(value, int | float) and 1 <= value < MAX_LENGTH else DEFAULT_LENGTH
