"""The benchmark of drafting: what is drafted from a table, and how many tokens passes give, by hand."""

import importlib
from collections import Counter, defaultdict

import pytest

from tests.helpers import PROJECT


@pytest.fixture
def benchmark(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    return importlib.import_module("drafting")


def table_of(benchmark, *completions):
    table = defaultdict(Counter)
    for ids in completions:
        benchmark.learn(table, ids)
    return table


@pytest.mark.parametrize(
    ("ids", "most", "drafted"),
    [
        ([1, 2, 3], 2, [4, 5]),  # by the last three
        ([9, 2, 3], 2, [6, 7]),  # by the last two, which 6 has followed twice and 4 once
        ([9, 2, 3], 9, [6, 7]),  # nothing has followed 3 6 7 or 6 7
        ([1, 2], 1, [3]),
        ([2], 1, []),  # a single token is not looked up
        ([7, 7], 1, []),
    ],
)
def test_a_draft_is_what_has_followed_most_often(benchmark, ids, most, drafted):
    table = table_of(benchmark, [1, 2, 3, 4, 5], [8, 2, 3, 6, 7], [8, 2, 3, 6, 7])
    assert benchmark.draft(table, ids, most) == drafted


def test_completions_of_a_prompt_draw_in_step_and_do_not_help_each_other(benchmark):
    """Twins know of each other what they have themselves: four passes for five tokens each, nothing drafted."""
    twins = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]
    assert benchmark.replay([twins], 4) == Counter(passes=4, turns=8, drafted=0, accepted=0, drawn=8)


def test_a_completion_that_repeats_itself(benchmark):
    """1 2 3 1 2 3 1 2 4: by hand, two tokens drafted at most.

    Four passes draw 2 3 1 2 one by one, as no pair has stood there before. 1 2 is then followed by 3, and 2 3 by 1:
    both are right, and the pass draws the 2 behind them. 1 2 is followed by 3 again, which is wrong: 4 is drawn.
    """
    assert benchmark.replay([[[1, 2, 3, 1, 2, 3, 1, 2, 4]]], 2) == Counter(
        passes=6, turns=6, drafted=4, accepted=2, drawn=8
    )


@pytest.mark.parametrize(("most", "num_drafted"), [(2, 2), (9, 3)])
def test_the_last_token_is_drawn_and_not_accepted(benchmark, most, num_drafted):
    """The second token is drawn without a draft; then two are accepted, and the last is drawn behind them, as ever."""
    earlier = table_of(benchmark, [1, 2, 3, 4, 5])
    assert benchmark.replay([[[1, 2, 3, 4, 5]]], most, earlier) == Counter(
        passes=2, turns=2, drafted=num_drafted, accepted=2, drawn=4
    )


def test_prompts_share_drafts_only_if_they_share_a_table(benchmark):
    """The first completion ends before the second of another prompt reaches the same tokens."""
    groups = [[[1, 2, 3, 4]], [[7, 8, 9, 1, 2, 3, 4]]]
    assert benchmark.replay(groups, 1)["drafted"] == 0
    assert benchmark.replay(groups, 1, defaultdict(Counter))["accepted"] == 1
