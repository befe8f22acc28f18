"""Answers, numbers and forms, groups, lengths and sums worked out another way, from the text to the total."""

import math
import re
from collections import Counter

import numpy as np
import pytest
import torch

import remot.rewards as r
from remot.rewards.functional.numbers import cosine_scaled, repeated_share
from remot.rewards.group_bonuses import length_bonus, temporal_bonus
from remot.rewards.lengths import soft_overlong
from remot.structures import Reference
from tests.helpers import assert_close, make_question
from tests.rewards.other_ways import NUM, assert_agree, inside, rng_of, written
from tests.rewards.samples import question

# -- answers and numbers -----------------------------------------------------------------------------------------------


def test_letters_words_and_case():
    words = ["A", "B", " b ", "b.", "B.", "The answer is B", "(C) left", "Best option:A", "none", "", "G", "HI", "B  x"]

    def cases():
        rng = rng_of("letters")
        for _ in range(NUM):
            text = written(rng, f"<answer>{rng.choice(words)}</answer>", ["B", "<answer>B"], 0.9)
            yield text, Reference(answer=str(rng.choice(words)))

    def letter(said):
        kept = re.sub("The answer is|The answer|Best option:", "", said.strip())
        return "".join(re.findall("[A-G]", kept)[:1])

    def small(said):
        return re.sub(r"\s+", " ", said).strip().rstrip(".").lower()

    for comparison, read in (("exact", str.strip), ("letter", letter), ("case_insensitive", small)):

        def expected(text, reference, read=read):
            said = read(inside("answer", text) or "")
            return float(bool(said) and said == read(reference.answer))

        assert_agree(r.ExactAnswerReward(comparison), cases(), expected, 2)


def test_regression():
    def cases():
        rng = rng_of("regression")
        for _ in range(NUM):
            gold = float(rng.choice([0.0, rng.normal(0, 5)]))
            near = gold * (1 + rng.normal(0, 0.4)) if gold else rng.normal(0, 1)
            yield (
                f"<answer>{written(rng, f'{near:.4f}', ['x', '', '1e999', '5 m'], 0.9)}</answer>",
                Reference(number=gold),
            )

    def expected(text, reference):
        found = re.fullmatch(r"-?\d+\.\d+", inside("answer", text))
        if found is None:
            return 0.0
        off = (abs(float(found[0]) - reference.number) + 1e-9) / (abs(reference.number) + 1e-9)
        return max(0.0, 1.0 - off)

    assert_agree(r.NumberReward("regression"), cases(), expected)


def test_mra_from_the_text():
    """The thresholds counted one by one in hundredths; the number is the first one, or a word for it."""
    words = {"one": 1, "two": 2, "five": 5, "twelve": 12, "a": 1}

    def cases():
        rng = rng_of("mra")
        for _ in range(NUM):
            gold = float(rng.integers(1, 60))
            told = written(rng, str(int(rng.integers(1, 80))), [*words, "none", f"{gold:g}.25 m"])
            yield f"<answer>about {told} or 7</answer>", Reference(number=gold)

    def expected(text, reference):
        said = inside("answer", text).split()[1]
        number = words.get(said)
        if number is None:
            number = float(re.findall(r"\d+(?:\.\d+)?", text)[0])
        hundredths = round(100 * abs(number - reference.number) / reference.number, 9)
        return sum(hundredths <= 100 - theta for theta in range(50, 100, 5)) / 10

    assert_agree(r.NumberReward("mra"), cases(), expected)


# -- formats -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outer_space", [True, False])
@pytest.mark.parametrize("tags", [("think", "answer"), ("answer",), ("think", "answer", "glue")])
def test_formats_are_the_published_patterns(tags, outer_space):
    pieces = ["<think>", "</think>", "<answer>", "</answer>", "<glue>", "</glue>", " ", "\n", "x", "\u3000"]
    whole = r"\s*".join(f"<{tag}>.*?</{tag}>" for tag in tags)

    def cases():
        rng = rng_of(whole)
        for _ in range(2 * NUM):
            good = [piece for tag in tags for piece in (f"<{tag}>", "x", f"</{tag}>")]
            for _ in range(rng.integers(4)):
                good.insert(int(rng.integers(len(good) + 1)), str(rng.choice(pieces)))
            yield "".join(good), Reference()

    def expected(text, _):
        text = text.strip() if outer_space else text
        return float(re.fullmatch(whole, text, flags=re.DOTALL) is not None)

    assert_agree(r.TaggedFormatReward(tags, outer_space=outer_space), cases(), expected, 2)


# -- groups and changed inputs -----------------------------------------------------------------------------------------


def test_bonuses_of_groups():
    """T-GRPO and length control with fractions of ten, so that means are compared as whole numbers."""
    rng, given = rng_of("groups"), Counter()
    for _ in range(NUM):
        acc, shuffled = ([int(one) for one in rng.integers(0, 11, size)] for size in rng.integers(1, 9, 2))
        lengths = [int(one) for one in rng.integers(300, 530, len(acc))]
        reached = 10 * sum(acc) * len(shuffled) >= 8 * sum(shuffled) * len(acc)
        wanted = [0.3 * (reached and one > 1) for one in acc]
        if 10 * sum(acc) * len(shuffled) != 8 * sum(shuffled) * len(acc):  # where both are equal, rounding decides
            assert_close(temporal_bonus(torch.tensor(acc) / 10, torch.tensor(shuffled) / 10), wanted)
        several = len([one for one in acc if one > 1]) > 1
        in_window = [
            several and one > 1 and length in range(320, 513) for one, length in zip(acc, lengths, strict=True)
        ]
        assert_close(length_bonus(torch.tensor(acc) / 10, lengths), [0.2 * one for one in in_window])
        given.update(temporal=any(wanted), window=any(in_window))
    assert min(given.values()) > 100


def test_duality_and_views():
    table = {"left": "right", "right": "left", "up": "up", "upper left": "upper right", "upper right": "upper left"}

    def cases():
        rng = rng_of("views")
        for _ in range(NUM):
            answers = [str(one) for one in rng.choice(["Left", "right.", "UP", "upper left", "upper  right", ""], 4)]
            text, *others = (f"<think>x</think><answer>{answer}</answer>" for answer in answers)
            yield text, Reference(counterfactuals=tuple(others), answer_map=table)

    def expected(text, reference):
        said, *others = (
            re.sub(r"\s+", " ", inside("answer", one)).strip(" .").lower() for one in (text, *reference.counterfactuals)
        )
        return others.count(table[said]) / 3 if said else 0.0

    assert_agree(r.DualityReward(), cases(), expected)
    assert_agree(r.ViewConsistencyReward(), cases(), expected)


# -- lengths and events ------------------------------------------------------------------------------------------------


def test_lengths_and_repetition():
    rng = rng_of("lengths")
    for _ in range(NUM):
        longest, length = int(rng.integers(2, 500)), int(rng.integers(0, 600))
        start, end = rng.normal(size=2)
        half = math.cos(math.pi * min(1, length / longest) / 2) ** 2  # (1 + cos 2x) / 2
        assert cosine_scaled(length, longest, start, end) == pytest.approx(start * half + end * (1 - half))
        cache_length = int(rng.integers(1, longest + 1))
        free = longest - cache_length
        line = np.interp(length, [0, free, longest, 10**6], [0, 0, -1, -1])
        assert soft_overlong(length, longest, cache_length) == pytest.approx(line)
        words, size = [str(one) for one in rng.choice(["a", "B", "b", "c"], rng.integers(12))], int(rng.integers(1, 4))
        grams = Counter(" ".join(words[k : k + size]).lower() for k in range(max(0, len(words) - size + 1)))
        again = sum(count - 1 for count in grams.values()) / max(1, grams.total())
        assert repeated_share("  ".join(words), size) == pytest.approx(again)


def test_conciseness():
    rng, reward = rng_of("conciseness"), r.ConcisenessReward(10, scale=20, floor=-0.75)
    counts = [int(one) for one in rng.integers(0, 40, NUM)]
    texts = [f"<think>{' '.join(['word'] * count)}</think><answer>A</answer>" for count in counts]
    found = reward(texts, [question()] * NUM).total
    assert_close(found, [-min(0.75, max(0, count - 10) / 20) for count in counts])


def test_event_recall():
    """Events of three words of their own, of which two are needed, in one sentence."""
    words = [f"word{k}" for k in range(9)]

    def cases():
        rng = rng_of("events")
        for _ in range(NUM):
            sentences = [" ".join(rng.choice(words, rng.integers(1, 6))) for _ in range(rng.integers(4))]
            events = tuple(" the ".join(words[k : k + 3]) for k in range(0, 9, 3))
            yield f"<answer>{'. '.join(sentences)}</answer>", Reference(events=events)

    def expected(text, reference):
        sentences = [set(one.split()) for one in inside("answer", text).split(". ")]
        hits = [max(len(set(event.split()) - {"the"} & one) for one in sentences) >= 2 for event in reference.events]
        return sum(hits) / len(hits)

    assert_agree(r.EventRecallReward(), cases(), expected, 3)


# -- option letters ----------------------------------------------------------------------------------------------------


def test_the_sum_of_remot():
    """3.5, 3.5, 1.3, 1.7; the logic by trying all places that three images can have on a line."""
    possible = {
        tuple("ABC"[[1, -1, 0].index(int(np.sign(later - earlier)))] for earlier, later in ((x, y), (x, z), (y, z)))
        for x in range(3) for y in range(3) for z in range(3)
    }  # fmt: skip
    rng, reward = rng_of("letters in order"), r.ReMoTReward(target_length=5, scale=10)
    texts, questions, wanted = [], [], []
    for _ in range(NUM):
        gold, told = ("".join(rng.choice(list("ABC"), 3)) for _ in range(2))
        told = written(rng, gold if rng.random() < 0.4 else told, ["AB", "ABCA", "XBC", "", "abc"], 0.8)
        words, is_open = int(rng.integers(20)), rng.random() < 0.1
        texts.append(f"<think>{'it ' * words}</think>{' x'[is_open]}<answer>{told}</answer>")
        questions.append(make_question(gold))
        said, counts = told.upper(), len(told) == 3
        hits = [one == other for one, other in zip(said, gold, strict=False)] if counts else [False]
        valid = counts and set(said) <= set("ABC")
        logic = 0 if not valid else 1 if tuple(said) in possible else -1
        accuracy = 0.5 * sum(hits) / 3 + 0.5 * (said == gold)
        form = valid and not is_open
        wanted.append(3.5 * form + 3.5 * accuracy - 1.3 * min(1, max(0, words - 5) / 10) + 1.7 * logic)
    assert_close(reward(texts, questions).total, wanted, atol=2e-5)
    assert len({round(one, 4) for one in wanted}) > 50


# -- sums --------------------------------------------------------------------------------------------------------------


def test_sums_gates_and_tasks():
    """Weights, gates and tasks of rewards that are numbers in the text; "-" is not applicable."""

    def number(place):
        def read(completion, _):
            held = completion.split()[place]
            return None if held == "-" else float(held)

        return read

    rng = rng_of("sums")
    texts = [" ".join(written(rng, f"{rng.normal():.3f}", ["-"], 0.8) for _ in range(3)) for _ in range(NUM)]
    terms = [r.FunctionReward(number(k), f"term{k}", success_at=0.0) for k in range(3)]
    tasks = [str(one) for one in rng.choice(["sum", "gate"], NUM)]
    reward = r.PerTaskReward(
        {"sum": r.CompositeReward(terms, [1, -2, 0.5]), "gate": r.GatedReward(terms[0], terms[1], 0.25, -3)}
    )
    output = reward(texts, [question(task=task) for task in tasks])
    for text, task, total, success, judged in zip(
        texts, tasks, output.total.tolist(), output.success.tolist(), output.verdicts.tolist(), strict=True
    ):
        a, b, c = (None if one == "-" else float(one) for one in text.split())
        told = [one for one in (a, b, c) if one is not None]
        if task == "sum":
            wanted = math.fsum(weight * (one or 0.0) for weight, one in ((1, a), (-2, b), (0.5, c)))
            good, has_verdict = bool(told) and min(told) >= 0, bool(told)
        else:
            is_open = b is None or b >= 0.25
            wanted = math.nan if a is None else a if is_open else -3
            good, has_verdict = a is not None and a >= 0 and is_open, a is not None
        assert total == pytest.approx(wanted, abs=1e-5, nan_ok=True)
        assert (success, judged) == (good, has_verdict)
