"""Stretches of time and boxes against counting cells, from the text to the total."""

import json
import math
import re
from functools import cache

import pytest

import remot.rewards as r
from remot.structures import Reference
from tests.helpers import assert_close
from tests.rewards.other_ways import NUM, assert_agree, inside, rng_of, tenths, written
from tests.rewards.samples import totals

# -- stretches of time: on a grid of tenths, so that lengths are counted -----------------------------------------------


def random_span(rng):
    start, end = sorted(int(one) for one in rng.integers(0, 100, 2))
    return start / 10, end / 10


def span_cases(name):
    rng = rng_of(name)
    for _ in range(NUM):
        (a, b), (c, d) = random_span(rng), random_span(rng)
        said = written(rng, f"{a} to {b}", [f"{b} and {a}", f"from {a} to {b} or {c} to {d}", f"{a}to{b}", "never"])
        more = written(rng, "", ["<answer>1 to 2</answer>", "<answer>", "</answer>"], 0.8)
        yield f"<think>x</think><answer>{said}</answer>{more}", Reference(intervals=((c, d),))


def hull_by_counting(text, reference):
    answer = inside("answer", text, -1)
    found = re.findall(r"(\d+\.?\d*) (?:to|and) (\d+\.?\d*)", answer or "")
    if not found:
        return 0.0
    start, end = map(float, found[-1])
    gold = tenths(*reference.intervals[0])
    ends = [round(10 * one) for one in (start, end, *reference.intervals[0])]
    hull = max(ends[1], ends[3]) - min(ends[0], ends[2])
    return len(tenths(start, end) & gold) / hull if hull > 0 else 0.0


def test_temporal_iou():
    assert_agree(r.TemporalIoUReward(), span_cases("hull"), hull_by_counting)


def test_temporal_rlt():
    """Continuous: 0.5 · IoU of the first answer, by JSON's own reader, + 0.5 · form, by the published pattern."""

    def cases():
        rng = rng_of("rlt")
        for _ in range(NUM):
            (a, b), gold = random_span(rng), random_span(rng)
            good = json.dumps({"start_time": str(a), "end_time": str(b)})
            others = [
                json.dumps({"end_time": str(b), "start_time": str(a)}),
                json.dumps({"start_time": a, "end_time": b}),
            ]
            others += [good[:-1] + ', "note": "x"}', '{"start_time": 1}', "[1, 2]", good + ".", f" {good}\n"]
            said = written(rng, good, [*others, '{"start_time": "x", "end_time": 2}'])
            thought = written(
                rng, "x", ["an <answer> is due", "<answer>1 to 2</answer>", "a</think><answer>x</answer>b"], 0.8
            )
            text = f"<think>{thought}</think>\n<answer>{said}</answer>"
            tagged = f"<answer>{said}</answer>"
            yield written(rng, text, [tagged, said, text + tagged, text + " "], 0.8), Reference(intervals=(gold,))

    def overlap(text, reference):
        try:
            held = json.loads(inside("answer", text) or "")
            start, end = float(held["start_time"]), float(held["end_time"])
        except (ValueError, KeyError, TypeError):
            return 0.0
        told, gold = tenths(start, end), tenths(*reference.intervals[0])
        return len(told & gold) / len(told | gold) if told & gold else 0.0

    number = r'"([\d.]+)"'
    span = rf'{{\s*"start_time"\s*:\s*{number}\s*,\s*"end_time"\s*:\s*{number}\s*}}'

    def expected(text, reference):
        form = re.fullmatch(rf"<think>.*?</think>\s*<answer>\s*{span}\s*</answer>", text, flags=re.DOTALL)
        return 0.5 * overlap(text, reference) + 0.5 * bool(form)

    assert_agree(r.TemporalRLTReward(), cases(), expected)


def test_temporal_rlt_pays_a_bare_letter():
    """As its grader for mathematics: case, spaces and brackets do not matter, words do. Without tags all is read."""
    worth = {"D": 1, " d ": 1, "(D)": 1, "[D]": 1, "D.": 0, "D. walks": 0, "C": 0, "The answer is D": 0, "": 0}
    reference = Reference(answer="D")
    for said, accuracy in worth.items():
        found = totals(
            r.TemporalRLTReward("discrete"), f"<think>x</think><answer>{said}</answer>", said, reference=reference
        )
        assert_close(found, [0.5 * accuracy + 0.5, 0.5 * accuracy])


def listed_cases(name, tag="answer"):
    rng = rng_of(name)
    for _ in range(NUM):
        told, gold = ([random_span(rng) for _ in range(rng.integers(low, 5))] for low in (0, 1))
        kept = [one if rng.random() < 0.5 else told[k] if k < len(told) else one for k, one in enumerate(gold)]
        good = str([list(one) if rng.random() < 0.5 else one for one in told])
        said = written(rng, good, ["none", "[(2, 1)]", "[(1, 2]]", good + " or so"], 0.8)
        yield (
            f"<think>x</think><answer>B</answer><{tag}>{said}</{tag}>"
            if tag != "answer"
            else (f"<think>x</think><answer>{said}</answer>"),
            Reference(intervals=tuple(kept), answer="B"),
        )


def spans_by_hand(content, brackets=(r"\(\)", r"\[\]")):
    """Pairs in a text that is nothing but a list of pairs in brackets of one of the kinds."""
    number = r"\d+(?:\.\d+)?"
    pair = "(?:" + "|".join(f"{kind[:2]}{number}, {number}{kind[2:]}" for kind in brackets) + ")"
    if content is not None and re.fullmatch(rf"\[(?:{pair}(?:, {pair})*)?\]", content):
        found = [tuple(map(float, re.findall(number, one))) for one in re.findall(pair, content)]
        return found if all(start <= end for start, end in found) else None
    return None


def test_tempr1_one_to_one_and_union():
    def overlap(one, other):
        a, b = tenths(*one), tenths(*other)
        return len(a & b) / len(a | b) if a | b else 0.0

    def paired(text, reference):
        told = spans_by_hand(inside("answer", text))
        longer = max(len(told or ()), len(reference.intervals))
        return 0.0 if told is None else math.fsum(map(overlap, told, reference.intervals)) / longer

    def union(text, reference):
        told = spans_by_hand(inside("answer", text))
        if told is None:
            return 0.0
        a, b = (set().union(*(tenths(*one) for one in many)) for many in (told, reference.intervals))
        return len(a & b) / len(a | b) if a | b else 1.0

    assert_agree(r.LocalisationReward("one_to_one"), listed_cases("pairs"), paired)
    assert_agree(r.LocalisationReward("union"), listed_cases("union"), union)


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_tempr1_matching(sigma):
    """R_num + R_match, the matching by trying for the first stretch to leave it out or give it any later partner."""

    def best(told, gold):
        @cache
        def from_here(i, j):
            if i == len(told) or j == len(gold):
                return 0.0
            taken = []
            for k in range(j, len(gold)):
                a, b = tenths(*told[i]), tenths(*gold[k])
                taken.append((len(a & b) / len(a | b) if a | b else 0.0) + from_here(i + 1, k + 1))
            return max(from_here(i + 1, j), *taken)

        return from_here(0, 0)

    def expected(text, reference):
        told, gold = spans_by_hand(inside("answer", text)), reference.intervals
        if told is None:
            return 0.0
        total = best(tuple(told), gold)
        number = math.exp(-abs(len(told) - len(gold)) / (min(len(gold), 3) * sigma))
        return number + (2 * total / (len(told) + len(gold)))  # 2PR / (P + R) = 2 total / (N_p + N_g)

    assert_agree(r.LocalisationReward("matching", sigma=sigma), listed_cases("matching"), expected)


def test_glue():
    def expected(text, reference):
        told = spans_by_hand(inside("glue", text), (r"\(\)",))
        if told is None:
            return 0.0
        a, b = (set().union(*(tenths(*one) for one in many)) for many in (told, reference.intervals))
        return len(a & b) / len(a | b) if a | b else 1.0

    assert_agree(r.IntervalSetReward(), listed_cases("glue", "glue"), expected)


# -- boxes -------------------------------------------------------------------------------------------------------------


def random_box(rng):
    left, right = sorted(rng.integers(0, 11, 2) / 10)
    top, bottom = sorted(rng.integers(0, 11, 2) / 10)
    return float(left), float(top), float(right), float(bottom)


def iou_by_cells(one, other):
    a, b = ({(x, y) for x in tenths(box[0], box[2]) for y in tenths(box[1], box[3])} for box in (one, other))
    return len(a & b) / len(a | b) if a | b else 0.0


def test_tracking_and_detection():
    def cases(num_boxes):
        rng = rng_of("boxes")
        for _ in range(NUM):
            gold = tuple(random_box(rng) for _ in range(num_boxes))
            told = [list(box if rng.random() < 0.5 else random_box(rng)) for box in gold]
            said = written(rng, str(told), [str(told[:-1]), str([*told, [0, 0, 1, 1]]), "[[0, 0, 1]]", "x"], 0.8)
            yield f"<think>x</think><answer>{said}</answer>", Reference(boxes=gold)

    def expected(text, reference):
        number = r"-?\d+(?:\.\d+)?"
        found = re.findall(rf"\[({number}), ({number}), ({number}), ({number})\]", text)
        if len(found) != len(reference.boxes):
            return 0.0
        overlaps = [iou_by_cells(tuple(map(float, one)), box) for one, box in zip(found, reference.boxes, strict=True)]
        return math.fsum(overlaps) / len(overlaps)

    def one_box_cases():
        for text, reference in cases(1):
            yield text.replace("[[", "[").replace("]]", "]"), reference
            yield text.partition("<answer>")[2].removesuffix("</answer>").replace("[[", "").replace("]]", ""), reference
            yield text, Reference(boxes=reference.boxes, answer="nested")

    def one(text, reference):
        return 0.0 if reference.answer == "nested" or text.startswith("0.") else expected(text, reference)

    assert_agree(r.TrackingReward(8), cases(8), expected)
    assert_agree(r.BoxReward(), one_box_cases(), one)


def test_a_bare_box_scores_in_detection():
    """As released: in a list or tuple, without any tags; but not inside other words, nor beside an element."""
    worth = {"[0, 0, 1, 1]": 1, " (0, 0, 1, .5)\n": 0.5, "box: [0, 0, 1, 1]": 0, "<answer></answer>[0, 0, 1, 1]": 0}
    assert_close(
        totals(r.BoxReward(), *worth, reference=Reference(boxes=((0.0, 0.0, 1.0, 1.0),))), list(worth.values())
    )
    assert r.TaggedFormatReward(("answer",), "box").score("<answer>(0, 0, 1, 1)</answer>", Reference()) == 0
    assert r.TaggedFormatReward(("answer",), "box").score("<answer> [0, 0, 1, 1]</answer>", Reference()) == 1
