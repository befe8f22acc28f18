"""``nextgqa``: answers about videos with the time that shows them (arXiv 2309.01327), in two published forms."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from remot.data.annotations.base import read_json_object
from remot.data.media.spans import VideoSpan
from remot.data.records.tables import media_file, rows_file, rows_in, string_in
from remot.errors import AnnotationError, ConfigError
from remot.evaluation.benchmarks.base import (
    Benchmark,
    BenchmarkPrompt,
    Mean,
    Metric,
    ModelReply,
    Verdict,
    mean_of,
)
from remot.evaluation.benchmarks.published import MAX_CHARS, lettered
from remot.rewards.answers.typed import answer_text
from remot.rewards.functional.intervals import hull_iou, set_iou
from remot.rewards.functional.text import option_letter
from remot.rewards.parsing.spans import glue_spans, last_span
from remot.rewards.parsing.tags import first_element
from remot.structures import Interval

NUM_OPTIONS = 5
THRESHOLDS = (0.3, 0.5)
MAP_FILE = "map_vid_vidorID.json"


class NExTGQA(Benchmark):
    """Accuracy, overlap of the evidence, and both together."""

    name: ClassVar[str] = "nextgqa"
    max_new_tokens: ClassVar[int] = 1024

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """The questions of ``test.csv`` (or ``val.csv``) that have a location in ``gsub_test.json`` beside it."""
        file = rows_file(data, "test.csv", "val.csv")
        located = file.with_name(f"gsub_{file.stem}.json")
        if not located.is_file():
            msg = f"--data {data}: {located.name}, which holds the right times, is not beside {file.name}"
            raise ConfigError(msg)
        times, root = read_json_object(located), self.options.media or file.parent
        names = read_json_object(file.with_name(MAP_FILE)) if file.with_name(MAP_FILE).is_file() else {}
        prompts = []
        for where, row in rows_in(file):
            video, qid = string_in(where, row, "video_id", "video"), string_in(where, row, "qid")
            spans = _spans(f"{located}: {video}", times.get(video), qid)
            if spans:
                prompts.append(self._prompt(where, row, spans, media_file(where, str(names.get(video, video)), root)))
        return prompts

    def _prompt(self, where: str, row: Mapping[str, Any], spans: list[Interval], file: Path) -> BenchmarkPrompt:
        video, qid = string_in(where, row, "video_id", "video"), string_in(where, row, "qid")
        options = [string_in(where, row, f"a{k}") for k in range(NUM_OPTIONS)]
        answer = string_in(where, row, "answer")
        if answer not in options:
            msg = f"{where}: the answer {answer!r:.60} is none of the options"
            raise AnnotationError(msg)
        text = (
            f"{string_in(where, row, 'question')}?\n{lettered(options)}\nThink, then give the letter of the right "
            "option and the stretches of time in seconds that show it, such as <think>...</think><answer>A</answer>"
            "<glue>[(5.2, 10.4)]</glue>"
        )
        return BenchmarkPrompt(
            prompt_id=f"{video}_{qid}",
            text=text,
            gold={"letter": "ABCDE"[options.index(answer)], "spans": [list(span) for span in spans]},
            scene=video,
            video=VideoSpan(file, self.num_shown_frames),
            sources=(video,),
        )

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401, ARG002
        """The letter and the list of the glue element; a single "a to b" stands for a missing element."""
        text = text[:MAX_CHARS]
        glue, answer = first_element(text, "glue"), first_element(text, "answer")
        letter = option_letter(answer_text(text))
        spans = None if glue is None else glue_spans(glue)
        single = last_span(text) if glue is None else None
        if not letter and glue is None and single is None:
            return None
        return {
            "letter": letter,
            "spans": [single] if single else spans,
            "has_answer": answer is not None,
            "glue": "missing" if glue is None else "malformed" if spans is None else "read",
        }

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """Right letter, largest overlaps of the first stretch, and overlap of all stretches."""
        found = parsed or {"letter": "", "spans": None, "has_answer": False, "glue": "missing"}
        right, gold = float(found["letter"] == prompt.gold["letter"]), [tuple(span) for span in prompt.gold["spans"]]
        scores = {"right": right, "right_in_answer": right if found["has_answer"] else 0.0}
        scores["set_iou"] = set_iou(found["spans"], gold) if found["glue"] == "read" else 0.0
        nan = float("nan")
        iou, iop = _largest(found["spans"][0], gold) if found["spans"] else (nan, nan)
        scores |= {"IoU": iou, "IoP": iop, "Acc@GQA": nan if iop != iop else float(iop >= 0.5 and right == 1)}
        for name, value in (("IoU", iou), ("IoP", iop)):
            for threshold in THRESHOLDS:
                scores[f"{name}@{threshold}"] = nan if value != value else float(value >= threshold)
        return scores

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """The official numbers, the same over all questions, and VideoChat-R1's."""
        names = ("Acc@GQA", "IoU", "IoP", *(f"{name}@{one}" for name in ("IoU", "IoP") for one in THRESHOLDS))
        shown = {name: f"m{name}" if name in ("IoU", "IoP") else name for name in names}
        found = [Metric("Acc@QA", mean_of(verdicts, "right"))]
        note = "questions without a stretch of time are left out, as published"
        found += [Metric(shown[name], mean_of(verdicts, name), note if name == "Acc@GQA" else "") for name in names]
        for name in names:
            units = [(one.prompt.scene, 0.0 if math.isnan(one.scores[name]) else one.scores[name]) for one in verdicts]
            found.append(Metric(f"all_rows/{shown[name]}", Mean(units), "these as 0" if name == "Acc@GQA" else ""))
        carried = "as released: a malformed glue element keeps the overlap of the question before"
        found.append(Metric("videochat_r1/accuracy", mean_of(verdicts, "right_in_answer")))
        found.append(Metric("videochat_r1/mIoU", Mean(_carried(verdicts)), carried))
        return [*found, Metric("videochat_r1/all_rows/mIoU", mean_of(verdicts, "set_iou"), "malformed ones as 0")]


def _spans(where: str, entry: object, qid: str) -> list[Interval]:
    """The right stretches of a question; none if the file has none of it."""
    location = entry.get("location") if isinstance(entry, Mapping) else None
    rows = location.get(qid) if isinstance(location, Mapping) else None
    if rows is None:
        return []
    try:
        spans = [(float(start), float(end)) for start, end in rows]
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"{where}: the location of {qid} is no list of start and end"
        raise AnnotationError(msg, reason="shape") from error
    if any(not start <= end < float("inf") for start, end in spans):
        msg = f"{where}: a location of {qid} ends before it starts"
        raise AnnotationError(msg, reason="times")
    return spans


def _largest(predicted: Interval, gold: Sequence[Interval]) -> tuple[float, float]:
    """Largest IoU over the hull and largest IoP over the right stretches, each by itself and at least 0."""
    start, end = predicted
    length = end - start
    iops = []
    for first, last in gold:
        shared = max(0.0, min(end, last) - max(start, first))
        iops.append(shared / length if length > 0 else float(length == 0 and first <= start <= last))
    return max(hull_iou(predicted, span) for span in gold), max(iops)


def _carried(verdicts: Sequence[Verdict]) -> list[tuple[str, float]]:
    """Overlaps of all stretches: of a malformed element that of the question before, of a missing one 0."""
    units, last = [], 0.0
    for one in verdicts:
        is_malformed = one.parsed is not None and one.parsed["glue"] == "malformed"
        last = last if is_malformed else one.scores["set_iou"]
        units.append((one.prompt.scene, last))
    return units
