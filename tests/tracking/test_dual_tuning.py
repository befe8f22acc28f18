"""Gain and gap of an attribute, by hand, and what the table says of them."""

import json
import re

import pytest

from remot.cli import main
from remot.errors import ConfigError
from remot.evaluation.answer_table import PolicyAnswers
from remot.tracking.command import with_dual_tuning
from remot.tracking.compare import table_of
from remot.tracking.groups import RunRow
from remot.tracking.html_report import report_html
from remot.tracking.render import to_json, to_markdown
from remot.tracking.significance import NO_TESTS
from tests.helpers import assert_close

KEYS = [(f"test/0/{k}", f"digest {k}") for k in range(24)]
#: Two attributes, each asked about in every other question.
NAMES = ("attribute/camera_yaw/partial", "attribute/gripper/partial")


def answers(yaw, gripper):
    """Of each attribute's 12 questions, one a scene, the first ones are right."""
    counts = {NAMES[0]: yaw, NAMES[1]: gripper}
    scores = {key: {NAMES[k % 2]: float(k // 2 < counts[NAMES[k % 2]])} for k, key in enumerate(KEYS)}
    return PolicyAnswers({key: f"scene {k // 2}" for k, key in enumerate(KEYS)}, scores)


def runs(name, base, finals):
    return [
        RunRow(
            f"{name}{seed}", f"{name}{seed}", "FINISHED", "SFT", "remot-tiny", seed, 60, 1.0, {}, {"partial": 0.5},
            settings={"data.tasks": name}, answers={"base": answers(*base), "final": answers(*final)},
        )
        for seed, final in enumerate(finals)
    ]  # fmt: skip


def table(reasoning, direct):
    return table_of("e", [*runs("reasoning", (3, 6), reasoning), *runs("direct", (6, 6), direct)])


def test_gain_and_gap_by_hand():
    """Yaw: 3 → 9 with reasoning, 6 → 7 without, of 12. Gripper: 6 → 5 and 6 → 8."""
    found = with_dual_tuning(NO_TESTS, table([(9, 5)], [(7, 8)]), [1, 2], ()).dual
    assert [one.metric for one in found] == list(NAMES)
    means = [[part.estimate.mean for part in (one.gain, one.gain_direct, one.gap)] for one in found]
    assert_close(means, [[6 / 12, 1 / 12, 2 / 12], [-1 / 12, 2 / 12, -3 / 12]])
    assert [one.kind for one in found] == ["reason", "answer at once"]
    assert [one.gap.num_questions for one in found] == [12, 12]
    assert found[0].gain.estimate.low > 0
    assert not found[0].is_shown  # two questions do not show a gap


def test_intervals_decide_what_is_shown():
    """Over three seeds: gains of 7, 8, 9 of 12 with reasoning, and a gap of 4 to 6; nothing at all for the gripper."""
    found = with_dual_tuning(NO_TESTS, table([(10, 6), (11, 6), (12, 6)], [(6, 6), (6, 6), (7, 6)]), [1, 2], ()).dual
    assert found[0].gain.unit == "seeds"
    assert (found[0].kind, found[0].is_shown) == ("reason", True)
    assert (found[1].kind, found[1].gain.estimate.mean) == ("leave out", 0)


def test_groups_may_be_named_in_any_order():
    one = with_dual_tuning(NO_TESTS, table([(9, 5)], [(7, 8)]), [2, 1], ()).dual[0]
    assert_close([one.gain.estimate.mean, one.gap.estimate.mean], [1 / 12, -2 / 12])


def test_it_is_printed_in_every_form():
    compared = table([(9, 5)], [(7, 8)])
    tests = with_dual_tuning(NO_TESTS, compared, [1, 2], ())
    record = json.loads(to_json(compared, tests))["dual_tuning"]
    assert [one["kind"] for one in record] == ["reason", "answer at once"]
    assert_close(record[0]["gap"]["mean"], 2 / 12)
    assert re.search(r"attribute camera yaw partial \| \+0\.50.* \| reason \| no ", to_markdown(compared, tests))
    assert "answer at once" in report_html(compared, tests)
    assert "dual_tuning" not in json.loads(to_json(compared))


@pytest.mark.parametrize(
    ("dual", "fact"), [([1, 1], "different"), ([1, 3], "of the 2"), ([1], "got 1"), ([0, 1], "0 1")]
)
def test_groups_that_are_not_there_are_refused(dual, fact):
    with pytest.raises(ConfigError, match=fact):
        with_dual_tuning(NO_TESTS, table([(9, 5)], [(7, 8)]), dual, ())


def test_a_score_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="attribut"):
        with_dual_tuning(NO_TESTS, table([(9, 5)], [(7, 8)]), [1, 2], ["attribut"])


def test_the_command_takes_two_numbers(capsys):
    """As words behind the option, which are read before the store is found missing."""
    with pytest.raises(SystemExit):
        main(["compare", "--dual", "1", "2", "--experiment", "e", "--tracking_uri", "sqlite:///nowhere.db"])
    assert "nowhere.db" in capsys.readouterr().err
