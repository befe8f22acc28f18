"""Models that answer without images, what they know of a prompt, and how a guess is scored."""

import re
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from remot.datatools.audit.blind import NaiveBayes, features
from remot.structures import Box, Interval, Question, Reference

#: Constants that are tried, spread over those seen.
_MAX_TRIED = 64
_OPTION = re.compile(r"^([A-Z])\. (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class TextOnlyPrompt:
    """Text-only view of a prompt, for blind baselines.

    Args:
        question: Its text, and its reference to score guesses by.
        seconds: Length of what is shown.
        answers: Answers the task can have, if it has few; else empty.
    """

    question: Question
    seconds: float = 1.0
    answers: tuple[str, ...] = ()

    @property
    def reference(self) -> Reference:
        """The truth."""
        return self.question.reference or Reference()

    @property
    def options(self) -> dict[str, str]:
        """Options by letter, empty if there are none."""
        return dict(_OPTION.findall(self.question.text))

    @property
    def asked(self) -> str:
        """The text without its digits, so that it names things and no times."""
        return re.sub(r"\d+", "", self.question.text.split("\n", 1)[0])


class BlindBaseline(ABC):
    """Answers without images; a guess is scored where it is made, since only scores are of interest."""

    name: ClassVar[str]

    @abstractmethod
    def fit(self, prompts: Sequence[TextOnlyPrompt]) -> None:
        """Learn from prompts and their references."""

    @abstractmethod
    def score(self, prompt: TextOnlyPrompt) -> float:
        """Score in [0, 1] of the guess for a prompt."""


class MajorityAnswer(BlindBaseline):
    """The most frequent letter or word."""

    name = "majority_answer"

    def fit(self, prompts: Sequence[TextOnlyPrompt]) -> None:
        """Count answers."""
        self._answer = _most_frequent([prompt.reference.answer or "" for prompt in prompts])

    def score(self, prompt: TextOnlyPrompt) -> float:
        """Whether that is right."""
        return float(prompt.reference.answer == self._answer)


class AnswerFromText(BlindBaseline):
    """Naive Bayes of the letter or word on the words of the prompt, its options and their order among them."""

    name = "answer_from_text"

    def fit(self, prompts: Sequence[TextOnlyPrompt]) -> None:
        """Count the words that come with each answer."""
        texts = [features(prompt.question.text) for prompt in prompts]
        self._bayes = NaiveBayes(texts, [prompt.reference.answer or "" for prompt in prompts])

    def score(self, prompt: TextOnlyPrompt) -> float:
        """Whether the most probable answer is right."""
        return float(self._bayes.predict([features(prompt.question.text)]) == [prompt.reference.answer])


class LikelyOption(BlindBaseline):
    """The option whose words are right most often where they are offered, such as a table as the nearest of things."""

    name = "likely_option"

    def fit(self, prompts: Sequence[TextOnlyPrompt]) -> None:
        """Count how often each option is offered, and how often it is right."""
        self._offered, self._right = Counter[str](), Counter[str]()
        for prompt in prompts:
            self._offered.update(prompt.options.values())
            self._right[prompt.options.get(prompt.reference.answer or "", "")] += 1

    def score(self, prompt: TextOnlyPrompt) -> float:
        """Whether it is right; one right of two is added to each count."""
        rates = {letter: (self._right[text] + 1) / (self._offered[text] + 2) for letter, text in prompt.options.items()}
        return float(prompt.reference.answer == max(rates, key=lambda letter: rates[letter], default=""))


class BestConstant(BlindBaseline):
    """The one answer that scores best on the prompts it is fitted to.

    Args:
        value_of: Value of a prompt's reference, in a form that other prompts can be given.
        score_of: Score of such a value for a prompt.
    """

    name = "best_constant"

    def __init__(
        self, value_of: Callable[[TextOnlyPrompt], object], score_of: Callable[[object, TextOnlyPrompt], float]
    ) -> None:
        self.value_of, self.score_of = value_of, score_of

    def fit(self, prompts: Sequence[TextOnlyPrompt]) -> None:
        """Try the values that are seen."""
        self._value = self._best(prompts)

    def score(self, prompt: TextOnlyPrompt) -> float:
        """Score of that value."""
        return self.score_of(self._value, prompt)

    def _best(self, prompts: Sequence[TextOnlyPrompt]) -> object:
        values = sorted({self.value_of(prompt) for prompt in prompts}, key=str)
        places = np.unique(np.linspace(0, len(values) - 1, _MAX_TRIED).astype(int))
        means = [float(np.mean([self.score_of(values[k], prompt) for prompt in prompts])) for k in places]
        return values[places[int(np.argmax(means))]]


class ConstantByQuestion(BestConstant):
    """The best constant of the prompts with the same words, such as the size of a chair; of all for other words."""

    name = "constant_by_question"

    def fit(self, prompts: Sequence[TextOnlyPrompt]) -> None:
        """Try the values seen with each wording."""
        super().fit(prompts)
        groups: dict[str, list[TextOnlyPrompt]] = defaultdict(list)
        for prompt in prompts:
            groups[prompt.asked].append(prompt)
        self._by_words = {words: self._best(of_words) for words, of_words in groups.items()}

    def score(self, prompt: TextOnlyPrompt) -> float:
        """Score of the value for these words."""
        return self.score_of(self._by_words.get(prompt.asked, self._value), prompt)


class GivenBoxStays(BlindBaseline):
    """The first box again and again, where the text gives it."""

    name = "given_box_stays"

    def fit(self, prompts: Sequence[TextOnlyPrompt]) -> None:
        """Nothing to learn."""

    def score(self, prompt: TextOnlyPrompt) -> float:
        """Mean overlap with the first box."""
        return boxes_overlap((prompt.reference.boxes or ((0, 0, 0, 0),))[0], prompt)


def relative_accuracy(guess: float, right: float) -> float:
    """Share of the ten tolerances 0.5, 0.45, … 0.05 that the relative error keeps; the error itself if 0 is right."""
    error = abs(guess - right) / (abs(right) or 1.0)
    return sum(error <= 0.05 * step + 1e-9 for step in range(1, 11)) / 10


def times_overlap(guess: Interval, prompt: TextOnlyPrompt) -> float:
    """Time in which a guess and the truth both happen, of that in which one of them does; the guess in lengths."""
    start, end = (share * prompt.seconds for share in guess)
    right = prompt.reference.intervals or ()
    both = sum(max(0.0, min(end, b) - max(start, a)) for a, b in right)
    either = end - start + sum(b - a for a, b in right) - both
    return both / either if either > 0 else 0.0


def boxes_overlap(guess: Box, prompt: TextOnlyPrompt) -> float:
    """Mean overlap of a box with those of the truth."""
    right = np.array(prompt.reference.boxes or np.zeros((1, 4)))
    sides = np.minimum(right[:, 2:], guess[2:]) - np.maximum(right[:, :2], guess[:2])
    both = np.maximum(sides, 0).prod(1)
    either = (right[:, 2:] - right[:, :2]).prod(1) + (guess[2] - guess[0]) * (guess[3] - guess[1]) - both
    return float(np.mean(both / np.maximum(either, 1e-12)))


def _most_frequent(answers: Sequence[str]) -> str:
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer))
