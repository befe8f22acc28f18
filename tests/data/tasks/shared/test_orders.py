"""Orders in which things come into view, by hand."""

from collections import Counter

import numpy as np

from remot.data.tasks.rooms.amounts import ObjectSize
from remot.data.tasks.shared.candidates import Candidate, Refusal, counted, drawn
from remot.data.tasks.shared.orders import MAX_DRAWS, clear_orders, order_options

#: First frame that may show a thing, first that clearly does: c and d may both come in frame 5.
ENTRIES = {"d": (5, 6), "a": (0, 1), "c": (3, 5), "b": (2, 2)}


def found(entries, num_things):
    return list(clear_orders(entries, num_things, np.random.default_rng(0), "few"))


def test_sets_whose_stretches_follow_each_other():
    """Of the four sets of three, a b c and a b d have an order; the others hold both c and d, as do all four."""
    orders = [one for one in found(ENTRIES, 3) if not isinstance(one, Refusal)]
    refused = [one for one in found(ENTRIES, 3) if isinstance(one, Refusal)]
    assert {tuple(one) for one in orders} == {("a", "b", "c"), ("a", "b", "d")}
    assert {one.reason for one in refused} == {"two may come into view together"}
    assert len(orders) + len(refused) == MAX_DRAWS
    assert counted(found(ENTRIES, 4))["two may come into view together"] >= MAX_DRAWS


def test_too_few_things():
    """Four are asked for and three are there: each draw is refused once, then finds the three."""
    three = {name: ENTRIES[name] for name in "abc"}
    assert found(three, 4) == [Refusal("few"), ["a", "b", "c"]] * MAX_DRAWS
    assert counted(found({"a": (0, 0)}, 3)) == {"few": MAX_DRAWS}


def test_options_are_different_orders():
    right, wrong, listed = order_options(["x", "y", "z"], 4, np.random.default_rng(0))
    assert right == "x, y, z"
    assert len({right, *wrong}) == 4
    assert all(sorted(one.split(", ")) == ["x", "y", "z"] for one in (*wrong, listed))
    assert len(order_options(["x", "y", "z"], 9, np.random.default_rng(0))[1]) == 5  # there are no more


def test_verdicts_are_drawn_before_candidates():
    """Nine lefts and one right come equally often: of 2000 draws 1000 each, give or take five deviations (112)."""
    rng, both = np.random.default_rng(0), [*[Candidate({}, "left", verdict="left")] * 9, Refusal("no")]
    both.append(Candidate({}, "right", verdict="right"))
    drawn_verdicts = Counter(drawn(both, rng).verdict for _ in range(2000))
    assert abs(drawn_verdicts["left"] - 1000) < 112
    assert drawn([Refusal("no")], rng) is None
    assert counted(both) == {"asked": 10, "no": 1}


def test_a_candidate_in_words():
    task, rng = ObjectSize(), np.random.default_rng(0)
    number = task.worded(Candidate({"thing": "red chair"}, "90"), rng)
    assert (number.answer, number.kind, len(number.lines)) == ("90", "number", 1)
    assert "red chair" in number.lines[0]
    choice = task.worded(Candidate({"thing": "red chair"}, "near", ("far",)), rng)
    assert choice.kind == "choice"
    assert f"{choice.answer}. near" in choice.lines[2].splitlines()
    assert choice.lines[1] == "Options:"
