"""What may be asked about a scene and what is refused, and the tasks that draw a prompt from it."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Literal, NamedTuple, TypeVar

import numpy as np

from remot.answers import LETTERS
from remot.data.tasks.base import Task, TaskPlan
from remot.data.tasks.shared.frames import FrameSampling, times_in_words
from remot.data.tasks.shared.worded import read_wordings
from remot.structures import Clip


@dataclass(frozen=True)
class Candidate:
    """Something that can be asked about a scene, and its answer.

    Args:
        places: What fills the wording, by place.
        right: The right option, or the answer as text.
        wrong: Wrong options; none if there are no options.
        verdict: Answers that are to be equally frequent within a clip, "" if any candidate is as good as another.
    """

    places: Mapping[str, str]
    right: str
    wrong: tuple[str, ...] = ()
    verdict: str = ""


@dataclass(frozen=True)
class Refusal:
    """Something that is not asked, and why, in a few words that are the same for all of its kind."""

    reason: str


C = TypeVar("C", bound=Candidate)
S = TypeVar("S")


class WordedQuestion(NamedTuple):
    """A candidate put into words: question and options, letter or right answer, and what is to be answered."""

    lines: tuple[str, ...]
    answer: str
    kind: Literal["choice", "number"]


class SceneTask(Task, Generic[S, C]):
    """A question about what the shown frames show of a scene.

    The wordings are those of ``remot/assets/wordings/tasks_FAMILY.yaml``, in the sections of the task's name and
    ``shared``.

    Args:
        frames: Which frames are shown; 2 a second, at most 16, by default.
        wordings: File with other words.
    """

    family: ClassVar[str]

    def __init__(self, frames: FrameSampling | None = None, wordings: Path | None = None) -> None:
        self.frames = FrameSampling(16, 2.0) if frames is None else frames
        self.wordings = read_wordings(self.name, self.family, wordings)
        self.shared = read_wordings("shared", self.family, wordings)

    @abstractmethod
    def scene(self, clip: Clip, generator: np.random.Generator | None = None) -> S:
        """A clip and what its shown frames show; the generator draws what names things get."""

    @abstractmethod
    def candidates(self, scene: S, generator: np.random.Generator) -> Iterator[C | Refusal]:
        """What may be asked about a scene, and what is refused; drawn where there are too many to name all."""

    @abstractmethod
    def plan_of(self, scene: S, chosen: C, generator: np.random.Generator) -> TaskPlan:
        """The prompt that asks a candidate."""

    def accepted(self, scene: S, generator: np.random.Generator) -> Iterator[C | Refusal]:
        """The candidates; those that no prompt can ask are refused."""
        return self.candidates(scene, generator)

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """A prompt: a verdict is drawn first, then one of its candidates."""
        scene = self.scene(clip, generator)
        chosen = drawn(self.accepted(scene, generator), generator)
        return None if chosen is None else self.plan_of(scene, chosen, generator)

    def refusals(self, clips: Iterable[Clip], generator: np.random.Generator) -> Counter[str]:
        """How often something is ``asked`` or refused, by reason."""
        scenes = (self.scene(clip) for clip in clips if self.serves(clip))
        return counted(one for scene in scenes for one in self.accepted(scene, generator))

    def worded(self, chosen: Candidate, generator: np.random.Generator) -> WordedQuestion:
        """Draws the wording of a question, then the order of its options."""
        asked = self.wordings.say("ask", generator, **chosen.places)
        if not chosen.wrong:
            return WordedQuestion((asked,), chosen.right, "number")
        choice = shuffled_choice(chosen.right, chosen.wrong, generator)
        return WordedQuestion((asked, "Options:", choice.lines), choice.letter, "choice")

    def times_lines(self, clip: Clip, shown: tuple[int, ...], generator: np.random.Generator) -> list[str]:
        """A line with the times of shown frames, none for a video, which has them by itself."""
        if self.frames.as_video:
            return []
        return [self.shared.say("times", generator, times=times_in_words(clip, shown))]

    def other_answers(self, right: str) -> tuple[str, ...]:
        """The task's answers but the right one."""
        return tuple(answer for answer in self.answers if answer != right)


def drawn(found: Iterable[C | Refusal], generator: np.random.Generator) -> C | None:
    """One of the candidates: a verdict first, each equally likely, then one that has it; None if all are refused."""
    by_verdict: dict[str, list[C]] = {}
    for one in found:
        if not isinstance(one, Refusal):
            by_verdict.setdefault(one.verdict, []).append(one)
    if not by_verdict:
        return None
    alike = by_verdict[sorted(by_verdict)[int(generator.integers(len(by_verdict)))]]
    return alike[int(generator.integers(len(alike)))]


def counted(found: Iterable[Candidate | Refusal]) -> Counter[str]:
    """How often something is ``asked`` or refused, by reason."""
    return Counter(one.reason if isinstance(one, Refusal) else "asked" for one in found)


@dataclass(frozen=True)
class Choice:
    """Options in the order of their letters, and the letter of the right one."""

    options: tuple[str, ...]
    letter: str

    @property
    def lines(self) -> str:
        """One line for each option, such as ``A. left``."""
        return "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False))


def shuffled_choice(right: str, wrong: Sequence[str], generator: np.random.Generator) -> Choice:
    """``right`` among ``wrong`` in random order, every place equally likely; a ValueError if two are the same."""
    options = [right, *wrong]
    if len(set(options)) < len(options) or len(options) > len(LETTERS):
        msg = f"options must differ and be at most {len(LETTERS)}, got {options}"
        raise ValueError(msg)
    order = generator.permutation(len(options))
    return Choice(tuple(options[k] for k in order), LETTERS[int(np.flatnonzero(order == 0)[0])])
