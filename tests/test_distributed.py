"""Two processes take the step that one would have taken."""

import multiprocessing

import pytest
import torch
from torch import distributed

from remot.distributed import (
    all_gather_objects,
    interleave,
    is_distributed,
    is_first_process,
    joined_metrics,
    mean_over_processes,
)
from remot.losses import BNPOLoss, CISPOLoss, DAPOLoss, DrGRPOLoss, GRPOLoss
from tests.losses.batches import random_batch, value_and_gradient

LOSSES = {
    "grpo": GRPOLoss(),
    "dapo": DAPOLoss(),
    "dr_grpo": DrGRPOLoss(length=7),
    "cispo": CISPOLoss(),
    "bnpo": BNPOLoss(),
}
PARTS = (slice(0, 1), slice(1, 2))  # one prompt each, of different lengths


def batch_of(rows):
    return {name: tensor[rows] for name, tensor in random_batch(1, (2, 4, 5)).items()}


def work(rank, file, queue):
    """Gradients of one process, averaged over both, as DistributedDataParallel does."""
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    batch, found = batch_of(PARTS[rank]), {}
    for name, loss in LOSSES.items():
        normalizer = loss.normalizer(batch["completion_mask"])
        if loss.denominator_is_global:
            normalizer = mean_over_processes(normalizer, torch.device("cpu"))
        _, part = value_and_gradient(loss, batch, normalizer=normalizer)
        gradient = torch.zeros(2, 4, 5, dtype=torch.float64)
        gradient[PARTS[rank]] = part
        distributed.all_reduce(gradient)
        found[name] = (gradient / 2).tolist()
    queue.put((rank, is_distributed(), found))
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.timeout(120)
def test_two_processes_average_to_one(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=work, args=(rank, tmp_path / "group", queue)) for rank in range(2)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=100) for _ in processes]
    for process in processes:
        process.join(timeout=30)
    assert {rank for rank, _, _ in answers} == {0, 1}
    assert all(together for _, together, _ in answers)
    for _, _, found in answers:
        for name, loss in LOSSES.items():
            _, wanted = value_and_gradient(loss, batch_of(slice(0, 2)))
            same = torch.allclose(torch.tensor(found[name], dtype=torch.float64), wanted, rtol=1e-12, atol=1e-15)
            assert same is (name != "bnpo"), name  # whose denominator is each process's own


def test_one_process_needs_no_collective():
    assert not is_distributed()
    assert mean_over_processes(3.5, torch.device("cpu")) == 3.5
    assert is_first_process()
    assert all_gather_objects("mine") == ["mine"]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("num_batches", range(6))
def test_what_was_dealt_out_comes_back_in_order(world_size, num_batches):
    """As the loaders deal: every world_size-th batch. Values that are false are values."""
    batches = [None, *range(1, 10)][:num_batches]
    assert interleave([batches[rank::world_size] for rank in range(world_size)]) == batches


def test_metrics_of_processes_by_hand():
    """Means over those it applies to; speeds add up, of gaps the largest counts."""
    metrics = [{"a": 1.0, "b": float("nan"), "speed": 10.0}, {"a": 2.0, "b": 4.0, "speed": 30.0}]
    third = {"a": 6.0, "c": 5.0, "b": float("nan"), "speed": 2.0, "gap": 0.5}
    joined = joined_metrics([metrics[0] | {"gap": 0.25}, metrics[1], third], {"speed"}, {"gap"})
    assert joined == {"a": 3.0, "b": 4.0, "c": 5.0, "speed": 42.0, "gap": 0.5}
    none = joined_metrics([{"a": float("nan")}, {"a": float("nan")}])
    assert none.keys() == {"a"}
    assert none["a"] != none["a"]
    assert joined_metrics(metrics[:1])["a"] == 1.0
