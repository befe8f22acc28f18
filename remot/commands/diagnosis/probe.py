"""A short probe: the run's own first steps, with its own weights, in memory only."""

import contextlib
import gc
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.optim import Optimizer

from remot.commands.diagnosis.data import first_prompts, measured_prompts
from remot.data.datamodule import MotionDataModule
from remot.evaluation.benchmark import answer_batch
from remot.models.policy import VLMPolicy
from remot.rollout.decoding.memory import SCORED_ROWS, decode_bytes, score_bytes
from remot.rollout.sampling import GREEDY
from remot.strategies.accumulation import GradientAccumulator
from remot.strategies.grpo.objective import GRPOObjective
from remot.strategies.module import PostTrainingModule
from remot.strategies.objective import StepAddress
from remot.strategies.optimization import make_optimization

#: Steps of each phase: the first decides how prompts are packed, which takes time of its own, and is not counted.
PROBE_STEPS = 3
#: Seconds after which no further step is begun.
MAX_SECONDS = 40.0
#: Precisions of Lightning that compute in half precision, by what they are called.
_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass
class ProbedPhase:
    """What the steps of one phase showed.

    Args:
        metrics: Of each step, the first included.
        seconds: Of each step.
        peak_bytes: Most memory above what was taken before, over all steps; None if it cannot be measured here.
        estimated_bytes: What the planner of micro-batches expects of it.
    """

    metrics: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None
    estimated_bytes: int = 0

    @property
    def step_seconds(self) -> float:
        """Mean of the steps after the first, or the first if there is no other."""
        counted = self.seconds[1:] or self.seconds
        return sum(counted) / len(counted)

    def mean(self, name: str) -> float | None:
        """Mean of a metric over the steps; None if it is in none."""
        found = [metrics[name] for metrics in self.metrics if name in metrics]
        return sum(found) / len(found) if found else None


@dataclass
class Probe:
    """What was measured.

    Args:
        lengths: Tokens of the first prompts.
        phases: By name.
        optimizer_bytes: What the optimizer keeps after the steps.
        answer_seconds: Of one batch of held-out prompts, sampled and greedily; None if there are none.
    """

    lengths: list[int]
    phases: dict[str, ProbedPhase] = field(default_factory=dict)
    optimizer_bytes: int = 0
    answer_seconds: float | None = None


def probe_run(
    module: PostTrainingModule, data: MotionDataModule, device: torch.device, precision: str, num_prompts: int
) -> Probe:
    """Take the first steps of each phase of the run, and answer one batch of held-out prompts.

    The weights that move are this process's own; nothing is saved or logged. Completions come from the policy itself.

    Args:
        module: The run's module; its policy is loaded here.
        data: The run's prompts, set up.
        device: Where to compute.
        precision: ``trainer.precision``.
        num_prompts: Training prompts whose tokens are counted.

    Raises:
        RemotError: If prompts do not fit the model, or a step is none that can be taken.
        torch.OutOfMemoryError: If memory runs out.
    """
    module.configure_model()
    policy = module.loaded_policy.to(device)
    lengths: list[int] = []
    for batch in measured_prompts(data, num_prompts):
        lengths += policy.process(batch).prompt_lengths.tolist()
    probe = Probe(lengths)
    optimizer, _ = make_optimization(policy.trainable_parameters(), module.optimizer_factory, None)
    with _autocast(device, precision):
        # of a strategy with both: before supervision has moved the weights, KL to the base model is that of the start
        for phase in sorted(module.strategy.phases):
            probe.phases[phase] = _probe_phase(module, data, phase, optimizer)
        states = (value for state in optimizer.state.values() for value in state.values())
        probe.optimizer_bytes = sum(one.numel() * one.element_size() for one in states if isinstance(one, torch.Tensor))
        probe.answer_seconds = _answer_seconds(module, data)
    return probe


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    dtype = _AUTOCAST.get(precision)
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def _probe_phase(module: PostTrainingModule, data: MotionDataModule, phase: str, optimizer: Optimizer) -> ProbedPhase:
    found, policy, accumulate = ProbedPhase(), module.loaded_policy, GradientAccumulator()
    snapshot = policy.snapshot
    if snapshot is not None and phase == "GRPO":
        snapshot.capture(policy.model, 0)
    end = time.monotonic() + MAX_SECONDS
    with peak_memory(policy.device) as peak:
        for step in range(PROBE_STEPS):
            started = time.perf_counter()
            batch = first_prompts(data, data.batch_size, step * data.batch_size)
            address = StepAddress(module.seed, step, data, module.rollout_engine)
            prepared = module.objectives[phase].prepare(policy, batch, address, module.micro_batch_prompts)
            metrics = dict(prepared.metrics)
            for update in range(prepared.num_updates):
                totals = accumulate(prepared, optimizer.zero_grad, lambda loss, _: torch.autograd.backward(loss))
                metrics |= {name: number for name, number in totals.items() if update == 0}
                optimizer.step()
            metrics |= prepared.late_metrics()
            found.metrics.append(metrics)
            found.seconds.append(time.perf_counter() - started)
            num_columns = policy.process(batch).input_ids.shape[1]
            found.estimated_bytes = max(
                found.estimated_bytes, _estimated(module, phase, num_columns, prepared.micro_batch_prompts, len(batch))
            )
            if time.monotonic() > end:
                break
    optimizer.zero_grad()
    found.peak_bytes = peak.get("bytes")
    return found


def _estimated(
    module: PostTrainingModule, phase: str, num_columns: int, micro_batch_prompts: int, num_prompts: int
) -> int:
    """Bytes of a step by the planner's numbers."""
    objective, footprint = module.objectives[phase], module.loaded_policy.footprint
    group, tokens = (
        (objective.num_completions, objective.max_new_tokens) if isinstance(objective, GRPOObjective) else (1, 64)
    )
    together = module.rollout_engine.settings.prompts_together
    decoded = num_prompts if together == "auto" else together  # of a CPU: all
    update = score_bytes(footprint, num_columns, group, tokens) * micro_batch_prompts
    rollout = decode_bytes(footprint, num_columns, group, tokens) * decoded if phase == "GRPO" else 0
    return max(update + SCORED_ROWS * footprint.logits_bytes, rollout)


def _answer_seconds(module: PostTrainingModule, data: MotionDataModule) -> float | None:
    """Seconds to answer one batch of held-out prompts by sampling and greedily."""
    if "test" not in data.prompts:
        return None
    from remot.data.datasets.loaders import collate_prompts

    test = data.prompts["test"]
    batch = collate_prompts([test.prompt(address) for address in range(min(len(test), data.batch_size))])
    policy, started = module.loaded_policy, time.perf_counter()
    for sampling in (module.evaluation.drawn_by(policy), GREEDY):
        answer_batch(policy, batch, module.evaluation, sampling, module.rollout_engine, data.resampler)
    return time.perf_counter() - started


@contextlib.contextmanager
def peak_memory(device: torch.device) -> Iterator[Mapping[str, int]]:
    """Most memory taken within the context above what was taken before, under ``bytes`` afterwards.

    On a GPU torch counts it; elsewhere a thread looks at the resident memory of the process a hundred times a second,
    where the system has it in ``/proc``.
    """
    result: dict[str, int] = {}
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield result
        result["bytes"] = torch.cuda.max_memory_allocated(device) - before
        return
    if not Path("/proc/self/statm").is_file():
        yield result
        return
    before, peaks, over = _resident_bytes(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            peaks[0] = max(peaks[0], _resident_bytes())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield result
    finally:
        over.set()
        thread.join()
    result["bytes"] = max(peaks[0], _resident_bytes()) - before


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def trained_bytes(policy: VLMPolicy) -> int:
    """Bytes of what a checkpoint keeps of the weights."""
    return sum(parameter.numel() * parameter.element_size() for parameter in policy.trainable_parameters())
