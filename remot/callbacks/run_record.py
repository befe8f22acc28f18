"""``run.json`` in a run's folder: state, settings, tags and cost, whatever logger the run has; device metrics."""

import gc
import math
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning
import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from remot.callbacks.interrupt import run_folder
from remot.distributed import all_gather_objects
from remot.stopping import StoppedBySignal
from remot.strategies.module import PostTrainingModule
from remot.tracking import (
    MLflowSaveConfig,
    absolute_uri,
    log_data,
    log_environment,
    machine_facts,
    mlflow_loggers,
    write_run_file,
)

if platform.system() != "Windows":
    import resource

GIB = 2**30


def run_tags(module: PostTrainingModule) -> dict[str, str]:
    """What a run trains."""
    return {
        "remot.strategy": module.strategy.name,
        "remot.base_model": module.base_model,
        "remot.adaptation": type(module.loaded_policy.adaptation).__name__,
        "remot.seed": str(module.seed),
    }


@runtime_checkable
class RecordsData(Protocol):
    """A data module that knows what its prompts are made from."""

    def data_record(self) -> dict[str, Any]:
        """Sources and splits with their hashes, JSON-ready."""


class RunRecord(lightning.Callback):
    """Keeps ``run.json`` in the run's folder, and logs what the run costs.

    The file holds the state (``running``, ``finished``, ``interrupted`` or ``failed``), the step, tags, settings and
    cost. Metrics: ``device/…`` as often as those of the training, ``cost/…`` at the end. What a run that was continued
    has cost before counts, as far as its checkpoint remembers.
    """

    def __init__(self) -> None:
        self._cost_before = {"seconds": 0.0, "sampled_tokens": 0.0, "peak_memory_gib": 0.0}
        self._started = self._last_wall = time.monotonic()
        self._last_busy = time.process_time()
        self._sampled_tokens = 0.0
        self._step = 0
        self._data_sha256: str | None = None

    def state_dict(self) -> dict[str, Any]:
        """Cost so far."""
        return {"cost": self.cost()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on from there."""
        self._cost_before |= state_dict.get("cost", {})

    def cost(self) -> dict[str, float]:
        """Wall time in seconds, tokens sampled in training, peak memory in GiB."""
        before = self._cost_before
        return {
            "seconds": before["seconds"] + time.monotonic() - self._started,
            "sampled_tokens": before["sampled_tokens"] + self._sampled_tokens,
            "peak_memory_gib": float(np.fmax(before["peak_memory_gib"], peak_memory_gib())),
        }

    def setup(self, trainer: Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Begin to count."""
        self._started = time.monotonic()

    def on_fit_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Write that the run is running, and keep what it is trained on and with."""
        folder = run_folder(trainer)
        if trainer.is_global_zero:
            source = getattr(trainer, "datamodule", None)
            if isinstance(source, RecordsData):
                self._data_sha256 = log_data(trainer.loggers, source.data_record(), folder)
            log_environment(trainer.loggers, folder)
        self._write(trainer, pl_module, "running")
        # A full collection waits until there are a quarter as many new objects as old ones. Libraries, model and clips
        # are a million, so cycles (of MLflow's database layer, of torch's search for a GPU) would pile up for thousands
        # of steps. Frozen objects do not count, and data workers do not come to copy them.
        gc.freeze()

    def on_train_batch_start(self, trainer: Trainer, *_: object, **__: object) -> None:
        """Remember the step that the metrics of the training are logged at."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: lightning.LightningModule, *_: object, **__: object
    ) -> None:
        """Count tokens, and log the device's metrics where the training's were."""
        assert isinstance(pl_module, PostTrainingModule)
        self._sampled_tokens += pl_module.last_metrics.get("rollout/num_tokens", 0.0)
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every > 0 and trainer.fit_loop.epoch_loop.batch_progress.total.ready % every == 0:
            wall, busy = time.monotonic(), time.process_time()
            cores = (busy - self._last_busy) / max(wall - self._last_wall, 1e-9)
            self._last_wall, self._last_busy = wall, busy
            for logger in trainer.loggers:
                logger.log_metrics({"device/cpu_cores": cores, **device_metrics()}, step=self._step)

    def teardown(self, trainer: Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Log the cost of a run that has ended, and write that it has; every process takes part."""
        if stage != "fit":
            return
        gc.unfreeze()
        peaks = all_gather_objects(peak_memory_gib())
        self._cost_before["peak_memory_gib"] = float(np.fmax.reduce([self._cost_before["peak_memory_gib"], *peaks]))
        known = {f"cost/{name}": value for name, value in self.cost().items() if not math.isnan(value)}
        for logger in trainer.loggers:
            logger.log_metrics(known, step=trainer.global_step)
        self._write(trainer, pl_module, "interrupted" if trainer.interrupted else "finished")

    def on_exception(self, trainer: Trainer, pl_module: lightning.LightningModule, exception: BaseException) -> None:
        """Write how the training ended; an evaluation in the run's folder leaves the record of the training."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        gc.unfreeze()
        is_stop = isinstance(exception, KeyboardInterrupt | StoppedBySignal)
        self._write(trainer, pl_module, "interrupted" if is_stop else "failed")

    def _write(self, trainer: Trainer, module: lightning.LightningModule, state: str) -> None:
        folder = run_folder(trainer)
        if folder is None or not trainer.is_global_zero or not isinstance(module, PostTrainingModule):
            return
        if module.policy is None:  # refused before it began
            return
        config = next((one for one in trainer.callbacks if isinstance(one, MLflowSaveConfig)), None)  # type: ignore[attr-defined]
        tags = {} if config is None else config.tags
        write_run_file(
            folder,
            {
                "name": folder.name,
                "state": state,
                "step": trainer.global_step,
                "tags": machine_facts() | run_tags(module) | tags,
                "data_sha256": self._data_sha256,
                "mlflow": _mlflow(trainer),
                "cost": self.cost(),
                "settings": {} if config is None else config.settings,
            },
        )


def _mlflow(trainer: Trainer) -> Mapping[str, str] | None:
    """Where the run is in MLflow; None where it is not."""
    for logger in mlflow_loggers(trainer.loggers):
        return {
            "tracking_uri": absolute_uri(str(logger._tracking_uri)),
            "experiment": str(logger._experiment_name),
            "run_id": str(logger.run_id),
        }
    return None


def peak_memory_gib() -> float:
    """Most memory that this process has held: on its GPU if it has one, else in main memory; NaN if unknown."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return torch.cuda.max_memory_allocated() / GIB
    if platform.system() == "Windows":
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / GIB if platform.system() == "Darwin" else peak * 1024 / GIB


def device_metrics() -> dict[str, float]:
    """Memory of this process now, and memory and load of its GPU if it has one."""
    found = {"device/memory_gib": _resident_gib()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found["device/gpu_memory_gib"] = torch.cuda.memory_allocated() / GIB
        found["device/gpu_peak_memory_gib"] = torch.cuda.max_memory_allocated() / GIB
        with suppress(ModuleNotFoundError, RuntimeError):  # without NVIDIA's management library
            found["device/gpu_utilization"] = torch.cuda.utilization() / 100
    return found


def _resident_gib() -> float:
    statm = Path("/proc/self/statm")
    if not statm.is_file():  # not Linux
        return peak_memory_gib()
    return int(statm.read_text().split()[1]) * resource.getpagesize() / GIB
