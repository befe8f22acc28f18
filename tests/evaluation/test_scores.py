import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings

from remot.errors import EmptySplitError
from remot.evaluation import change_between, judge, score_table
from remot.seeding import numpy_generator
from tests.helpers import assert_close, hostile_text, join_questions, make_question, respond


def judged(scene, partial, *, attribute="camera_yaw", overall=0.0, logic=1.0, well_formed=1.0, prompt="p"):
    one = judge("", make_question(prompt_id=prompt))
    return dataclasses.replace(
        one, scene_id=scene, partial=partial, overall=overall, logic=logic, format=well_formed, attribute=attribute
    )


def test_judge_by_hand():
    """A, B, C mean right, left, none; ABA has two of the three letters of ABB right."""
    one = judge(respond("ABA"), make_question("ABB"), num_tokens=7)
    assert (one.answer, one.solution, one.attribute, one.num_tokens) == ("ABA", "ABB", "camera_yaw", 7)
    assert_close([one.partial, one.overall, one.format], [2 / 3, 0, 1])
    # 1→2 right and 2→3 right force 1→3 right, but it says left.
    assert one.logic == -1


def test_cut_off_completions_by_hand():
    """Of three whose end is known one is cut off; the fourth does not count."""
    known = [dataclasses.replace(judged(s, 1.0), cut_off=cut) for s, cut in (("a", True), ("b", False), ("b", False))]
    table = score_table([*known, judged("c", 1.0)])
    assert_close(table.cut_off.mean, 1 / 3)
    assert table.cut_off.num_scenes == 2
    assert judge("", make_question(), cut_off=True).cut_off is True


def test_judge_right_answer():
    one = judge(respond("ABB"), make_question("ABB"))
    assert (one.partial, one.overall, one.logic, one.format) == (1, 1, 1, 1)


def test_judge_without_all_pairs_has_no_logic():
    question = make_question("AB", pairs=((1, 2), (1, 3)))
    assert math.isnan(judge(respond("AB"), question).logic)


def test_judge_of_several_attributes_is_mixed():
    question = join_questions(make_question(), make_question(attribute="gripper"))
    assert judge("", question).attribute == "mixed"


@settings(max_examples=200, deadline=None)
@given(hostile_text)
def test_judge_never_raises(completion):
    one = judge(completion, make_question())
    assert 0 <= one.partial <= 1
    assert one.overall in (0, 1)


def test_means_by_hand():
    """Two scenes: partial (1, 0, 1/2) -> 1/2; logic is the share of +1 among those that have one: (+1, -1) -> 1/2."""
    table = score_table(
        [
            judged("a", 1.0, overall=1.0, logic=1.0),
            judged("a", 0.0, logic=-1.0, well_formed=0.0),
            judged("b", 0.5, logic=math.nan, attribute="gripper", prompt="other"),
        ]
    )
    means = {name: estimate.mean for name, estimate in table.estimates().items()}
    assert_close(
        list(means.values()),
        [1 / 3, 1 / 2, 1 / 2, 2 / 3, 1 / 2, 1 / 2],
    )
    assert list(means) == [
        *("overall", "partial", "logic", "format"),
        *("attribute/camera_yaw/partial", "attribute/gripper/partial"),
    ]
    assert (table.scenes, table.num_prompts, table.num_completions) == (("a", "b"), 2, 3)


def test_zero_logic_is_not_consistent():
    assert score_table([judged("a", 0, logic=0.0), judged("a", 0, logic=1.0)]).logic.mean == 0.5


def test_two_scenes_by_hand():
    """Resampling {0, 1} twice gives means 0, ½, 1 with odds ¼, ½, ¼: the 95 % interval is the whole [0, 1]."""
    partial = score_table([judged("a", 0.0), judged("b", 1.0)]).partial
    assert (partial.mean, partial.low, partial.high) == (0.5, 0, 1)
    shares = [np.mean(partial.replicates == value) for value in (0, 0.5, 1)]
    assert sum(shares) == 1
    assert np.allclose(shares, [0.25, 0.5, 0.25], atol=0.05)


def test_one_scene_has_no_interval():
    partial = score_table([judged("a", 0.0), judged("a", 1.0)]).partial
    assert partial.mean == 0.5
    assert math.isnan(partial.low)
    assert math.isnan(partial.high)


def test_attribute_seen_in_one_scene_has_no_interval():
    table = score_table([judged("a", 1.0, attribute="gripper"), judged("b", 0.5), judged("c", 0.5)])
    assert math.isnan(table.attributes["gripper"].low)
    assert not math.isnan(table.attributes["camera_yaw"].low)


def unequal_scenes(num_scenes=12):
    generator = np.random.default_rng(3)
    return {f"s{i:02}": generator.integers(0, 4, size=1 + i % 4) / 3 for i in range(num_scenes)}


def test_bootstrap_equals_plain_loop():
    """The matrix product is nothing but: draw scenes, put their completions in a heap, take the mean."""
    scenes = unequal_scenes()
    table = score_table([judged(scene, value) for scene, values in scenes.items() for value in values], seed=5)
    n = len(scenes)
    times = numpy_generator(5, "scene_bootstrap", n).multinomial(n, np.full(n, 1 / n), size=1000)
    loop = [
        np.mean(np.concatenate([np.repeat(values, k) for values, k in zip(scenes.values(), row, strict=True)]))
        for row in times
    ]
    assert_close(table.partial.replicates, loop)
    assert_close([table.partial.low, table.partial.high], np.quantile(loop, [0.025, 0.975]))


def test_interval_agrees_with_scipy():
    """With equally large scenes the cluster bootstrap is the ordinary one over scene means."""
    values = np.random.default_rng(0).random(40)
    ours = score_table([judged(f"s{i}", value) for i, value in enumerate(values)], num_resamples=20_000).partial
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert_close([ours.low, ours.high], [theirs.low, theirs.high], rtol=1e-2)


def test_ignoring_scenes_would_be_overconfident():
    """Ten copies of each completion within a scene say nothing new: the interval must not shrink."""
    values = np.random.default_rng(0).random(20)
    once = score_table([judged(f"s{i}", value) for i, value in enumerate(values)]).partial
    tenfold = score_table([judged(f"s{i}", value) for i, value in enumerate(values) for _ in range(10)]).partial
    assert_close([once.low, once.high], [tenfold.low, tenfold.high])


def test_order_of_completions_does_not_matter():
    rows = [judged(scene, value) for scene, values in unequal_scenes().items() for value in values]
    assert_close(score_table(rows).partial.low, score_table(rows[::-1]).partial.low)


def test_change_is_paired():
    """Every scene improves by exactly 0.1, so the change is sure although both levels are not."""
    before = np.random.default_rng(0).random(20) * 0.5
    base = score_table([judged(f"s{i}", value) for i, value in enumerate(before)])
    final = score_table([judged(f"s{i}", value + 0.1) for i, value in enumerate(before)])
    change = change_between(base, final)["partial"]
    assert_close([change.mean, change.low, change.high], [0.1, 0.1, 0.1])
    assert base.partial.high - base.partial.low > 0.05


def test_change_over_other_scenes_has_no_interval():
    base, final = (score_table([judged(scene, 0.5), judged("b", 1.0)]) for scene in ("a", "c"))
    change = change_between(base, final)["partial"]
    assert change.mean == 0
    assert math.isnan(change.low)


def test_no_completions_is_an_error():
    with pytest.raises(EmptySplitError, match="no completion"):
        score_table([])
