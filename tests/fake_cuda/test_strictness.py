"""The fake CUDA device refuses what a real one refuses, notes what a real one waits for, and replays as a real one."""

import pytest
import torch

from tests.fake_cuda.gpu import FakeCudaDevice, GpuTensor, to_gpu


@pytest.fixture
def gpu():
    with FakeCudaDevice() as device:
        yield device


def test_what_is_made_there_is_there(gpu):
    there = torch.arange(3.0, device="cuda")
    for tensor in (there, there + 1, there.new_zeros(2), torch.zeros_like(there), there[None].expand(2, -1)):
        assert isinstance(tensor, GpuTensor)
        assert tensor.is_cuda
        assert tensor.device.type == "cuda"
    assert torch.ones(2).device.type == "cpu"
    assert gpu.reads == gpu.uploads == []


def test_devices_do_not_mix(gpu):
    here, there = torch.ones(3), torch.ones(3, device="cuda")
    for mixed in (
        lambda: here + there,
        lambda: there.add_(here),
        lambda: torch.cat([here, there]),
        lambda: torch.where(here > 0, there, there),
        lambda: there.index_select(0, torch.tensor([1])),
        lambda: there.masked_fill(here > 0, 1.0),
        lambda: torch.nn.functional.embedding(torch.tensor([1]), there[:, None]),
        lambda: here[there.long()],
        lambda: here + there[0],
    ):
        with pytest.raises(RuntimeError, match="on the same device"):
            mixed()
    assert (there + torch.tensor(2.0)).tolist() == [3, 3, 3]  # a number without a dimension may come from the host
    assert there[torch.tensor([0, 1])].tolist() == [1, 1]  # and so may indices, which are sent
    assert gpu.uploads == ["index by the host's numbers"]


@pytest.mark.parametrize(
    "read",
    [
        lambda there: there[0].item(),
        lambda there: bool(there[0] > 0),
        lambda there: int(there.sum()),
        lambda there: there.tolist(),
        lambda there: there.cpu(),
        lambda there: there.nonzero(),
        lambda there: there[there > 1],
        lambda there: torch.equal(there, there),
        lambda there: torch.empty(3).copy_(there),
        lambda there: there.masked_select(there > 1),
        lambda there: there.repeat_interleave(there.long()),
    ],
)
def test_reads_are_noted(gpu, read):
    there = torch.arange(3, device="cuda")
    read(there)
    assert len(gpu.reads) == 1


@pytest.mark.parametrize(
    "upload",
    [
        lambda there: torch.ones(3).to("cuda"),  # noqa: ARG005
        lambda there: torch.tensor([1.0], device=there.device),
        lambda there: there.copy_(torch.ones(3)),
        lambda there: there[[0, 2]],
    ],
)
def test_uploads_are_noted(gpu, upload):
    there = torch.ones(3, device="cuda")
    result = upload(there)
    assert gpu.reads == []
    assert len(gpu.uploads) == 1
    assert set(result.tolist()) == {1.0}


def test_gradients_are_those_of_the_processor():
    layer, states = torch.nn.Linear(4, 2), torch.randn(3, 4)
    layer(states).square().sum().backward()
    wanted = layer.weight.grad
    layer.zero_grad()
    with FakeCudaDevice():
        to_gpu(layer)(states.cuda()).square().sum().backward()
        assert layer.weight.grad.is_cuda
    assert torch.equal(layer.weight.grad.inner, wanted)


def test_what_a_module_holds_twice_stays_one():
    pair = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
    pair[1].weight = pair[0].weight
    with FakeCudaDevice():
        to_gpu(pair)
    assert pair[1].weight is pair[0].weight


def recorded(step):
    """A graph of one call, as the library records it."""
    graph = torch.cuda.CUDAGraph()
    torch.set_autocast_cache_enabled(False)
    try:
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            step()
    finally:
        torch.set_autocast_cache_enabled(True)
    return graph


def test_recording_changes_nothing_and_a_replay_does_it_once_more(gpu):
    total, step = torch.zeros(2, device="cuda"), torch.tensor([1.0, 2.0], device="cuda")
    graph = recorded(lambda: total.add_((step * 3).view(1, 2)[0]))
    assert total.tolist() == [0, 0]
    graph.replay()
    graph.replay()
    assert total.tolist() == [6, 12]
    step.fill_(1)
    graph.replay()
    assert total.tolist() == [9, 15]
    assert gpu.runtime.graphs == [graph]


def test_what_the_host_keeps_is_not_replayed():
    """A number of Python's is that of the recording; a name that is bound anew is not seen."""
    with FakeCudaDevice():
        first = torch.zeros(1, device="cuda")
        held = {"column": 0, "last": first}
        seen = torch.zeros(4, device="cuda")

        def step():
            seen[held["column"]] += 1 + held["last"][0]
            held["column"] += 1
            held["last"] = held["last"] + 1

        graph = recorded(step)
        for _ in range(3):
            graph.replay()
        assert seen.tolist() == [3, 0, 0, 0]


@pytest.mark.parametrize(
    "step",
    [
        lambda there: there[0].item(),
        lambda there: there[there > 0],
        lambda there: there.copy_(torch.ones(3)),
        lambda there: torch.tensor(1.0, device="cuda"),  # noqa: ARG005
    ],
)
def test_a_graph_can_neither_read_nor_send(gpu, step):
    there = torch.ones(3, device="cuda")
    with pytest.raises(RuntimeError, match="previous error during capture"):
        recorded(lambda: step(there))
    assert gpu.recorder is None
    assert gpu.runtime.current is not gpu.runtime.main, "as torch 2.11 leaves it"


def test_what_a_graph_reads_must_not_be_freed():
    with FakeCudaDevice():
        total, others = torch.zeros(2, device="cuda"), [torch.ones(2, device="cuda")]
        graph = recorded(lambda: total.add_(others[0]))
        graph.replay()
        others.clear()
        with pytest.raises(RuntimeError, match="has been freed"):
            graph.replay()
