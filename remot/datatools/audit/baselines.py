"""Blind baselines: models that answer without images, from the text of a prompt alone."""

import re
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np

from remot.structures import Box, FloatArray, Interval, Question, Reference, Slot

#: Constants that are tried, spread over those seen.
_MAX_TRIED = 64
_OPTION = re.compile(r"^([A-Z])\. (.*)$", re.MULTILINE)
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class TextOnlyPrompt:
    """Text-only view of a prompt, for blind baselines; its right answers serve to score guesses.

    ``seconds`` is the length of what is shown, ``answers`` are those the task can have, if it has few.
    """

    question: Question
    seconds: float = 1.0
    answers: tuple[str, ...] = ()

    @property
    def reference(self) -> Reference:
        """The right answer of a prompt without slots."""
        return self.question.reference or Reference()

    @property
    def golds(self) -> Sequence[str]:
        """The right letter of each slot; the right letter or word of a prompt without slots."""
        return self.question.solution if self.question.slots else (self.reference.answer or "",)

    @property
    def options(self) -> dict[str, str]:
        """Options by letter, empty if there are none."""
        return dict(_OPTION.findall(self.question.text))

    @property
    def first_line(self) -> str:
        """The question without options and times."""
        return self.question.text.split("\n", 1)[0]


Prompts = Sequence[TextOnlyPrompt]


class BlindBaseline(ABC):
    """Answers without images, after prompts with their right answers."""

    name: str

    @abstractmethod
    def scores(self, seen: Prompts, asked: Prompts) -> list[list[float]]:
        """For each prompt that is asked the score in [0, 1] of each answer that is guessed, learnt from those seen."""


class AnswerBaseline(BlindBaseline):
    """Guesses a letter or word for each question of a prompt, which counts if it is right."""

    @abstractmethod
    def answers(self, seen: Prompts, asked: Prompts) -> list[Sequence[str]]:
        """The guesses for each prompt that is asked, learnt from those seen."""

    def scores(self, seen: Prompts, asked: Prompts) -> list[list[float]]:
        """Which guesses are right."""
        return [
            [float(a == b) for a, b in zip(guesses, prompt.golds, strict=True)]
            for guesses, prompt in zip(self.answers(seen, asked), asked, strict=True)
        ]


@dataclass(frozen=True)
class MajorityAnswer(AnswerBaseline):
    """The most frequent letter or word of each question."""

    name: str = "majority_answer"

    def answers(self, seen: Prompts, asked: Prompts) -> list[Sequence[str]]:
        """The same for all."""
        by_slot = zip(*(prompt.golds for prompt in seen), strict=True)
        return [[_most_frequent(golds) for golds in by_slot]] * len(asked)


@dataclass(frozen=True)
class AnswerFromText(AnswerBaseline):
    """Naive Bayes of each letter or word on the words of the prompt, its options and their order among them."""

    name: str = "answer_from_text"

    def answers(self, seen: Prompts, asked: Prompts) -> list[Sequence[str]]:
        """The most probable answer to each question by itself."""
        known, texts = ([features(prompt.question.text) for prompt in prompts] for prompts in (seen, asked))
        slots = [NaiveBayes(known, golds) for golds in zip(*(prompt.golds for prompt in seen), strict=True)]
        return list(zip(*(slot.predict(texts) for slot in slots), strict=True))


class ValuesFromText(AnswerBaseline):
    """Naive Bayes of each slot's value on the words of the prompt, turned into a letter by the options.

    Finds what letters in shuffled order hide, such as a subject that mostly moves to the right.
    """

    name = "values_from_text"

    def answers(self, seen: Prompts, asked: Prompts) -> list[Sequence[str]]:
        """The most probable value of each slot by itself."""
        known, texts = ([features(prompt.first_line) for prompt in prompts] for prompts in (seen, asked))
        values = zip(*([slot.label.value for slot in prompt.question.slots] for prompt in seen), strict=True)
        slots = [NaiveBayes(known, of_slot) for of_slot in values]
        predicted = zip(*(slot.predict(texts) for slot in slots), strict=True)
        return [_letters(prompt.question.slots, values) for prompt, values in zip(asked, predicted, strict=True)]


class KnownLaw(AnswerBaseline):
    """The most frequent answers of each attribute, all slots together, turned into letters by the options.

    A data set in which one pattern holds throughout, such as "there and back", gives itself away here.
    """

    name = "known_law"

    def answers(self, seen: Prompts, asked: Prompts) -> list[Sequence[str]]:
        """The attribute's most frequent answers; the first letters for an attribute that was not seen."""
        by_attribute: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for slots in (prompt.question.slots for prompt in seen):
            by_attribute[slots[0].label.attribute].append(tuple(slot.label.value for slot in slots))
        laws = {attribute: _most_frequent(tuples) for attribute, tuples in by_attribute.items()}
        return [
            _letters(slots, laws.get(slots[0].label.attribute, ("",) * len(slots)))
            for slots in (prompt.question.slots for prompt in asked)
        ]


class LikelyOption(AnswerBaseline):
    """The option whose words are right most often where they are offered, such as a table as the nearest of things."""

    name = "likely_option"

    def answers(self, seen: Prompts, asked: Prompts) -> list[Sequence[str]]:
        """The likeliest option; one right of two is added to each count."""
        offered, right = Counter[str](), Counter[str]()
        for prompt in seen:
            offered.update(prompt.options.values())
            right[prompt.options.get(prompt.golds[0], "")] += 1
        guesses: list[Sequence[str]] = []
        for prompt in asked:
            rates = {letter: (right[text] + 1) / (offered[text] + 2) for letter, text in prompt.options.items()}
            guesses.append((max(rates, key=lambda letter: rates[letter], default=""),))
        return guesses


V = TypeVar("V")


@dataclass(frozen=True)
class BestConstant(BlindBaseline, Generic[V]):
    """The one answer that scores best on the prompts that are seen.

    Args:
        value_of: Value of a prompt's reference, in a form that other prompts can be given.
        score_of: Score of such a value for a prompt.
    """

    value_of: Callable[[TextOnlyPrompt], V]
    score_of: Callable[[V, TextOnlyPrompt], float]
    name = "best_constant"

    def scores(self, seen: Prompts, asked: Prompts) -> list[list[float]]:
        """Scores of that value."""
        best = self.best(seen)
        return [[self.score_of(best, prompt)] for prompt in asked]

    def best(self, prompts: Prompts) -> V:
        """The best of values that occur."""
        values = sorted({self.value_of(prompt) for prompt in prompts}, key=str)
        places = np.unique(np.linspace(0, len(values) - 1, _MAX_TRIED).astype(int))
        means = [float(np.mean([self.score_of(values[k], prompt) for prompt in prompts])) for k in places]
        best: V = values[places[int(np.argmax(means))]]
        return best


class ConstantByQuestion(BestConstant[V]):
    """The best constant of the prompts with the same words, such as the size of a chair; of all for other words.

    Digits are left out of the words, so that these name things and no times.
    """

    name = "constant_by_question"

    def scores(self, seen: Prompts, asked: Prompts) -> list[list[float]]:
        """Scores of the values for these words."""
        groups: dict[str, list[TextOnlyPrompt]] = defaultdict(list)
        for prompt in seen:
            groups[_DIGITS.sub("", prompt.first_line)].append(prompt)
        best, by_words = self.best(seen), {words: self.best(of_words) for words, of_words in groups.items()}
        return [[self.score_of(by_words.get(_DIGITS.sub("", one.first_line), best), one)] for one in asked]


class GivenBoxStays(BlindBaseline):
    """The first box again and again, where the text gives it."""

    name = "given_box_stays"

    def scores(self, seen: Prompts, asked: Prompts) -> list[list[float]]:  # noqa: ARG002
        """Mean overlaps with the first box."""
        return [[boxes_overlap((prompt.reference.boxes or ((0, 0, 0, 0),))[0], prompt)] for prompt in asked]


class NaiveBayes:
    """Multinomial naive Bayes with one count added to each feature.

    Args:
        documents: Features of each document.
        classes: Class of each document.
    """

    def __init__(self, documents: Sequence[Sequence[str]], classes: Sequence[str]) -> None:
        self.classes = sorted(set(classes))
        known = sorted({feature for document in documents for feature in document})
        self._columns = {feature: column for column, feature in enumerate(known)}
        counts = self._counts(documents)
        members = np.array([[one == name for one in classes] for name in self.classes], dtype=np.float64)
        totals = members @ counts + 1
        self._log_prior = np.log(members.mean(1))
        self._log_likelihood = np.log(totals / totals.sum(1, keepdims=True))

    def predict(self, documents: Sequence[Sequence[str]]) -> list[str]:
        """The most probable class of each document; features that were not seen before are passed over."""
        scores = self._counts(documents) @ self._log_likelihood.T + self._log_prior
        return [self.classes[best] for best in scores.argmax(1)]

    def _counts(self, documents: Sequence[Sequence[str]]) -> FloatArray:
        """[D, F] number of times each known feature occurs in each document."""
        counts = np.zeros((len(documents), len(self._columns)))
        for row, document in enumerate(documents):
            for feature in document:
                if feature in self._columns:
                    counts[row, self._columns[feature]] += 1
        return counts


def features(text: str) -> list[str]:
    """Words and pairs of neighbouring words, each with its line, since the same option in another line is another."""
    found = []
    for number, line in enumerate(text.splitlines()):
        words = line.split()
        found += [f"{number}:{word}" for word in words]
        found += [f"{number}:{word} {following}" for word, following in pairwise(words)]
    return found


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


def _most_frequent(items: Iterable[V]) -> V:
    """The most frequent of ``items``; among equals the first in order, so that the order of prompts is irrelevant."""
    counts = Counter(items)
    return min(counts, key=lambda item: (-counts[item], str(item)))


def _letters(slots: Sequence[Slot], values: Sequence[str]) -> str:
    """Letters of ``values``; a value that is no option gets the first letter."""
    return "".join(
        slot.letters[slot.options.index(value) if value in slot.options else 0]
        for slot, value in zip(slots, values, strict=True)
    )
