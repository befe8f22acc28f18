"""Two processes by DeepSpeed ZeRO stage 2 do what one does, on processors.

Lightning lets DeepSpeed run on GPUs only, and DeepSpeed asks for the number of a GPU; both are talked out of it here.
"""

import copy
import importlib.util
import os
import warnings

import pytest
import torch

from remot.models import FullWeights
from tests.devices.launch import in_two_processes
from tests.devices.runs import Case, run
from tests.tiny import model_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(280),
    pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs remot[deepspeed]"),
]
CONFIG = {
    "zero_optimization": {"stage": 2},
    "gradient_clipping": 0.5,
    "zero_allow_untested_optimizer": True,
    "zero_force_ds_cpu_optimizer": False,
    "train_micro_batch_size_per_gpu": 2,
}


def cases(folder):
    return {
        "lora": Case(folder),
        "full": Case(folder, adaptation=FullWeights(), policy={"train_vision": True}),
    }


def work(rank, arguments):
    warnings.simplefilter("ignore")
    os.environ["DS_ACCELERATOR"] = "cpu"
    import lightning.pytorch.strategies.deepspeed as strategies
    from deepspeed.runtime import engine
    from lightning.pytorch.accelerators import CPUAccelerator

    strategies.CUDAAccelerator = CPUAccelerator
    strategies._validate_device_index_selection = lambda _: None
    find_device = engine.DeepSpeedEngine._set_distributed_vars

    def find_processor(self, args):
        args.device_rank = rank
        find_device(self, args)
        self.device = torch.device("cpu")

    engine.DeepSpeedEngine._set_distributed_vars = find_processor
    model, folder = arguments
    found = {}
    for name, case in cases(model).items():
        strategy = strategies.DeepSpeedStrategy(config=copy.deepcopy(CONFIG), process_group_backend="gloo")
        done = run(case, folder, devices=2, strategy=strategy)
        weights = {key: weight.float().tolist() for key, weight in done["weights"].items()}
        found[name] = {"weights": weights, "logged": done["logged"]}
    return found


def test_two_processes_take_the_step_of_one(tmp_path):
    """Gradients of two micro-batches add up, and are clipped to the same norm."""
    model = str(model_folder())
    alone = {name: run(case, tmp_path) for name, case in cases(model).items()}
    for process in in_two_processes(work, (model, tmp_path)):
        for name, wanted in alone.items():
            assert process[name]["weights"].keys() == wanted["weights"].keys()
            for key, weight in wanted["weights"].items():
                assert torch.allclose(torch.tensor(process[name]["weights"][key]), weight, atol=2e-6), key
            for step, wanted_step in zip(process[name]["logged"], wanted["logged"], strict=True):
                assert step["train/loss"] == pytest.approx(wanted_step["train/loss"], rel=1e-4)
                assert "train/grad_norm" not in step
                assert wanted_step["train/grad_norm"] > 0.5  # it was clipped
