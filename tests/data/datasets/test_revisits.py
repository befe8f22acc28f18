"""Prompts that are asked again: which, when, and that neither workers nor an interruption change them."""

import json

import pytest

from remot.data.datasets.loaders import RemainingBatches
from remot.data.datasets.revisits import RevisitedPrompts, Revisits
from remot.data.datasets.samplers import AddressSampler
from remot.errors import ConfigError


def prompts(share=0.5, after=2, within=2, seed=0):
    return RevisitedPrompts(Revisits(share, after, within), seed)


def fresh(number):
    return list(range(4 * number, 4 * number + 4))


def test_a_prompt_comes_again_while_its_completions_differ():
    """Batch 2 knows batch 0, batch 3 batches 0 and 1, batch 4 batches 1 and 2."""
    seen = prompts()
    seen.observe(0, fresh(0), [True, False, False, False])
    seen.observe(1, fresh(1), [False, True, True, True])
    assert seen.batch(0, fresh(0)) == fresh(0)
    assert seen.batch(1, fresh(1)) == fresh(1)
    assert set(seen.batch(2, fresh(2))) - set(fresh(2)) == {0}
    of_three = set(seen.batch(3, fresh(3))) - set(fresh(3))
    assert len(of_three) == 2
    assert of_three < {0, 5, 6, 7}
    seen.observe(2, [0, 9, 10, 11], [False] * 4)  # it has become easy
    assert set(seen.batch(4, fresh(4))) - set(fresh(4)) < {5, 6, 7}
    assert seen.batch(5, fresh(5)) == fresh(5)  # batches 2 and 3 had no difference, batch 1 is too old


def test_what_becomes_known_later_changes_no_batch():
    """A batch that workers read ahead is the one that is read in time."""
    early, late = prompts(), prompts()
    for seen in (early, late):
        seen.observe(0, fresh(0), [True] * 4)
    late.observe(1, fresh(1), [True] * 4)
    assert early.batch(2, fresh(2)) == late.batch(2, fresh(2)) != fresh(2)


def test_a_prompt_is_in_a_batch_once():
    seen = prompts(share=0.9)
    seen.observe(0, [0, 1, 2, 3], [True] * 4)
    batch = seen.batch(2, [0, 1, 2, 9])  # of which 3 alone can take a place
    assert 3 in batch
    assert len(set(batch)) == 4


def test_places_and_prompts_are_drawn_by_seed_and_number():
    drawn = set()
    for seed in range(3):
        for number in (2, 3):
            seen = prompts(seed=seed)
            seen.observe(0, fresh(0), [True] * 4)
            seen.observe(1, fresh(1), [False] * 4)
            batch = seen.batch(number, [100, 101, 102, 103])
            assert batch == seen.batch(number, [100, 101, 102, 103])
            drawn.add(tuple(batch))
    assert len(drawn) > 3


def test_state_goes_on_exactly_and_stays_small():
    whole = prompts()
    for number in range(50):
        whole.observe(number, fresh(number), [True, False, True, True])
        state = json.loads(json.dumps(whole.state_dict()))
        assert len(state) <= 5
        again = prompts()
        again.load_state_dict(state)
        for later in range(number + 1, number + 3):
            assert again.batch(later, fresh(later)) == whole.batch(later, fresh(later))


def test_processes_share_what_they_saw():
    """The batch of all is the same, and each process has its part of it."""
    seen = prompts()
    seen.observe(0, fresh(0), [True] * 4)
    one, two = (AddressSampler(2, 1, 2, rank, 2, revisited=seen) for rank in (0, 1))
    assert [*next(iter(one)), *next(iter(two))] == seen.batch(2, fresh(2)) != fresh(2)


def test_batches_are_chosen_when_they_are_asked_for():
    """And are the same again when workers start anew within the pass."""
    seen = prompts()
    remaining = RemainingBatches(AddressSampler(4, 4, revisited=seen))
    remaining.begin()
    source = iter(remaining)
    assert [next(source), next(source)] == [fresh(0), fresh(1)]
    seen.observe(0, fresh(0), [True] * 4)
    third = next(source)
    assert third != fresh(2)
    remaining.num_done = 2
    assert next(iter(remaining)) == third
    assert len(list(remaining)) == 2


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 1.0}, {"after": 1}, {"within": 0}])
def test_settings_that_cannot_work(wrong):
    with pytest.raises(ConfigError, match="revisits"):
        Revisits(**wrong)


def test_workers_that_read_too_far_ahead_are_refused():
    Revisits(after=6).require_known_in_time(2)
    with pytest.raises(ConfigError, match="8 or more"):
        Revisits(after=6).require_known_in_time(3)
