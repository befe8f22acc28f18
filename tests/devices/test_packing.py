"""Processes that find differently what is exact compute alike: the plainest way that any of them takes (gloo, CPU)."""

import logging

import pytest
import torch

from remot.models import ModelSource, VLMPolicy
from tests.devices.launch import in_two_processes
from tests.models.packing.test_selection import ignoring_masks
from tests.tiny import encode, make_batch, model_folder, random_completions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


def work(rank, arguments):
    """What a process finds by itself, what all agree on, what it says; the process ``which`` ignores masks."""
    folder, which = arguments
    torch.distributed.init_process_group("gloo")
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("remot.models.packing.selection").addHandler(handler)
    policy = VLMPolicy(ModelSource(str(folder)))
    if rank == which:
        ignoring_masks(policy)
    encoded = encode(policy, make_batch(2, seed=rank))
    own = policy.shares_prompts(encoded)
    completions, _ = random_completions(policy, 2, 2, 3)
    with torch.no_grad():
        policy.completion_logprobs(encoded, completions)
        policy.completion_logprobs(encoded, completions)  # does not probe again
    return own, policy.shares_prompts(encoded), said


@pytest.mark.parametrize("which", [0, 1])
def test_all_do_as_the_one_that_cannot_share(which):
    found = in_two_processes(work, (model_folder(), which))
    (own, agreed, said), (_, also_agreed, _) = found[1 - which], found[which]
    assert own is True
    assert found[which][0] is agreed is also_agreed is False
    assert said == ["another process cannot share prompts; each completion is computed behind a copy"]


def test_processes_that_agree_say_nothing():
    for own, agreed, said in in_two_processes(work, (model_folder(), None)):
        assert own is agreed is True
        assert said == []
