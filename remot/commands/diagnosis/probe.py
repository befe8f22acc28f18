"""A short probe: the run's own first steps, with its own weights, in memory only."""

import contextlib
import gc
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.optim import Optimizer

from remot.commands.diagnosis.data import first_prompts, measured_prompts
from remot.data.datamodule import MotionDataModule
from remot.evaluation.benchmark import answer_in_ways
from remot.models.merging import adapted_layers, parameter_of
from remot.models.parts import language_model
from remot.models.policy import VLMPolicy
from remot.models.prepacked import prepacked_bytes
from remot.rollout.decoding.memory import SCORED_ROWS, decode_bytes, score_bytes
from remot.rollout.sampling import GREEDY
from remot.strategies.accumulation import GradientAccumulator
from remot.strategies.module import PostTrainingModule
from remot.strategies.objective import PreparedStep, StepAddress
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
        peak_bytes: Most memory of tensors above that of the weights, in the first step.
        estimated_bytes: What the planner of micro-batches expects of a step of this shape.
        process_bytes: Resident memory of the process before; None if the system does not say.
    """

    metrics: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    estimated_bytes: int = 0
    process_bytes: int | None = None

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
    dtype = _AUTOCAST.get(precision)
    with contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype):
        # of a strategy with both: before supervision has moved the weights, KL to the base model is that of the start
        for phase in sorted(module.strategy.phases):
            probe.phases[phase] = _probe_phase(module, data, phase, optimizer)
        states = (value for state in optimizer.state.values() for value in state.values())
        probe.optimizer_bytes = sum(one.numel() * one.element_size() for one in states if isinstance(one, torch.Tensor))
        probe.answer_seconds = _answer_seconds(module, data)
    return probe


def _probe_phase(module: PostTrainingModule, data: MotionDataModule, phase: str, optimizer: Optimizer) -> ProbedPhase:
    found, policy, accumulate = ProbedPhase(process_bytes=process_bytes()), module.loaded_policy, GradientAccumulator()
    snapshot = policy.snapshot
    if snapshot is not None and phase == "GRPO":
        snapshot.capture(policy.model, 0)
    end = time.monotonic() + MAX_SECONDS
    for step in range(PROBE_STEPS):
        started = time.perf_counter()
        batch = first_prompts(data, data.batch_size, step * data.batch_size)
        address = StepAddress(module.seed, step, data, module.rollout_engine)
        with contextlib.nullcontext() if step else peak_memory(policy.device, found):
            prepared = module.objectives[phase].prepare(policy, batch, address, module.micro_batch_prompts)
            metrics = dict(prepared.metrics)
            for update in range(prepared.num_updates):
                totals = accumulate(prepared, optimizer.zero_grad, lambda loss, _: torch.autograd.backward(loss))
                metrics |= {name: number for name, number in totals.items() if update == 0}
                optimizer.step()
        metrics |= prepared.late_metrics()
        found.metrics.append(metrics)
        found.seconds.append(time.perf_counter() - started)
        if step == 0:
            found.estimated_bytes = _estimated(module, prepared, samples=phase == "GRPO")
        if time.monotonic() > end:
            break
    optimizer.zero_grad()
    return found


def _estimated(module: PostTrainingModule, prepared: PreparedStep, *, samples: bool) -> int:
    """Bytes of a step of this shape by the planner's numbers, with the gradients of what is trained."""
    num_prompts, num_columns, num_completions, num_tokens = prepared.shape
    lengths, shares = (num_columns, num_completions, num_tokens), prepared.shares_prompts
    cached = (num_columns if shares else num_columns * num_completions, num_completions, num_tokens)
    policy, together = module.loaded_policy, module.rollout_engine.settings.prompts_together
    decoded = num_prompts if together == "auto" else together  # of a CPU: all
    update = score_bytes(policy.footprint, *lengths, shares_prompts=shares) * prepared.micro_batch_prompts
    update += SCORED_ROWS * policy.footprint.logits_bytes + trained_bytes(policy)
    if not samples:
        return update
    merged = sum(parameter_of(layer).nbytes for layer in adapted_layers(policy.model))
    layers = [*language_model(policy.core).modules(), policy.core.get_output_embeddings()]
    packed = prepacked_bytes(layers) if policy.device.type == "cpu" else 0
    return max(update, decode_bytes(policy.footprint, *cached) * decoded + max(merged, packed))


def _answer_seconds(module: PostTrainingModule, data: MotionDataModule) -> float | None:
    """Seconds to answer one batch of held-out prompts by sampling and greedily."""
    if "test" not in data.prompts:
        return None
    from remot.data.datasets.loaders import collate_prompts

    test = data.prompts["test"]
    batch = collate_prompts([test.prompt(address) for address in range(min(len(test), data.batch_size))])
    policy, started = module.loaded_policy, time.perf_counter()
    ways, engine = (module.evaluation.drawn_by(policy), GREEDY), module.rollout_engine
    answer_in_ways(policy, batch, module.evaluation, ways, engine, data.resampler, data.clip_frames)
    return time.perf_counter() - started


@contextlib.contextmanager
def peak_memory(device: torch.device, found: ProbedPhase) -> Iterator[None]:
    """Set ``found.peak_bytes`` to the most bytes of tensors within the context above those that were there before.

    On a GPU torch counts them; elsewhere its profiler notes each allocation. The resident memory of a process says
    less: it grows by what libraries take when they are first used, and by memory that the allocator keeps.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield
        found.peak_bytes = torch.cuda.max_memory_allocated(device) - before
        return
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its own messages
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        yield
    assert profile.profiler is not None
    events = profile.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    found.peak_bytes = max(itertools.accumulate((number for _, number in changes), initial=0))


def process_bytes(kind: str = "VmRSS") -> int | None:
    """Resident memory of the process, or that part of it that lies in no file, ``RssAnon``; None if not known."""
    file = Path("/proc/self/status")
    lines = file.read_text(encoding="ascii", errors="replace").splitlines() if file.is_file() else []
    found = next((line.split() for line in lines if line.startswith(f"{kind}:")), None)
    return None if found is None else int(found[1]) * 1024


def trained_bytes(policy: VLMPolicy) -> int:
    """Bytes of what a checkpoint keeps of the weights."""
    return sum(parameter.numel() * parameter.element_size() for parameter in policy.trainable_parameters())
