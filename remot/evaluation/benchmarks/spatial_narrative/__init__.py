"""``spatial-narrative``: what a text-only reader answers from a model's captions of videos (CaMo, 2605.20165)."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from remot.data.media.spans import VideoSpan
from remot.data.media.video.probe import probe
from remot.errors import ConfigError
from remot.evaluation.benchmarks.base import (
    Benchmark,
    BenchmarkOptions,
    BenchmarkPrompt,
    Mean,
    Metric,
    ModelReply,
    Verdict,
    grouped,
    mean_of,
)
from remot.evaluation.benchmarks.vsi_bench import LETTERED, VSIBench
from remot.rewards.answers.typed import answer_text

#: Frames of a segment, and how many a second.
SEGMENT_FRAMES, FRAMES_PER_SECOND = 16, 2.0
#: What the model is asked about a segment; the published words are not known.
CAPTION_PROMPT = (
    "Describe this part of a video: what is in it, where things are relative to each other, and how the camera moves."
)
#: Longest caption that a reader is shown, in characters.
MAX_CAPTION_CHARS = 4000
_ANSWER = re.compile(r"<answer>\s{0,8}\(?([A-D])\b[^<]{0,200}</answer>")
_BOXED = re.compile(r"\\boxed\{\s{0,8}(?:\\text\{)?\(?([A-D])\b")
_OPTION = re.compile(r"^[A-D]\b", re.MULTILINE)
#: Longest reply of a reader that is searched, from its end, in characters.
_MAX_CHARS = 20_000


class SpatialNarrative(Benchmark):
    """Captions are asked of the model, one for each segment; :meth:`concluded` asks the reader the questions."""

    name: ClassVar[str] = "spatial-narrative"
    max_new_tokens: ClassVar[int] = 300
    num_frames: ClassVar[int] = SEGMENT_FRAMES
    needs_grader: ClassVar[bool] = True

    def __init__(self, options: BenchmarkOptions | None = None) -> None:
        super().__init__(options)
        self._questions: list[BenchmarkPrompt] = []
        self._captions: list[Verdict] = []
        self._num_segments: Counter[str] = Counter()

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """The segments of the videos that have lettered questions; a missing video is one segment.

        Raises:
            ConfigError: If no row has options.
            DecodeError: If a video is damaged.
        """
        self._questions = [prompt for prompt in VSIBench(self.options).read(data) if prompt.row in LETTERED]
        if not self._questions:
            msg = f"--data {data}: none of its rows has options for a reader to choose from"
            raise ConfigError(msg)
        videos = {prompt.scene: prompt for prompt in self._questions}
        segments = [segment for prompt in videos.values() for segment in self._segments(prompt)]
        self._num_segments = Counter(segment.scene for segment in segments)
        return segments

    def _segments(self, prompt: BenchmarkPrompt) -> list[BenchmarkPrompt]:
        assert prompt.video is not None
        file, scene = prompt.video.file, prompt.scene
        seconds = _segment_seconds(file, self.num_shown_frames) if file.is_file() else [(0.0, 0.0)]
        return [
            BenchmarkPrompt(
                f"{scene}/{number}",
                CAPTION_PROMPT,
                None,
                scene,
                video=VideoSpan(file, num_frames(start, end, self.num_shown_frames), start, end),
                sources=prompt.sources,
            )
            for number, (start, end) in enumerate(seconds)
        ]

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401, ARG002
        """The caption without reasoning before it."""
        return answer_text(text)[:MAX_CAPTION_CHARS] or None

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """A caption has no score by itself."""
        return {}

    def concluded(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """What the reader answers to each question whose video has been captioned as a whole.

        Raises:
            ConfigError: If there is no reader.
            RemotError: If it gives no reply.
        """
        grader = self.options.grader
        if grader is None:
            msg = f"{self.name} needs a reader of the captions: --judge_url and --judge_model, or --judge_folder"
            raise ConfigError(msg)
        self._captions = list(verdicts)
        captions = grouped(verdicts, lambda prompt: prompt.scene)
        found = []
        for question in self._questions:
            if len(captions.get(question.scene, ())) < self._num_segments[question.scene]:
                continue  # left out for a missing file or by --limit
            asked = replace(question, text=reader_prompt(captions[question.scene], question.text), video=None)
            reply = grader(asked.text)
            letter = read_letter(reply)
            right = float(letter is not None and letter == str(question.gold).strip().upper())
            chance = 1 / max(1, len(_OPTION.findall(question.text.partition("Options:\n")[2])))
            found.append(Verdict(asked, ModelReply(reply), letter, {"score": right, "chance": chance}))
        return found

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """Overall, each type with the directions pooled, and what is known of the captions."""
        tasks = grouped(verdicts, lambda prompt: re.sub(r"_(?:easy|medium|hard)$", "", str(prompt.row)))
        cut_off = [(one.prompt.scene, float(one.reply.cut_off or 0.0)) for one in self._captions]
        lengths = [(one.prompt.scene, float(one.reply.num_tokens)) for one in self._captions]
        return [
            _accuracy("overall", verdicts, "right answers of the reader, over all questions"),
            *(_accuracy(f"task/{name}", group, "") for name, group in tasks.items()),
            Metric("caption/num_tokens", Mean(lengths), "mean length of a caption"),
            Metric("caption/cut_off", Mean(cut_off), "did not end within the budget"),
        ]


def _accuracy(name: str, verdicts: Sequence[Verdict], note: str) -> Metric:
    chances = [one.scores["chance"] for one in verdicts]
    return Metric(name, mean_of(verdicts, "score"), note, {"chance": sum(chances) / len(chances)} if chances else {})


def num_frames(start_seconds: float, end_seconds: float, most: int = SEGMENT_FRAMES) -> int:
    """Frames of a segment, both ends included.

    >>> num_frames(0.0, 7.5), num_frames(8.0, 9.2)
    (16, 3)
    """
    return min(most, int((end_seconds - start_seconds) * FRAMES_PER_SECOND + 1e-6) + 1)


def _segment_seconds(file: Path, frames: int) -> list[tuple[float, float]]:
    """Times of the first and last frame of each segment."""
    times = probe(file).pts_seconds
    step, length = 1 / FRAMES_PER_SECOND, frames / FRAMES_PER_SECOND
    number = int((times[-1] - times[0]) / length) + 1
    starts = [float(times[0]) + k * length for k in range(number)]
    return [(start, min(start + length - step, float(times[-1]))) for start in starts]


def reader_prompt(captions: Sequence[Verdict], question: str) -> str:
    """What the reader is asked: captions with their times, and a question of VSI-Bench without its first line.

    The published words are not known.
    """
    lines = []
    for one in captions:
        video = one.prompt.video
        assert video is not None
        start, end = video.start_seconds or 0.0, video.end_seconds or 0.0
        lines.append(f"[{start:.1f} s to {end:.1f} s] {one.parsed or '(no caption)'}")
    asked = question.removeprefix("These are frames of a video.\n").rpartition("\n")[0]
    return (
        "You cannot see a video, but read descriptions of its parts, in order. Answer the question from them alone.\n\n"
        + "\n\n".join(lines)
        + f"\n\n{asked}\nThink first, then give the letter of one option as <answer>X</answer>."
    )


def read_letter(reply: str) -> str | None:
    r"""The letter A–D of the last answer element, else of the last box of LaTeX.

    >>> read_letter("<answer>A</answer> or rather <answer>(B) left</answer>")
    'B'
    >>> read_letter(r"so \boxed{C}"), read_letter("A")
    ('C', None)
    """
    text = reply[-_MAX_CHARS:]
    found = _ANSWER.findall(text) or _BOXED.findall(text)
    return found[-1] if found else None
