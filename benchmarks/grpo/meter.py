"""Counting and timing what happens inside a training step, in the process that runs it."""

import ctypes
import functools
import gc
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from grpo.memory import forget_peak, resident_bytes

MEBIBYTE = 1 << 20


class Meter:
    """Seconds of each phase, calls and images, step by step. The first step warms up and is left out of medians.

    Args:
        started: File to make when the first step begins, for other processes.
    """

    def __init__(self, started: Path) -> None:
        self.baseline_bytes = 0
        self._started = started
        self.losses: list[float] = []
        self._ends: list[float] = []
        self._cpu_ends: list[float] = []
        self._phases: list[dict[str, float]] = []
        self._current: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)

    def start(self) -> None:
        """The model is loaded and the first step is next: what is held now is what peaks are counted above."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        forget_peak()
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()
        self.baseline_bytes = resident_bytes("self")
        self._started.touch()
        self._ends.append(time.perf_counter())
        self._cpu_ends.append(time.process_time())

    def end_step(self) -> None:
        """One optimiser step is done, the fetching of its data included."""
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self._ends.append(time.perf_counter())
        self._cpu_ends.append(time.process_time())
        self._phases.append(dict(self._current))
        self._current.clear()

    def add(self, phase: str, seconds: float) -> None:
        """Seconds measured elsewhere."""
        self._current[phase] += seconds

    def timed(self, phase: str | Callable[..., str | None], function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, its seconds added to a phase, which may depend on the arguments; None is not counted."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever it is
            name = phase if isinstance(phase, str) else phase(*args, **kwargs)
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                if name is not None:
                    self._current[name] += time.perf_counter() - started

        return wrapped

    def count_images(self, vision_towers: Sequence[nn.Module], image_processor: object) -> None:
        """Count the images that go through the vision towers and through the image processor."""

        def through_tower(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            grid = kwargs["grid_thw"] if "grid_thw" in kwargs else args[1]
            self._counts["encoded"] += len(grid)

        for tower in vision_towers:
            tower.register_forward_pre_hook(through_tower, with_kwargs=True)
        inner = image_processor.preprocess  # type: ignore[attr-defined]

        def preprocess(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the original
            features = inner(*args, **kwargs)
            self._counts["preprocessed"] += len(features["image_grid_thw"])
            return features

        image_processor.preprocess = preprocess  # type: ignore[attr-defined]

    def summary(self, images_per_step: int) -> dict[str, Any]:
        """Medians over the timed steps, counts per image over all of them, peak memory above the loaded model."""
        self._started.unlink(missing_ok=True)  # what comes now is not the step any more
        seconds, cpu_seconds = ([end - start for start, end in pairwise(ends)] for ends in (self._ends, self._cpu_ends))
        timed = self._phases[1:]
        names = sorted({name for step in timed for name in step})
        images = images_per_step * len(seconds)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        device_peak = torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0
        return {
            "device_peak_mib": device_peak / MEBIBYTE,
            "step_seconds": statistics.median(seconds[1:]),
            "step_cpu_seconds": statistics.median(cpu_seconds[1:]),
            "all_step_seconds": [round(second, 4) for second in seconds],
            "phase_seconds": {name: statistics.median(step.get(name, 0.0) for step in timed) for name in names},
            "vision_passes": self._counts["encoded"] / images,
            "preprocessing_runs": self._counts["preprocessed"] / images,
            "loaded_mib": self.baseline_bytes / MEBIBYTE,
            "peak_mib": (peak - self.baseline_bytes) / MEBIBYTE,
            "losses": self.losses,
        }
