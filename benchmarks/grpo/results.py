"""Printing and keeping what was measured."""

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("remot", "trl", "transformers", "peft", "torch", "lightning", "accelerate", "datasets")
PHASES = ("rollout", "reference", "policy")
HEADER = (
    "setting:G:side:tokens", "TRL s", "remot s", "speedup", "TRL rollout/ref/policy s", "remot rollout/ref/policy s",
    "TRL MiB", "remot MiB", "memory", "vision passes", "preprocessing",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Where and with what it was measured."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "host": platform.node(),
        "cpu": model,
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def print_point(result: Mapping[str, Any]) -> None:
    """Everything of one point in a few lines."""
    loads = f"{result['load_average_before']:.1f} before, {result['load_average_after']:.1f} after"
    print(f"\n{result['point']}, {_model(result)} (checkpointing {result['checkpointing']}, load average {loads})")
    for side in ("trl", "remot"):
        if side not in result:
            continue
        row = result[side]
        phases = ", ".join(f"{name} {seconds:.2f}" for name, seconds in row["phase_seconds"].items())
        print(
            f"  {side:5} {row['step_seconds']:7.2f} s a step, {row['step_cpu_seconds']:.2f} s of processor "
            f"({phases}) of {row['all_step_seconds']}; "
            f"{row['peak_mib']:.0f} MiB above {row['loaded_mib']:.0f} (sampled {row['sampled_peak_mib']:.0f}); "
            f"{row['vision_passes']:g} vision passes, {row['preprocessing_runs']:g} preprocessing runs a picture; "
            f"losses {[round(loss, 6) for loss in row['losses']]}"
        )
    if "speedup" in result:
        print(
            f"  {result['speedup']:.2f}x faster ({result['cpu_speedup']:.2f}x by processor time), "
            f"{result['memory_ratio']:.2f} of the memory",
            flush=True,
        )


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """A table of all points."""
    rows = [HEADER, tuple("---" for _ in HEADER), *(_cells(result) for result in results)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cells(result: Mapping[str, Any]) -> tuple[str, ...]:
    trl, ours = result["trl"], result["remot"]
    return (
        result["point"],
        f"{trl['step_seconds']:.2f}",
        f"{ours['step_seconds']:.2f}",
        f"{result['speedup']:.2f}×",
        _split(trl),
        _split(ours),
        f"{_peak(trl):.0f}",
        f"{_peak(ours):.0f}",
        f"{result['memory_ratio']:.2f}",
        f"{trl['vision_passes']:g} → {ours['vision_passes']:g}",
        f"{trl['preprocessing_runs']:g} → {ours['preprocessing_runs']:g}",
    )


def _peak(side: Mapping[str, Any]) -> float:
    """MiB of the GPU where there is one."""
    mib: float = side.get("device_peak_mib") or side["peak_mib"]
    return mib


def _split(side: Mapping[str, Any]) -> str:
    return " / ".join(f"{side['phase_seconds'].get(name, 0.0):.2f}" for name in PHASES)


def append(folder: Path, facts: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Add one line to the results and write their table anew."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = folder / "grpo_step.jsonl"
    with lines.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"machine": facts, **result}) + "\n")
    runs: dict[str, list[dict[str, Any]]] = {}
    for line in lines.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        runs.setdefault(_title(row["machine"], row), []).append(row)
    parts = [f"## {title}\n\n{markdown(rows)}\n" for title, rows in runs.items()]
    (folder / "grpo_step.md").write_text("# One GRPO step beside TRL's\n\n" + "\n".join(parts), encoding="utf-8")


def _title(facts: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {facts[name]}" for name in ("trl", "transformers", "torch"))
    where = facts["gpu"] if row.get("device") == "cuda" else f"{facts['cpu']}, {row['threads']} thread(s)"
    return f"{facts['host']}, {where}, {facts['date']}, {versions}, {_model(row)}, checkpointing {row['checkpointing']}"


def _model(row: Mapping[str, Any]) -> str:
    """Size and precision; older lines are of the small model in float32."""
    return f"{row.get('size', 'small')} model in {row.get('dtype', 'float32')}"
