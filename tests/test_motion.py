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
def test_values_and_signs_are_one_to_one(attribute):
    assert [attribute.sign_of(value) for value in attribute.values] == [1, -1, 0]
    assert [attribute.value_of(sign) for sign in (1, -1, 0)] == list(attribute.values)
    assert attribute.value_of(0) == NONE
    assert ATTRIBUTES[attribute.name] is attribute


def test_unknown_value_is_named_in_the_error():
    with pytest.raises(ValueError, match=r"camera_yaw has no value 'up'"):
        ATTRIBUTES["camera_yaw"].sign_of("up")
