"""Two processes with half the prompts each do what one does with all of them, by DDP and by FSDP2 (gloo, CPU)."""

import warnings

import pytest
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from safetensors.torch import load_file

from remot.errors import ConfigError
from remot.losses import DAPOLoss
from remot.models import LoRA, QLoRA
from tests.devices.launch import in_two_processes
from tests.devices.runs import ADAMW, FULL, SGD, Case, run, weights
from tests.strategies.test_module import is_result
from tests.tiny import model_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

HELD_OUT = {"lora": True}


def ddp():
    return "ddp"


def named(key, words):
    return any(word in key for word in words)


def fsdp2():
    return ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1, save_distributed_checkpoint=False)


def cases(folder):
    """Both objectives, one after the other; groups without a difference are left out; the KL is that to a reference."""
    return {
        "lora": Case(folder),
        "full": Case(folder, **FULL, loss=DAPOLoss(beta=0.05), optimizer=SGD),
        "half": Case(folder, source={"dtype": "bfloat16"}, policy={"gradient_checkpointing": True}),
    }


def resumable(folder, max_steps):
    return Case(folder, max_steps=max_steps, optimizer=ADAMW, policy={"train_vision": True})


def plain(found):
    """What can be sent to another process."""
    module = found.pop("trained")
    return {**found, "weights": {name: weight.tolist() for name, weight in found["weights"].items()}}, module


def work(rank, arguments):  # noqa: ARG001 - the processes find out who they are
    """Everything that two processes do, in one start of them, which takes most of the time."""
    warnings.simplefilter("ignore")
    model, folder, make_strategy, alone_checkpoint = arguments
    settings = {"devices": 2}
    found = {}
    for name, case in cases(model).items():
        done = run(case, folder, strategy=make_strategy(), held_out=HELD_OUT.get(name, False), **settings)
        found[name], module = plain(done)
        module.save_policy(folder / name)
    at_once = run(resumable(model, 4), folder, strategy=make_strategy(), **settings)
    first = run(resumable(model, 2), folder, strategy=make_strategy(), save_to=folder / "two.ckpt", **settings)
    second = run(resumable(model, 4), folder, strategy=make_strategy(), ckpt_path=folder / "two.ckpt", **settings)
    begun = run(resumable(model, 4), folder, strategy=make_strategy(), ckpt_path=alone_checkpoint, **settings)
    found["begun_alone"], _ = plain(begun)
    found["at_once"], _ = plain(at_once)
    found["resumed"], _ = plain({**second, "logged": [*first["logged"], *second["logged"]]})
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process, whole batches."""
    folder, found = tmp_path_factory.mktemp("alone"), {}
    for name, case in cases(str(model_folder())).items():
        found[name] = run(case, folder, held_out=HELD_OUT.get(name, False))
        found[name]["trained"].save_policy(folder / name)
    run(resumable(str(model_folder()), 2), folder, save_to=folder / "two.ckpt")
    return found, folder


@pytest.fixture(scope="module", params=[ddp, fsdp2])
def together(request, tmp_path_factory, alone):
    """What each of two processes found, and their folder."""
    folder = tmp_path_factory.mktemp("together")
    arguments = (str(model_folder()), folder, request.param, alone[1] / "two.ckpt")
    return in_two_processes(work, arguments), folder, request.param


def assert_reached(found, wanted, case=None):
    """The same weights, but for rounding: of how far they have moved, and of what they are."""
    start = (case or resumable(str(model_folder()), 4)).module()
    start.configure_model()
    before = weights(start)
    assert found.keys() == wanted.keys() == before.keys()
    num_still = 0
    for key, weight in before.items():
        there, here = torch.as_tensor(wanted[key]), torch.as_tensor(found[key])
        moved = (there - weight).norm()
        num_still += int(moved <= 1e-4 * weight.norm())
        assert (here - there).norm() <= 1e-3 * moved + 1e-6 * weight.norm(), key
    assert num_still <= len(before) // 10  # the bias of keys has no gradient but rounding


@pytest.mark.parametrize("name", ["lora", "full"])
def test_weights_are_those_of_one_process(name, alone, together):
    """Three updates with averaged gradients; compared with how far the weights have moved."""
    wanted, (found, _, _) = alone[0][name], together
    for process in found:
        assert_reached(process[name]["weights"], wanted["weights"], cases(str(model_folder()))[name])


@pytest.mark.parametrize("name", ["lora", "full"])
def test_metrics_are_those_of_one_process(name, alone, together):
    """One supervised step and one reinforced one, of which a group of four is left out."""
    wanted, (found, _, _) = alone[0][name]["logged"], together
    for process in found:
        logged = process[name]["logged"]
        assert len(logged) == len(wanted) == 2
        for step, wanted_step in zip(logged, wanted, strict=True):
            assert step.keys() == wanted_step.keys()
            near = ("norm", "logprob_gap")  # compared apart; the gap is rounding, the order of whose sums differs
            results = {key: value for key, value in wanted_step.items() if is_result(key) and not named(key, near)}
            assert all(0 <= value < 1e-5 for key, value in step.items() if "logprob_gap" in key)
            assert {key: step[key] for key in results} == pytest.approx(results, rel=1e-4, abs=1e-6, nan_ok=True)
            assert step["train/grad_norm"] == pytest.approx(wanted_step["train/grad_norm"], rel=1e-4)
        assert logged[1]["train/dynamic_sampling/frac_kept"] == 0.75
        assert logged[1]["train/kl"] > 0


def test_gradients_are_exchanged_once_an_update(alone, together):
    """By DDP with the last of two micro-batches: the processes' gradients differ before it and are one after it."""
    del alone
    (first, second), _, make_strategy = together
    pairs = list(zip(first["lora"]["norms"], second["lora"]["norms"], strict=True))
    assert len(pairs) == 6  # three updates of two micro-batches
    assert all(one == other for one, other in pairs[1::2])
    assert all((one == other) is (make_strategy is fsdp2) for one, other in pairs[::2])


def test_held_out_table_and_validation_are_those_of_one_process(alone, together):
    """Five batches of one and two prompts in turn, three of them for the first process."""
    wanted, (found, _, _) = alone[0]["lora"], together
    assert len(wanted["base"]["judged"]) == 14
    for process in found:
        assert repr(process["lora"]["base"]) == repr(wanted["base"])  # as texts: what does not apply is NaN
        assert process["lora"]["validated"] == wanted["validated"]


@pytest.mark.parametrize("name", ["lora", "full"])
def test_exported_files_are_those_of_one_process(name, alone, together):
    _, folder, _ = together
    (file,) = (alone[1] / name).glob("*.safetensors")
    wanted, found = load_file(file), load_file(folder / name / file.name)
    assert wanted.keys() == found.keys()
    for key, weight in wanted.items():
        assert torch.allclose(found[key], weight, rtol=1e-3, atol=1e-5), key


def test_a_resumed_run_is_the_same_run(together):
    """Bit for bit: weights, and what is logged of all four steps."""
    found, _, _ = together
    for process in found:
        assert process["resumed"]["weights"] == process["at_once"]["weights"]
        results = [
            [{key: repr(value) for key, value in step.items() if is_result(key)} for step in process[name]["logged"]]
            for name in ("resumed", "at_once")
        ]
        assert results[0] == results[1]


def test_one_process_continues_what_two_began(together, tmp_path):
    """The checkpoint is one file that names no process: two more steps lead to the same weights."""
    found, folder, _ = together
    done = run(resumable(str(model_folder()), 4), tmp_path, ckpt_path=folder / "two.ckpt")
    assert_reached(done["weights"], found[0]["at_once"]["weights"])


def test_two_processes_continue_what_one_began(together):
    found, _, _ = together
    assert_reached(found[0]["begun_alone"]["weights"], found[0]["at_once"]["weights"])


def test_half_precision_trains(together):
    found, _, _ = together
    for process in found:
        assert process["half"]["logged"][1]["train/grad_norm"] > 0
        assert len(process["half"]["weights"]) > 0


def refuse(rank, arguments):  # noqa: ARG001
    """Sentences of what cannot be divided."""
    warnings.simplefilter("ignore")
    model, folder = arguments
    said = []
    for case, size in (
        (Case(model, adaptation=QLoRA()), (2, 1)),
        (Case(model, adaptation=LoRA(rank=2)), (1, 2)),
    ):
        strategy = ModelParallelStrategy(*size, save_distributed_checkpoint=False)
        try:
            run(case, folder, strategy=strategy, devices=2)
        except ConfigError as error:
            said.append(str(error))
    return said


def test_indivisible_batches_are_reported(tmp_path):
    for quantised, layers in in_two_processes(refuse, (str(model_folder()), tmp_path)):
        assert "QLoRA" in quantised
        assert "tensor_parallel_size to 1 and data_parallel_size to the number of processes, 2" in layers
