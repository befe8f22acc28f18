"""How often the right letter can be guessed without looking at an image."""

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, TypeVar

import numpy as np

from remot.datatools.audit.splits import HalvedBy, first_half, mean_with_error, unit_for, unit_of
from remot.structures import FloatArray, Question, Slot

_Choice = TypeVar("_Choice", bound=Hashable)


@dataclass(frozen=True)
class BlindScores:
    """Shares of right letters without an image.

    Args:
        by_model: Share of right letters of each blind model, on scenes or prompts it was not fitted to.
        standard_errors: Standard error of each share.
        chance: Mean of 1 / number of options.
        halved_by: What the halves were divided by, which is also the unit of the standard errors.
    """

    by_model: dict[str, float]
    standard_errors: dict[str, float]
    chance: float
    halved_by: HalvedBy = "scene"

    @property
    def best(self) -> str:
        """Name of the best model. Its share is a little too high, as that of a best of several."""
        return max(self.by_model, key=lambda name: self.by_model[name])


class BlindModel(ABC):
    """Answers from the text of a prompt alone."""

    name: ClassVar[str]

    @abstractmethod
    def fit(self, questions: Sequence[Question]) -> None:
        """Learn from ``questions`` and their right letters."""

    @abstractmethod
    def answers(self, questions: Sequence[Question]) -> list[str]:
        """Letters for each of ``questions``, one for each slot."""


class MajorityLetter(BlindModel):
    """The most frequent letter of each slot."""

    name = "majority_letter"

    def fit(self, questions: Sequence[Question]) -> None:
        """Count the letters of each slot."""
        self._letters = "".join(_most_frequent(golds) for golds in zip(*(q.solution for q in questions), strict=True))

    def answers(self, questions: Sequence[Question]) -> list[str]:
        """The same letters for all."""
        return [self._letters] * len(questions)


class LettersFromText(BlindModel):
    """Naive Bayes of each slot's letter on the words of the prompt, its options and their order among them."""

    name = "letters_from_text"

    def fit(self, questions: Sequence[Question]) -> None:
        """Count the words that come with each answer, for each slot."""
        texts = [features(question.text) for question in questions]
        self._slots = [NaiveBayes(texts, golds) for golds in zip(*(q.solution for q in questions), strict=True)]

    def answers(self, questions: Sequence[Question]) -> list[str]:
        """The most probable answer of each slot by itself."""
        texts = [features(question.text) for question in questions]
        return ["".join(letters) for letters in zip(*(slot.predict(texts) for slot in self._slots), strict=True)]


class ValuesFromText(BlindModel):
    """Naive Bayes of each slot's value on the words of the prompt, turned into a letter by the options.

    Finds what letters in shuffled order hide, such as a subject that mostly moves to the right.
    """

    name = "values_from_text"

    def fit(self, questions: Sequence[Question]) -> None:
        """Count the words that come with each answer, for each slot."""
        texts = [features(question.text.split("\n", 1)[0]) for question in questions]
        values = zip(*([slot.label.value for slot in q.slots] for q in questions), strict=True)
        self._slots = [NaiveBayes(texts, of_slot) for of_slot in values]

    def answers(self, questions: Sequence[Question]) -> list[str]:
        """The most probable answer of each slot by itself."""
        texts = [features(question.text.split("\n", 1)[0]) for question in questions]
        predicted = zip(*(slot.predict(texts) for slot in self._slots), strict=True)
        return [_letters(question.slots, values) for question, values in zip(questions, predicted, strict=True)]


class KnownLaw(BlindModel):
    """The most frequent answers of each attribute, all slots together, turned into letters by the options.

    A data set in which one pattern holds throughout, such as "there and back", gives itself away here.
    """

    name = "known_law"

    def fit(self, questions: Sequence[Question]) -> None:
        """Count the answers to all slots of each attribute."""
        seen: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for question in questions:
            seen[_attribute(question)].append(tuple(slot.label.value for slot in question.slots))
        self._values = {attribute: _most_frequent(tuples) for attribute, tuples in seen.items()}

    def answers(self, questions: Sequence[Question]) -> list[str]:
        """The attribute's most frequent answers; the first letters for an attribute that was not seen."""
        return [_letters(q.slots, self._values.get(_attribute(q), ("",) * len(q.slots))) for q in questions]


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


def score_blind(questions: Sequence[Question], seed: int = 0) -> BlindScores | None:
    """Fit every blind model to each half of the scenes and score it on the other half.

    Halves are divided by scene, since prompts of one scene are alike; where there is one scene only, by prompt, which
    also finds what is true of that scene alone. Each format and number of questions has models of its own. Questions
    for numbers are left out: they have no chance level.

    Args:
        questions: Prompts with their right letters.
        seed: Names the halves.

    Returns:
        The scores, or None if there are fewer than two prompts with letters.
    """
    lettered = [question for question in questions if not question.asks_numbers]
    unit = unit_for(lettered)
    by_model, errors = {}, {}
    for name, answered in blind_answers(lettered, seed).items():
        hits: dict[str, list[float]] = defaultdict(list)
        for question, letters in answered:
            hits[unit_of(question, unit)] += [a == b for a, b in zip(letters, question.solution, strict=True)]
        if hits:
            by_model[name], errors[name] = mean_with_error(hits)
    options = [1 / len(slot.options) for question in lettered for slot in question.slots]
    return BlindScores(by_model, errors, float(np.mean(options)), unit) if by_model else None


def blind_answers(questions: Sequence[Question], seed: int = 0) -> dict[str, list[tuple[Question, str]]]:
    """The letters that each blind model gives to questions of the half it was not fitted to.

    Args:
        questions: Prompts with their right letters, none of them for numbers.
        seed: Names the halves.

    Returns:
        By name of the model the questions with its letters; a kind of question with an empty half is left out.
    """
    unit = unit_for(questions)
    chosen = first_half(questions, unit, seed)
    answered: dict[str, list[tuple[Question, str]]] = {}
    for model in (MajorityLetter(), LettersFromText(), ValuesFromText(), KnownLaw()):
        found = answered.setdefault(model.name, [])
        for kind in _kinds(questions):
            halves = [[q for q in kind if (unit_of(q, unit) in chosen) == first] for first in (True, False)]
            for fitted, asked in (halves, halves[::-1]) if all(halves) else ():
                model.fit(fitted)
                found += zip(asked, model.answers(asked), strict=True)
    return answered


def _kinds(questions: Sequence[Question]) -> list[list[Question]]:
    """Questions of one format and number of slots together."""
    kinds: dict[tuple[str, int], list[Question]] = defaultdict(list)
    for question in questions:
        kinds[question.format, len(question.slots)].append(question)
    return list(kinds.values())


def _most_frequent(items: Iterable[_Choice]) -> _Choice:
    """The most frequent of ``items``; among equals the first in order, so that the order of prompts says nothing."""
    counts = Counter(items)
    return min(counts, key=lambda item: (-counts[item], str(item)))


def _attribute(question: Question) -> str:
    return question.slots[0].label.attribute


def _letters(slots: Sequence[Slot], values: Sequence[str]) -> str:
    """Letters of ``values``; a value that is no option gets the first letter."""
    return "".join(
        slot.letters[slot.options.index(value) if value in slot.options else 0]
        for slot, value in zip(slots, values, strict=True)
    )
