"""What a benchmark is: rows become prompts, replies become verdicts, verdicts become metrics.

Notation: B scored units, S scenes, R bootstrap resamples.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from remot.data.media.spans import VideoSpan
from remot.structures import FloatArray

#: Called with a prompt for a language model that judges; gives its reply.
Grader = Callable[[str], str]


@dataclass(frozen=True)
class EmbeddedImage:
    """An image that a table holds itself, as files of the Hugging Face hub do.

    Args:
        name: For messages.
        content: Bytes of an image file.
    """

    name: str
    content: bytes


@dataclass(frozen=True, eq=False)
class BenchmarkPrompt:
    """One question of a benchmark.

    Args:
        prompt_id: Unique within the benchmark, and stable.
        text: What the user says after the images and videos.
        gold: The right answer, JSON-ready.
        scene: Unit of the bootstrap: scene or video that several questions share.
        images: Files of the images, in the order shown.
        image_seconds: Times of the images, if they are shown as one video; else empty.
        video: A video file to show.
        sources: Names of scenes and videos by which training data that shares them is found.
        row: What the benchmark itself needs to score.
        as_pairs: The images are shown in pairs, each a video of two frames.
    """

    prompt_id: str
    text: str
    gold: Any
    scene: str
    images: tuple[Path | EmbeddedImage, ...] = ()
    image_seconds: tuple[float, ...] = ()
    video: VideoSpan | None = None
    sources: tuple[str, ...] = ()
    row: Any = None
    as_pairs: bool = False

    @property
    def files(self) -> list[Path]:
        """The files that have to be there."""
        images = [image for image in self.images if isinstance(image, Path)]
        return images if self.video is None else [*images, self.video.file]


@dataclass(frozen=True)
class ModelReply:
    """What a model answered.

    Args:
        text: The whole completion.
        num_tokens: Its length, 0 if unknown.
        cut_off: True if it did not end by itself within the budget; None if unknown.
    """

    text: str
    num_tokens: int = 0
    cut_off: bool | None = None


@dataclass(frozen=True, eq=False)
class Verdict:
    """A prompt with its reply and what that is worth.

    Args:
        prompt: The question.
        reply: The answer.
        parsed: What was read from the reply, JSON-ready; None if nothing could be.
        scores: By name; NaN where a score does not apply.
        knows_parsed: False if what was read is not known, as of most tasks of lmms-eval.
    """

    prompt: BenchmarkPrompt
    reply: ModelReply
    parsed: Any
    scores: Mapping[str, float]
    knows_parsed: bool = True


@dataclass(frozen=True)
class BenchmarkOptions:
    """What may be chosen about a benchmark; None leaves it as published.

    Args:
        media: Folder of images and videos; the folder of the rows by default.
        num_frames: Frames shown of a video at most.
        split: Split to ask, for benchmarks that have several.
        grader: A language model that judges free text; without one, the share that rules decide is reported.
    """

    media: Path | None = None
    num_frames: int | None = None
    split: str | None = None
    grader: Grader | None = None


class Benchmark(ABC):
    """Reader, prompts, parser, scorer and aggregation of one benchmark.

    Args:
        options: What the user chose.
    """

    name: ClassVar[str]
    #: Budget of new tokens as published.
    max_new_tokens: ClassVar[int]
    #: Frames shown of a video as published.
    num_frames: ClassVar[int] = 32
    #: Nothing is scored without a language model that judges or reads.
    needs_grader: ClassVar[bool] = False

    def __init__(self, options: BenchmarkOptions | None = None) -> None:
        self.options = options if options is not None else BenchmarkOptions()

    @property
    def num_shown_frames(self) -> int:
        """Frames shown of a video at most."""
        return self.options.num_frames or self.num_frames

    @abstractmethod
    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """The prompts of a file or folder, in its order. Media need not exist.

        Raises:
            ConfigError: If there is no such file.
            AnnotationError: If a row is malformed.
        """

    def version(self, data: Path) -> str:  # noqa: ARG002 (most have none)
        """What identifies the version of the data; "" if nothing does."""
        return ""

    @abstractmethod
    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401 (JSON)
        """What a reply says, JSON-ready; None if nothing can be read. Never raises: replies are hostile."""

    @abstractmethod
    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401
        """Scores of one reply."""

    @abstractmethod
    def metrics(self, verdicts: Sequence[Verdict]) -> list["Metric"]:
        """The table, in the order of its rows."""

    def concluded(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """What is scored, once all replies are there: the verdicts themselves, for most."""
        return list(verdicts)

    def judged(self, prompt: BenchmarkPrompt, reply: ModelReply) -> Verdict:
        """Parse and score one reply."""
        parsed = self.parse(prompt, reply.text)
        return Verdict(prompt, reply, parsed, self.score(prompt, parsed, reply))


class Statistic(Protocol):
    """A number that can be computed again with scenes drawn several times."""

    @property
    def count(self) -> int:
        """Units in its denominator."""

    @property
    def scenes(self) -> frozenset[str]:
        """Scenes that contribute."""

    def over(self, place: Mapping[str, int], times: FloatArray) -> FloatArray:
        """Its value [R] if scene ``s`` is drawn ``times[:, place[s]]`` times; NaN where nothing contributes."""


class Mean:
    """Mean over units.

    Args:
        units: Scene and value of each; NaN values are not part of the mean.
    """

    def __init__(self, units: Sequence[tuple[str, float]]) -> None:
        self._units = [(scene, float(value)) for scene, value in units if not np.isnan(value)]

    @property
    def count(self) -> int:
        """Values that are not NaN."""
        return len(self._units)

    @property
    def scenes(self) -> frozenset[str]:
        """Scenes of these."""
        return frozenset(scene for scene, _ in self._units)

    def over(self, place: Mapping[str, int], times: FloatArray) -> FloatArray:
        """Σ of the values of the drawn scenes over their number."""
        sums, counts = np.zeros(len(place)), np.zeros(len(place))
        for scene, value in self._units:
            sums[place[scene]] += value
            counts[place[scene]] += 1
        with np.errstate(invalid="ignore"):
            means: FloatArray = (times @ sums) / (times @ counts)  # [R]
        return means


@dataclass(frozen=True, eq=False)
class Combined:
    """A function of several statistics.

    Args:
        parts: The statistics.
        function: From their values [K, R] to [R].
        same_units: The parts are about the same units, such as several scores of one row, which count once.
    """

    parts: Sequence[Statistic]
    function: Callable[[FloatArray], FloatArray]
    same_units: bool = False

    @property
    def count(self) -> int:
        """Units of all parts together."""
        counts = [part.count for part in self.parts]
        return max(counts, default=0) if self.same_units else sum(counts)

    @property
    def scenes(self) -> frozenset[str]:
        """Scenes of all parts together."""
        return frozenset().union(*(part.scenes for part in self.parts))

    def over(self, place: Mapping[str, int], times: FloatArray) -> FloatArray:
        """The function of the parts' values."""
        if not self.parts:
            return np.full(len(times), np.nan)
        return self.function(np.stack([part.over(place, times) for part in self.parts]))


def plain_mean(parts: Sequence[Statistic], *, same_units: bool = False) -> Combined:
    """The unweighted mean of those parts that have a value, such as the tasks of which there are rows."""

    def function(values: FloatArray) -> FloatArray:
        present = ~np.isnan(values)  # [K, R]
        with np.errstate(invalid="ignore"):
            means: FloatArray = np.where(present, values, 0.0).sum(0) / present.sum(0)
        return means

    return Combined(parts, function, same_units)


@dataclass(frozen=True, eq=False)
class Metric:
    """One row of a benchmark's table.

    Args:
        name: Such as ``overall``; a slash separates a group from its members.
        statistic: How it is computed.
        note: What is special about it, such as rows that drop out of its denominator.
        chance: What is reached without looking, by name of the baseline.
    """

    name: str
    statistic: Statistic
    note: str = ""
    chance: Mapping[str, float] = field(default_factory=dict)


def mean_of(verdicts: Sequence[Verdict], score: str) -> Mean:
    """Mean of a score over the verdicts that have it."""
    return Mean([(one.prompt.scene, one.scores.get(score, float("nan"))) for one in verdicts])


def grouped(verdicts: Sequence[Verdict], key: Callable[[BenchmarkPrompt], str]) -> dict[str, list[Verdict]]:
    """Verdicts by a property of their prompts, in order of its names; "" is left out."""
    groups: dict[str, list[Verdict]] = {}
    for one in verdicts:
        groups.setdefault(key(one.prompt), []).append(one)
    return {name: groups[name] for name in sorted(groups) if name}
