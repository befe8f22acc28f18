from itertools import product

import pytest

from remot.motion import ATTRIBUTES, CONSISTENT_TRIPLES, NONE, PAIRS, SIGNS, compose, consistency, opposite


def sign(number):
    return (number > 0) - (number < 0)


#: All ways to put three frames on a line, ties allowed; three places are enough.
PLACINGS = tuple(product(range(3), repeat=3))


def triple_of(places):
    return tuple(sign(places[j - 1] - places[i - 1]) for i, j in PAIRS)


def test_consistent_triples_are_the_13_weak_orderings_of_three_frames():
    assert set(CONSISTENT_TRIPLES) == {triple_of(places) for places in PLACINGS}
    assert len(CONSISTENT_TRIPLES) == len(set(CONSISTENT_TRIPLES)) == 13


@pytest.mark.parametrize("triple", product(SIGNS, repeat=3))
def test_consistency_agrees_with_brute_force(triple):
    assert consistency(triple) == (1 if triple in {triple_of(places) for places in PLACINGS} else -1)


@pytest.mark.parametrize("missing", [(None, 1, 1), (1, None, -1), (-1, 1, None), (None, None, None), (), (1, 1)])
def test_nothing_follows_from_missing_answers(missing):
    assert consistency(missing) == 0


@pytest.mark.parametrize(("first", "second"), product(SIGNS, repeat=2))
def test_compose_is_what_every_placing_agrees_on(first, second):
    reached = {sign(c - a) for a, b, c in PLACINGS if (sign(b - a), sign(c - b)) == (first, second)}
    assert compose(first, second) == (reached.pop() if len(reached) == 1 else None)


@pytest.mark.parametrize("given", SIGNS)
def test_opposite_reverses_time(given):
    assert opposite(given) == -given


@pytest.mark.parametrize("attribute", ATTRIBUTES.values(), ids=lambda attribute: attribute.name)
def test_values_and_codes_are_one_to_one(attribute):
    codes = [attribute.code_of(value) for value in attribute.values]
    assert [attribute.value_of(code) for code in codes] == list(attribute.values)
    assert len(set(codes)) == len(codes)
    assert ATTRIBUTES[attribute.name] is attribute


@pytest.mark.parametrize("attribute", ATTRIBUTES.values(), ids=lambda attribute: attribute.name)
def test_the_opposite_of_a_value_has_the_negative_code(attribute):
    opposites = ["left right", "up down", "clockwise counterclockwise", "forward backward", "opened closed"]
    opposites += ["approaching receding", "upper_left lower_right", "upper_right lower_left"]
    known = dict(pair.split() for pair in opposites)
    found = [(value, known[value]) for value in attribute.values if value in known]
    assert found or attribute.name == "mask_frame"
    assert all(attribute.code_of(value) == -attribute.code_of(other) for value, other in found)
    assert attribute.name == "mask_frame" or attribute.value_of(0) == NONE


@pytest.mark.parametrize("attribute", ATTRIBUTES.values(), ids=lambda attribute: attribute.name)
def test_shares_of_the_patterns_make_every_answer_equally_frequent(attribute):
    assert sum(attribute.patterns.values()) == pytest.approx(1)
    if attribute.answers_are_codes:
        for slot in range(3):
            for code in attribute.codes.values():
                share = sum(weight for pattern, weight in attribute.patterns.items() if pattern[slot] == code)
                assert share == pytest.approx(1 / len(attribute.values))


def test_patterns_in_the_plane_by_brute_force():
    """Three frames anywhere on a 3 x 3 grid; a step along one axis only has no answer."""
    words = {(1, 1): "upper_right", (-1, 1): "upper_left", (1, -1): "lower_right", (-1, -1): "lower_left"}
    composite, found = ATTRIBUTES["effector_composite"], set()
    for places in product(product(range(3), range(3)), repeat=3):
        steps = [
            (sign(places[j - 1][0] - places[i - 1][0]), sign(places[j - 1][1] - places[i - 1][1])) for i, j in PAIRS
        ]
        if all((side == 0) == (height == 0) for side, height in steps):
            found.add(tuple(composite.code_of(words.get(step, NONE)) for step in steps))
    assert set(composite.patterns) == found
    assert len(found) == 49
    for codes in product(composite.codes.values(), repeat=3):
        assert composite.consistency(codes) == (1 if codes in found else -1)


def test_consistency_in_the_plane():
    code = ATTRIBUTES["effector_composite"].code_of
    consistency_of = ATTRIBUTES["effector_composite"].consistency
    assert consistency_of([code("upper_right"), code("upper_right"), code("upper_left")]) == 1
    assert consistency_of([code("upper_right"), code("lower_right"), code("upper_left")]) == -1
    assert consistency_of([code("upper_right"), None, code("upper_left")]) == 0
    assert ATTRIBUTES["mask_frame"].consistency([1]) == 0


def test_unknown_value_is_named_in_the_error():
    with pytest.raises(ValueError, match=r"camera_yaw has no value 'up'"):
        ATTRIBUTES["camera_yaw"].code_of("up")
