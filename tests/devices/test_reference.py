"""Two processes measure KL against the policy that SFT has made, as one does, by DDP and by FSDP2 (gloo, CPU)."""

import warnings

import pytest
import torch
from safetensors.torch import load_file

from remot.models import FullWeights, LoRA
from remot.strategies import SFTThenGRPO
from tests.devices.launch import in_two_processes
from tests.devices.runs import ADAMW, Case, run
from tests.devices.test_two_processes import ddp, fsdp2, plain
from tests.strategies.test_module import is_result
from tests.tiny import model_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

KINDS = ("lora", "full")


def case(folder, kind, max_steps):
    """One supervised step, then reinforced ones; the vision tower is trained too."""
    adaptation = LoRA(rank=2) if kind == "lora" else FullWeights()
    return Case(
        folder,
        max_steps=max_steps,
        adaptation=adaptation,
        policy={"train_vision": True},
        grpo={},
        optimizer=ADAMW,
        strategy=SFTThenGRPO(1),
    )


def work(rank, arguments):  # noqa: ARG001 - the processes find out who they are
    """At once, and interrupted after the reference was taken; and what one process has begun."""
    warnings.simplefilter("ignore")
    model, folder, make_strategy, alone = arguments
    found = {}
    for kind in KINDS:
        two = folder / f"{kind}.ckpt"
        settings = [{"devices": 2, "strategy": make_strategy()} for _ in range(4)]
        at_once, module = plain(run(case(model, kind, 4), folder, **settings[0]))
        module.save_policy(folder / kind)
        first, _ = plain(run(case(model, kind, 2), folder, save_to=two, **settings[1]))
        second, _ = plain(run(case(model, kind, 4), folder, ckpt_path=two, **settings[2]))
        begun_alone, _ = plain(run(case(model, kind, 4), folder, ckpt_path=alone / two.name, **settings[3]))
        found[kind] = {
            "at_once": at_once,
            "resumed": {**second, "logged": [*first["logged"], *second["logged"]]},
            "begun_alone": begun_alone,
        }
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process, whole batches."""
    folder, found = tmp_path_factory.mktemp("alone"), {}
    for kind in KINDS:
        found[kind] = run(case(str(model_folder()), kind, 4), folder)
        found[kind]["trained"].save_policy(folder / kind)
        run(case(str(model_folder()), kind, 2), folder, save_to=folder / f"{kind}.ckpt")
    return found, folder


@pytest.fixture(scope="module", params=[ddp, fsdp2])
def together(request, tmp_path_factory, alone):
    """What each of two processes found, and their folder."""
    folder = tmp_path_factory.mktemp("together")
    return in_two_processes(work, (str(model_folder()), folder, request.param, alone[1])), folder


def distances(logged):
    return [step["train/kl"] for step in logged if "train/kl" in step]


@pytest.mark.parametrize("kind", KINDS)
def test_the_distance_is_that_of_one_process(kind, alone, together):
    """0 to the last bit where the phase begins, then what one process finds."""
    wanted = distances(alone[0][kind]["logged"])
    assert wanted[0] == 0.0
    assert min(wanted[1:]) > 1e-6
    for process in together[0]:
        logged = process[kind]["at_once"]["logged"]
        assert distances(logged)[0] == 0.0
        assert distances(logged) == pytest.approx(wanted, rel=1e-3)
        assert [step.get("train/reference_step") for step in logged] == [None, 1, 1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_is_the_same_run(kind, together):
    """Bit for bit: weights, and what is logged of all four steps."""
    for process in together[0]:
        resumed, at_once = process[kind]["resumed"], process[kind]["at_once"]
        assert resumed["weights"] == at_once["weights"]
        assert len(resumed["logged"]) == 4
        for found, wanted in zip(resumed["logged"], at_once["logged"], strict=True):
            for name in filter(is_result, wanted):
                assert repr(found[name]) == repr(wanted[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_one_process_continues_what_two_began_and_two_what_one_began(kind, alone, together, tmp_path):
    """The reference is whole in the checkpoint: the distance goes on from it."""
    wanted = distances(alone[0][kind]["logged"])[1:]
    done = run(case(str(model_folder()), kind, 4), tmp_path, ckpt_path=together[1] / f"{kind}.ckpt")
    assert distances(done["logged"]) == pytest.approx(wanted, rel=1e-3)
    for process in together[0]:
        assert distances(process[kind]["begun_alone"]["logged"]) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_exported_files_hold_no_reference(kind, alone, together):
    (file,) = (alone[1] / kind).glob("*.safetensors")
    wanted, found = load_file(file), load_file(together[1] / kind / file.name)
    assert wanted.keys() == found.keys()
    assert not any("snapshot" in name for name in found)
    assert not list((together[1] / kind).glob("*/"))
    for key, weight in wanted.items():
        assert torch.allclose(found[key], weight, rtol=1e-3, atol=1e-5), key
