"""Whether a long training stays as it began: memory, open files, threads, seconds of a step, and the share of MLflow.

Run ``python benchmarks/long_run.py --steps 2000 --out DIR``. It trains ``configs/quickstart.yaml`` for that many
steps in a process of its own, samples it from inside every 50 steps, and prints a table of the samples and the
changes between the first part after the warm-up and the last one. ``--read FILE`` prints them for a run that is not
at its end.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

QUICKSTART = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
COURIER = "remot-courier"
#: Samples before the first one that counts, and how many make one part.
WARM_UP_STEPS = 200
PART = 4
TICKS = os.sysconf("SC_CLK_TCK")


class ResourceLog(Callback):
    """Appends what the process holds to a file, a JSON object a line.

    Args:
        file: Where to.
        every: Steps between two samples.
    """

    def __init__(self, file: str, every: int = 50) -> None:
        self._file, self._every = Path(file), every
        self._logging_seconds, self._times = 0.0, [time.monotonic()]

    def on_train_start(self, trainer: Trainer, _: LightningModule) -> None:
        """Time what steps wait for the loggers, and begin."""
        for logger in trainer.loggers:
            logger.log_metrics = self._timed(logger.log_metrics)  # type: ignore[method-assign]
        self._times = [time.monotonic()]

    def _timed(self, log: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(log)
        def timed(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 (as it is called)
            started = time.monotonic()
            try:
                return log(*arguments, **named)
            finally:
                self._logging_seconds += time.monotonic() - started

        return timed

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:  # noqa: ANN401 (Lightning's arguments)
        """Sample, every so many steps."""
        self._times.append(time.monotonic())
        if trainer.global_step % self._every:
            return
        steps = [after - before for before, after in zip(self._times[:-1], self._times[1:], strict=True)]
        sample = held() | {
            "step": trainer.global_step,
            "wall_seconds": sum(steps),
            "step_seconds": statistics.median(steps),
            "logging_seconds": self._logging_seconds,
        }
        self._logging_seconds, self._times = 0.0, self._times[-1:]
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(sample) + "\n")


def held() -> dict[str, float]:
    """What this process holds: resident MB, files, threads, processor seconds, and those of MLflow's thread."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    couriers = [thread.native_id for thread in threading.enumerate() if thread.name == COURIER]
    return {
        "resident_mb": int(status["VmRSS"].split()[0]) / 1024,
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": int(status["Threads"]),
        "python_threads": threading.active_count(),
        "cpu_seconds": time.process_time(),
        "courier_cpu_seconds": sum(cpu_seconds_of(native_id) for native_id in couriers if native_id is not None),
    }


def cpu_seconds_of(native_id: int) -> float:
    """Processor seconds of a thread of this process; 0 if it has just ended."""
    try:
        fields = Path(f"/proc/self/task/{native_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def train(out: Path, steps: int, every: int, extra: Sequence[str]) -> Path:
    """Train in a process of its own; returns the file of the samples."""
    out.mkdir(parents=True, exist_ok=True)
    file = out.resolve() / "samples.jsonl"
    folder = str(Path(__file__).parent.resolve())
    command = [sys.executable, "-m", "remot", "fit", "--config", str(QUICKSTART.resolve())]
    command += ["--trainer.max_steps", str(steps), "--trainer.default_root_dir", "."]
    command += ["--trainer.callbacks+=long_run.ResourceLog", f"--trainer.callbacks.file={file}"]
    command += [f"--trainer.callbacks.every={every}", *extra]
    paths = [folder, os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    subprocess.run(command, cwd=out, env=environment, check=True)
    return file


def report(samples: Sequence[dict[str, float]]) -> str:
    """The samples as a table, and the last part of them beside the first one after the warm-up."""
    names = ("step", "resident_mb", "files", "threads", "step_seconds", "logging_seconds")
    lines = [" | ".join(names)]
    lines += [
        " | ".join(f"{sample[name]:.4g}" if name != "step" else f"{sample[name]}" for name in names)
        for sample in samples
    ]
    warm = [sample for sample in samples if sample["step"] > WARM_UP_STEPS]
    if len(warm) < 2 * PART:
        return "\n".join([*lines, f"fewer than {2 * PART} samples after step {WARM_UP_STEPS}"])
    first, last = warm[:PART], warm[-PART:]
    for before, after in pairwise(warm):  # other work on the machine does not count
        after["step_cpu"] = (after["cpu_seconds"] - before["cpu_seconds"]) / (after["step"] - before["step"])
    first = warm[1 : PART + 1]
    for name in ("resident_mb", "files", "threads", "step_seconds", "step_cpu"):
        before, after = (statistics.median(one[name] for one in part) for part in (first, last))
        lines.append(f"{name}: {before:.4g} → {after:.4g} ({after / before - 1:+.1%})")
    wall = sum(sample["wall_seconds"] for sample in warm)
    waited = sum(sample["logging_seconds"] for sample in warm) / wall
    courier, cpu = (warm[-1][name] - warm[0][name] for name in ("courier_cpu_seconds", "cpu_seconds"))
    lines.append(
        f"MLflow: steps waited {waited:.2%} of the time; its thread took {courier / cpu:.2%} of the processor time"
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or read, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("long_run"), help="folder of the run")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--every", type=int, default=50, help="steps between two samples")
    parser.add_argument("--read", type=Path, help="print these samples, and train nothing")
    options, extra = parser.parse_known_args(arguments)
    file = options.read or train(options.out, options.steps, options.every, extra)
    print(report([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]))


if __name__ == "__main__":
    main()
