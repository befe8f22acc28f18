"""One GRPO step of this library beside TRL's: seconds, memory and vision passes, each side in a process of its own.

Run ``python benchmarks/grpo_step.py --quick`` for one point, without ``--quick`` for the grid; needs ``trl`` and
``datasets``. The last line of the output is JSON. See benchmarks/README.md.
"""

import argparse
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grpo.memory import STARTED, resident_bytes
from grpo.point import Point, grid, parse_point, write_model
from grpo.results import append, machine, markdown, print_point
from grpo.sizes import SIZES

QUICK = "lora:8:448:64"
RESULTS = Path(__file__).parent / "results"
SIDES = ("trl", "remot")
#: Seconds between two looks at the memory of the process that is measured.
SAMPLING_SECONDS = 0.02


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, print it, and append it to the results."""
    options = _options(arguments)
    if options.side is not None:
        _run_side(options.side, Point(**json.loads(options.point)), options.folder)
        return
    missing = [name for name in ("trl", "datasets") if importlib.util.find_spec(name) is None]
    if missing and "trl" in options.sides:
        msg = f"the comparison needs {' and '.join(missing)}: pip install trl datasets"
        raise SystemExit(msg)
    names = [QUICK] if options.quick else (options.points or grid())
    settings = {
        "num_repeats": options.repeats, "num_threads": options.threads, "checkpointing": options.checkpointing,
        "size": options.size, "dtype": options.dtype, "device": options.device,
    }  # fmt: skip
    points = [parse_point(name, **settings) for name in names]
    folder = options.results or (None if options.quick else RESULTS)  # the quick point is for checks, not for keeping
    facts = machine()
    print("machine:", ", ".join(f"{key} {value}" for key, value in facts.items()))
    results = []
    for point in points:
        results.append(compare(point, options.sides))
        print_point(results[-1])
        if folder is not None and len(options.sides) == len(SIDES):
            append(folder, facts, results[-1])
    if len(options.sides) == len(SIDES):
        print(markdown(results))
        print(json.dumps(_last_line(results)))


def compare(point: Point, sides: Sequence[str]) -> dict[str, Any]:
    """Both libraries at one point, one after the other."""
    result: dict[str, Any] = {"point": point.name, "checkpointing": point.checkpointing, "threads": point.num_threads}
    result |= {"size": point.size, "dtype": point.dtype, "device": point.device}
    result["load_average_before"] = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="grpo-step-") as scratch:
        folder = Path(scratch)
        _in_fresh_process("prepare", point, folder)
        for side in sides:
            result[side] = _in_fresh_process(side, point, folder)
    result["load_average_after"] = os.getloadavg()[0]
    if len(sides) == len(SIDES):
        trl, ours = result["trl"], result["remot"]
        result["speedup"] = trl["step_seconds"] / ours["step_seconds"]
        result["cpu_speedup"] = trl["step_cpu_seconds"] / ours["step_cpu_seconds"]
        result["memory_ratio"] = ours["peak_mib"] / trl["peak_mib"]
        result["sampled_memory_ratio"] = ours["sampled_peak_mib"] / trl["sampled_peak_mib"]
    return result


def _in_fresh_process(side: str, point: Point, folder: Path) -> dict[str, Any]:
    """Run one side; its memory is looked at from outside as well."""
    command = [sys.executable, __file__, "--side", side, "--point", point.to_json(), "--folder", str(folder)]
    threads = str(point.num_threads)
    environment = {
        **os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
    }  # fmt: skip
    if point.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    log = folder / f"{side}.log"
    started, most = folder / STARTED, 0
    started.unlink(missing_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        while process.poll() is None:
            most = max(most, resident_bytes(process.pid) if started.exists() else 0)
            time.sleep(SAMPLING_SECONDS)
    if process.returncode != 0:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        msg = f"{side} failed at {point.name}:\n{tail}"
        raise SystemExit(msg)
    if side == "prepare":
        return {}
    summary: dict[str, Any] = json.loads((folder / f"{side}.json").read_text(encoding="utf-8"))
    summary["sampled_peak_mib"] = most / (1 << 20) - summary["loaded_mib"]
    return summary


def _run_side(side: str, point: Point, folder: Path) -> None:
    if side == "prepare":
        write_model(folder / "model", point)
        return
    import torch

    torch.set_num_threads(point.num_threads)
    summary = importlib.import_module(f"grpo.{side}_side").run(point, folder / "model")
    (folder / f"{side}.json").write_text(json.dumps(summary), encoding="utf-8")


def _last_line(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of the one point, or of the worst of several."""
    slowest = min(results, key=lambda result: result["speedup"])
    return {
        "speedup": round(slowest["speedup"], 3),
        "memory_ratio": round(max(result["memory_ratio"] for result in results), 3),
        "vision_passes": {side: max(result[side]["vision_passes"] for result in results) for side in SIDES},
        "points": len(results),
        "slower_at": [result["point"] for result in results if result["speedup"] < 1],
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"only {QUICK}")
    parser.add_argument("--points", nargs="+", help="setting:G:side:tokens, such as lora:8:448:64 full:4:224:32")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps, after one that warms up")
    parser.add_argument("--threads", type=int, default=1, help="of torch, alike for both")
    parser.add_argument("--checkpointing", choices=("default", "on", "off"), default="default")
    parser.add_argument("--size", choices=SIZES, default="small", help="of the model, random weights")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the weights")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="to look at one side alone")
    parser.add_argument("--results", type=Path, default=None, help="folder to append to")
    parser.add_argument("--side", choices=(*SIDES, "prepare"), help=argparse.SUPPRESS)
    parser.add_argument("--point", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
