"""What is reached on prompts with letters without an image: by chance, by chance that knows the law, and by text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from remot.datatools.audit.baselines import TextOnlyPrompt
from remot.datatools.audit.blind import blind_answers, score_guesses
from remot.evaluation.scores import judge
from remot.motion import ATTRIBUTES, PAIRS
from remot.rewards.functional.letters import GroupKey, motion_code, share_of_directions
from remot.structures import Question, Slot

#: Score names that chance is known for.
SCORES = ("overall", "partial", "partial_strict", "logic", "format", "direction")
#: Those that not all prompts have.
PARTLY_KNOWN = ("logic", "direction")


@dataclass(frozen=True)
class Baselines:
    """Expected scores of each prompt without its images.

    Args:
        by_name: By baseline, prompt id and score: ``chance`` draws each letter uniformly; ``law`` draws the answers of
            a group uniformly among those that can be true together; ``blind`` is the model of the prompt's text, fitted
            to other scenes, whose share of right letters is the highest.
    """

    by_name: Mapping[str, Mapping[str, Mapping[str, float]]]

    def of(self, score: str, prompt_ids: Sequence[str]) -> dict[str, float]:
        """Mean of each baseline over prompts; a baseline that is unknown for one of them is left out."""
        means = {}
        for name, by_prompt in self.by_name.items():
            values = [by_prompt.get(prompt_id, {}).get(score, float("nan")) for prompt_id in prompt_ids]
            known = [value for value in values if not np.isnan(value)]
            if known and (score in PARTLY_KNOWN or len(known) == len(values)):
                means[name] = float(np.mean(known))
        return means


def baselines_of(questions: Sequence[Question], seed: int = 0) -> Baselines:
    """The baselines of prompts with slots; numbers have none.

    Args:
        questions: All prompts of the benchmark.
        seed: Names the halves that blind models are fitted to.
    """
    lettered = [question for question in questions if not question.asks_numbers]
    return Baselines(
        {
            "chance": {question.prompt_id: expected_scores(question, knows_law=False) for question in lettered},
            "law": {question.prompt_id: expected_scores(question, knows_law=True) for question in lettered},
            "blind": _blind_scores(lettered, seed),
        }
    )


def _blind_scores(questions: Sequence[Question], seed: int) -> dict[str, dict[str, float]]:
    best: dict[str, dict[str, float]] = {}
    best_mean = -1.0
    for answered in blind_answers(questions, seed).values() if questions else ():
        scores = {question.prompt_id: _scores(question, letters) for question, letters in answered}
        mean = float(np.mean([one["partial"] for one in scores.values()])) if scores else -1.0
        if mean > best_mean:
            best, best_mean = scores, mean
    return best


def _scores(question: Question, letters: str) -> dict[str, float]:
    judged = judge(question.respond(letters), question)
    logic = judged.logic if np.isnan(judged.logic) else float(judged.logic == 1.0)
    return {
        "overall": judged.overall,
        "partial": judged.partial,
        "partial_strict": judged.partial,
        "logic": logic,
        "format": 1.0,
        "direction": share_of_directions(letters, question),
    }


def task_baselines(questions: Sequence[Question], seed: int = 0) -> dict[str, dict[str, float]]:
    """Chance and the best model of the text alone for prompts of one task without letters, by name of the score.

    What is right is known by chance where there are few answers; numbers, times and boxes have a ``score`` without
    images instead.

    Args:
        questions: Prompts with references.
        seed: Names the halves that blind models are fitted to.
    """
    answers = tuple(sorted({question.reference.answer or "" for question in questions if question.reference}))
    found: dict[str, dict[str, float]] = {}
    for guesses in score_guesses([TextOnlyPrompt(question, answers=answers) for question in questions], seed):
        chance = {} if guesses.chance is None else {"chance": guesses.chance}
        baselines = chance | {"blind": guesses.by_model[guesses.best]}
        for score in ("right", "score") if guesses.measure == "right" else ("score",):
            found[score] = baselines
    return found


def expected_scores(question: Question, *, knows_law: bool) -> dict[str, float]:
    """Expected scores of letters drawn at random, one for each question.

    Args:
        question: A prompt with slots.
        knows_law: Draw the answers about all pairs of one attribute and subject among those that can be true together,
            all alike; else each letter by itself.
    """
    groups: dict[GroupKey, list[Slot]] = {}
    for slot in question.slots:
        groups.setdefault((slot.label.attribute, slot.label.subject), []).append(slot)
    overall, right, logic, has_logic = 1.0, 0.0, 1.0, False
    named = named_right = 0.0  # letters about a motion that name one, and the right one
    for slots in groups.values():
        drawn = list(product(*(slot.letters[: len(slot.options)] for slot in slots)))
        possible = _possible(drawn, slots)
        if possible:
            has_logic = True
            logic *= 1.0 if knows_law else len(possible) / len(drawn)
        choices = possible if possible and knows_law else drawn
        gold = tuple(slot.gold for slot in slots)
        overall *= choices.count(gold) / len(choices)
        right += sum(float(np.mean([letters[k] == one for letters in choices])) for k, one in enumerate(gold))
        for k, slot in enumerate(slots):
            if motion_code(slot.gold, slot):
                named += float(np.mean([bool(motion_code(letters[k], slot)) for letters in choices]))
                named_right += float(np.mean([letters[k] == slot.gold for letters in choices]))
    partial = right / max(1, len(question.slots))
    scores = {"overall": overall, "partial": partial, "partial_strict": partial, "format": 1.0}
    partly = {
        "logic": logic if has_logic else float("nan"),
        "direction": named_right / named if named else float("nan"),
    }
    return scores | partly


def _possible(drawn: Sequence[tuple[str, ...]], slots: Sequence[Slot]) -> list[tuple[str, ...]]:
    """Answers that can be true together; none unless the slots ask for an attribute's values, of each pair once."""
    attribute = ATTRIBUTES.get(slots[0].label.attribute)
    by_pair = {slot.label.pair: k for k, slot in enumerate(slots)}
    if attribute is None or len(slots) != len(PAIRS) or set(by_pair) != set(PAIRS):
        return []
    if not all(set(slot.options) <= set(attribute.values) for slot in slots):
        return []
    codes = [
        {letter: attribute.code_of(option) for letter, option in zip(slot.letters, slot.options, strict=False)}
        for slot in slots
    ]
    return [
        letters
        for letters in drawn
        if attribute.consistency([codes[by_pair[pair]][letters[by_pair[pair]]] for pair in PAIRS]) == 1
    ]
