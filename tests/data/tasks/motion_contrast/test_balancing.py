"""Balance: how often each pattern of answers is drawn, and which answers are worth offering."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from scipy.optimize import linprog

from remot.data.experts import CameraYaw, EffectorComposite, EffectorHorizontal
from remot.data.questions.writer import QuestionWriter
from remot.data.tasks.motion_contrast.balancing import TripletIndex, balanced_shares
from remot.data.tasks.motion_contrast.sampler import TripletSampler
from remot.datatools.audit.blind import score_blind
from remot.motion import ATTRIBUTES, CONSISTENT_TRIPLES
from remot.seeding import numpy_generator
from remot.structures import EffectorTrack
from tests.data.handmade import arm_clip, camera_clip
from tests.data.made import question_at, triplet_prompts

SHARES = ATTRIBUTES["camera_yaw"].patterns


def fitted(patterns):
    return balanced_shares(patterns, np.array([SHARES[pattern] for pattern in patterns]))


def of_place(patterns, shares, place):
    """Share of each answer in one place."""
    return {
        code: sum(shares[k] for k, one in enumerate(patterns) if one[place] == code)
        for code in {p[place] for p in patterns}
    }


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_shares_of_all_patterns_stay_as_they_are(name):
    attribute = ATTRIBUTES[name]
    answers = [attribute.answers(pattern) for pattern in attribute.patterns]
    given = np.array(list(attribute.patterns.values()))
    np.testing.assert_allclose(balanced_shares(answers, given), given, atol=1e-9)


def test_a_camera_that_pans_one_way_by_hand():
    """Frames in order of their angle or all alike: (+++), (---) and (000), at 1/27, 1/27 and 1/9, become 1/3 each."""
    patterns = [(1, 1, 1), (-1, -1, -1), (0, 0, 0)]
    np.testing.assert_allclose(fitted(patterns), [1 / 3] * 3)


def test_without_rest_by_hand():
    """Six orders of three different frames: right and left one half each in every place, as they already are."""
    patterns = [one for one in CONSISTENT_TRIPLES if 0 not in one]
    np.testing.assert_allclose(fitted(patterns), [1 / 6] * 6)


def test_one_order_missing_by_hand():
    """Without (+++): the five left must make + and - one half in each place. With a for (---), b and c for (++-) and
    (--+), d and e for (+--) and (-++): place 1: b + d = 1/2; place 2: b + e = 1/2; place 3: c + e = 1/2; sum 1:
    a + c + e = 1/2, so a = 0, b = c and d = e = 1/2 - b. Of these the one nearest to equal shares is 1/4 each."""
    patterns = [(-1, -1, -1), (1, 1, -1), (-1, -1, 1), (1, -1, -1), (-1, 1, 1)]
    np.testing.assert_allclose(fitted(patterns), [0, 1 / 4, 1 / 4, 1 / 4, 1 / 4], atol=2e-3)


def test_shares_change_as_little_as_possible():
    """Weights 1 : 3 of two patterns with the same answers in every place keep their ratio."""
    shares = balanced_shares([("a",), ("a",), ("b",)], np.array([1.0, 3.0, 12.0]))
    np.testing.assert_allclose(shares, [1 / 8, 3 / 8, 1 / 2])


def test_every_set_of_patterns_gives_shares():
    """All pairs, and 30 other sets: numbers that sum to 1, none of them below 0."""
    generator = numpy_generator(0)
    sets = [list(pair) for pair in combinations(CONSISTENT_TRIPLES, 2)]
    sets += [[one for one in CONSISTENT_TRIPLES if generator.random() < 0.5] for _ in range(30)]
    for patterns in filter(None, sets):
        shares = fitted(patterns)
        assert np.isfinite(shares).all()
        assert shares.sum() == pytest.approx(1)
        assert (shares >= 0).all()


def test_every_place_is_balanced_where_that_is_possible():
    """Feasibility by linear programming with exact margins, for 15 sets; boundary solutions take longer to reach."""
    generator, checked = numpy_generator(1), 0
    while checked < 15:
        patterns = [one for one in CONSISTENT_TRIPLES if generator.random() < 0.6]
        if len(patterns) < 3:
            continue
        rows, wanted = [[1.0] * len(patterns)], [1.0]
        for place in range(3):
            codes = {one[place] for one in patterns}
            for code in codes:
                rows.append([float(one[place] == code) for one in patterns])
                wanted.append(1 / len(codes))
        if linprog(np.zeros(len(patterns)), A_eq=rows, b_eq=wanted).status != 0:
            continue
        checked += 1
        shares = fitted(patterns)
        for place in range(3):
            codes = of_place(patterns, shares, place)
            assert max(codes.values()) - min(codes.values()) < 5e-3


def test_impossible_balance_is_a_compromise():
    """(+++), (0++) and (++0) can only halve the first and the third place if (+++) is never drawn."""
    np.testing.assert_allclose(fitted([(1, 1, 1), (0, 1, 1), (1, 1, 0)]), [0, 1 / 2, 1 / 2], atol=2e-3)
    assert fitted([(1, 1, 1)]).tolist() == [1.0]
    np.testing.assert_allclose(fitted([(1, 1, 1), (0, 1, 1)]), [1 / 2, 1 / 2])
    unequal = fitted([(1, 1, 1), (0, 1, 1), (1, 0, -1)])
    assert np.isfinite(unequal).all()
    assert unequal.sum() == pytest.approx(1)


def test_a_mask_belongs_to_each_as_often():
    mask = ATTRIBUTES["mask_frame"]
    for patterns in (list(mask.patterns), list(mask.patterns)[:2], list(mask.patterns)[2:]):
        given = np.array([mask.patterns[one] for one in patterns])
        shares = balanced_shares([mask.answers(one) for one in patterns], given)
        np.testing.assert_allclose(shares, [float(Fraction(1, len(patterns)))] * len(patterns))


# -- the index ---------------------------------------------------------------------------------------------------------

PANS = [camera_clip([0, 15, 30, 45], clip_id=f"pan-{k}", scene_id=f"s{k}") for k in range(4)]


def answers_drawn(index, attribute, count=2000):
    generator = numpy_generator(0)
    return Counter(index.draw(attribute, generator)[1] for _ in range(count))


def test_an_answer_that_never_occurs_is_not_offered():
    """A camera that never rests: right and left are left, and guessing is right half of the time."""
    index = TripletIndex(PANS, TripletSampler([CameraYaw()]))
    assert index.values("camera_yaw", "") == ("right", "left")
    dataset = triplet_prompts(PANS, TripletSampler([CameraYaw()]), QuestionWriter(), "train", 400)
    questions = [question_at(dataset, k, (32, 32)) for k in range(400)]
    for question in questions:
        assert all(sorted(slot.options) == ["left", "right"] for slot in question.slots)
        assert "none" not in question.text
        assert "C " not in question.text
    scores = score_blind(questions)
    assert scores.chance == 0.5
    for name, share in scores.by_model.items():
        assert abs(share - 0.5) < 0.07, name


def test_all_answers_are_offered_where_they_occur():
    index = TripletIndex([camera_clip([0, 20, 40, 0.2, 20.3, 40, 30])], TripletSampler([CameraYaw()]))
    assert index.values("camera_yaw", "") == ATTRIBUTES["camera_yaw"].values


def diagonal_arm(name, steps):
    """An arm at (x, up) in steps of 0.3 m."""
    places = np.array([(0.3 * x, -0.3 * up, 1.0) for x, up in steps])
    return replace(arm_clip([0.0] * len(places), clip_id=name), effectors={"arm": EffectorTrack(places)})


def test_corners_that_never_occur_are_not_offered():
    index = TripletIndex([diagonal_arm("up", [(0, 0), (1, 1), (2, 2)])], TripletSampler([EffectorComposite()]))
    assert index.values("effector_composite", "arm") == ("upper_right", "lower_left")


def two_arms(scenes=4):
    """The left arm mostly goes right, the right arm mostly left: both names tell the answer unless balanced."""
    clips = []
    for k in range(scenes):
        for name, sign in (("left arm", 1), ("right arm", -1)):
            clip = arm_clip([0, 0.3 * sign, 0.6 * sign, 0.6 * sign], clip_id=f"{name}-{k}", scene_id=f"s{k}")
            (track,) = clip.effectors.values()
            clips.append(replace(clip, effectors={name: track}))
    return clips


def test_balance_by_subject():
    clips, sampler = two_arms(), TripletSampler([EffectorHorizontal()])
    index = TripletIndex(clips, sampler, "subject")
    generator, seen = numpy_generator(0), Counter()
    for _ in range(4000):
        entry, pattern = index.draw("effector_horizontal", generator)
        for place, code in enumerate(pattern):
            seen[entry.subject, place, code] += 1
    assert {subject for subject, _, _ in seen} == {"left arm", "right arm"}
    for subject, place in product(("left arm", "right arm"), range(3)):
        counts = [seen[subject, place, code] for code in (1, 0, -1)]
        assert max(counts) - min(counts) < 5 * (sum(counts) / 3) ** 0.5


def test_a_subject_is_asked_about_as_often_as_it_has_clips():
    """Six clips of the left arm, one of the right: a seventh of 1400 draws, five standard deviations."""
    clips = [*two_arms(6)[::2], two_arms(1)[1]]
    index = TripletIndex(clips, TripletSampler([EffectorHorizontal()]), "subject")
    generator = numpy_generator(0)
    counts = Counter(index.draw("effector_horizontal", generator)[0].subject for _ in range(1400))
    assert abs(counts["right arm"] - 200) < 5 * 200**0.5
    assert counts.keys() == {"left arm", "right arm"}


def test_each_subject_is_offered_its_own_answers():
    """One arm never rests, the other does; balanced together both are offered every answer."""
    never = arm_clip([0, 0.3, 0.6], clip_id="never", scene_id="n")
    clips = [two_arms(1)[1], never]
    sampler = TripletSampler([EffectorHorizontal()])
    apart, together = TripletIndex(clips, sampler, "subject"), TripletIndex(clips, sampler)
    assert apart.values("effector_horizontal", "left arm") == ("right", "left")
    assert apart.values("effector_horizontal", "right arm") == ("right", "left", "none")
    assert together.values("effector_horizontal", "left arm") == ("right", "left", "none")
    assert sum(map(len, apart.entries("effector_horizontal").values())) == sum(
        map(len, together.entries("effector_horizontal").values())
    )
