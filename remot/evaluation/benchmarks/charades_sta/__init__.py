"""``charades-sta``: when a sentence is true (arXiv 1705.02101), by the rules of VideoChat-R1 and of lmms-eval."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from remot.data.media.spans import VideoSpan
from remot.data.records.tables import media_file, rows_file, rows_in, string_in
from remot.errors import AnnotationError
from remot.evaluation.benchmarks.base import (
    Benchmark,
    BenchmarkPrompt,
    Metric,
    ModelReply,
    Verdict,
    mean_of,
)
from remot.evaluation.benchmarks.published import MAX_CHARS
from remot.files import open_text
from remot.rewards.functional.intervals import hull_iou
from remot.rewards.parsing.spans import last_span
from remot.structures import Interval

THRESHOLDS = (0.3, 0.5, 0.7)
_LINE = re.compile(r"(\S+) ([0-9]+(?:\.[0-9]+)?) ([0-9]+(?:\.[0-9]+)?)\s*##(.+)")
_RANGE = re.compile(r"(\d{1,12}(?:\.\d{0,12})?)\s{0,9}-\s{0,9}(\d{1,12}(?:\.\d{0,12})?)")
_CLOCK_RANGE = re.compile(r"(\d{1,2}(?::\d{2}){1,2})\s{0,9}-\s{0,9}(\d{1,2}(?::\d{2}){1,2})")
_CLOCK = re.compile(r"\b\d{1,2}(?::\d{2}){1,2}\b")
_NUMBER = re.compile(r"\b\d{1,12}(?:\.\d{1,12})?\b")
#: Latest time that is read; whole numbers of JSON may be too large for any other.
MAX_SECONDS = 1e9
_KEYWORDS = ("start", "end", "happen")


class CharadesSTA(Benchmark):
    """Overlap of one stretch of time with the right one; mean, and shares from three thresholds on."""

    name: ClassVar[str] = "charades-sta"
    max_new_tokens: ClassVar[int] = 1024

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """The sentences of the official text, of VideoChat-R1's JSON, or of lmms-eval's rows."""
        file = rows_file(data, "charades_sta_test.txt", "*.txt", "*.json", "*.jsonl", "*.parquet")
        root = self.options.media or file.parent
        rows = _official(file) if file.suffix == ".txt" else _rows(file)
        return [self._prompt(number, *row, root) for number, row in enumerate(rows)]

    def _prompt(
        self, number: int, where: str, video: str, sentence: str, times: Interval, root: Path
    ) -> BenchmarkPrompt:
        text = (
            f'When does "{sentence}" happen in the video? Think, then give the start and the end in seconds, such as '
            "<think>...</think><answer>12.54 to 17.83</answer>"
        )
        name = Path(video).stem if Path(video).suffix == ".mp4" else video
        return BenchmarkPrompt(
            prompt_id=f"{number}/{name}",
            text=text,
            gold=list(times),
            scene=name,
            video=VideoSpan(media_file(where, f"{name}.mp4", root), self.num_shown_frames),
            sources=(name,),
        )

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401, ARG002
        """The last "a to b" of the whole reply, and what lmms-eval reads; None if neither can be."""
        text = text[:MAX_CHARS]
        spans = {"last": last_span(text), "lmms_eval": lmms_eval_span(text)}
        return spans if any(spans.values()) else None

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """Overlaps; ``published`` is NaN where the published code divides by 0, and drops the row."""
        start, end = prompt.gold
        spans = parsed or {"last": None, "lmms_eval": None}
        last = spans["last"]
        is_dropped = last is not None and max(last[1], end) == min(last[0], start)
        iou, other = (0.0 if span is None else hull_iou(span, (start, end)) for span in (last, spans["lmms_eval"]))
        scores = {"iou": iou, "published": float("nan") if is_dropped else iou, "lmms_eval": other}
        for name, value in tuple(scores.items()):
            for threshold in THRESHOLDS:
                scores[f"{name}/{threshold}"] = value if value != value else float(threshold <= value)
        return scores

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """VideoChat-R1's numbers, the same over all rows, and those of lmms-eval."""
        forms = {
            "": ("published", "VideoChat-R1: rows whose overlap is 0 / 0 are dropped"),
            "all_rows/": ("iou", "the same over all rows"),
            "lmms_eval/": ("lmms_eval", "read as lmms-eval does"),
        }
        found = []
        for prefix, (score, note) in forms.items():
            found.append(Metric(f"{prefix}mIoU", mean_of(verdicts, score), note))
            found += [Metric(f"{prefix}R1@{one}", mean_of(verdicts, f"{score}/{one}")) for one in THRESHOLDS]
        return found


def _official(file: Path) -> Iterator[tuple[str, str, str, Interval]]:
    """Lines such as ``AO8RW 0.0 6.9##a person is putting a book on a shelf.``."""
    try:
        with open_text(file) as lines:
            for number, line in enumerate(lines, 1):
                found = _LINE.fullmatch(line.strip()[:10_000])
                if found is None and line.strip():
                    msg = f"{file}: line {number} is not VIDEO START END##SENTENCE"
                    raise AnnotationError(msg)
                if found is not None:
                    where = f"{file}: line {number}"
                    yield where, found[1], found[4].strip(), _times(where, [float(found[2]), float(found[3])])
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read as text ({error})"
        raise AnnotationError(msg) from error


def _rows(file: Path) -> Iterator[tuple[str, str, str, Interval]]:
    """Objects of videos with their sentences, or one row a sentence."""
    for where, row in rows_in(file):
        if "sentences" in row:
            sentences, times = row["sentences"], row.get("timestamps")
            if not isinstance(sentences, list) or not isinstance(times, list) or len(sentences) != len(times):
                msg = f"{where}: sentences and timestamps must be lists of one length"
                raise AnnotationError(msg, reason="unsynchronised")
            for sentence, pair in zip(sentences, times, strict=True):
                yield where, string_in(where, row, "key", "video"), str(sentence), _times(where, pair)
        else:
            video, sentence = string_in(where, row, "video"), string_in(where, row, "caption")
            yield where, video, sentence, _times(where, row.get("timestamp"))


def _times(where: str, value: object) -> Interval:
    is_pair = isinstance(value, Sequence) and len(value) == 2 and all(type(one) in (int, float) for one in value)
    if not is_pair or not 0 <= value[0] <= value[1] <= MAX_SECONDS:  # type: ignore[index]
        msg = f"{where}: the times {value!r:.60} are no start and end in seconds"
        raise AnnotationError(msg, reason="times")
    return float(value[0]), float(value[1])  # type: ignore[index]


def lmms_eval_span(text: str) -> Interval | None:
    """The stretch of time that lmms-eval reads, its ends in order; None if there is none.

    With "to" read as "-": the first range of clock times; else the first range of numbers; else, in lines that say
    start, end or happen if any does, the first two clock times, or one number a line for two lines.
    """
    text = text.lower().replace("to", "-")
    clocks, numbers = _CLOCK_RANGE.search(text), _RANGE.search(text)
    if clocks is not None:
        return _ordered(_seconds(clocks[1]), _seconds(clocks[2]))
    if numbers is not None:
        return _ordered(float(numbers[1]), float(numbers[2]))
    lines = re.split(r"[!?\n]", text)
    chosen = [line for line in lines if any(word in line for word in _KEYWORDS)] or lines
    times = [_seconds(clock) for line in chosen for clock in _CLOCK.findall(line)]
    if len(times) < 2:
        times = [float(found[0]) for line in chosen if (found := _NUMBER.search(line))]
    return _ordered(times[0], times[1]) if len(times) >= 2 else None


def _seconds(clock: str) -> float:
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return float(seconds)


def _ordered(first: float, second: float) -> Interval:
    return min(first, second), max(first, second)
