"""Disk and tracking store of a run. Nothing is written, and no store is made."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remot.commands.diagnosis.findings import Finding, size
from remot.commands.training.checks import require_folder, require_store
from remot.errors import RemotError
from remot.tracking import require_writable
from remot.tracking.client import local_path
from remot.viewer.images import MAX_PROMPT_BYTES

#: Checkpoints that are kept besides ``save_top_k``: the last and the one before it, and a third while one is written.
KEPT_CHECKPOINTS = 3
#: Bytes in a store of one number at one step, and numbers of a step: what a run of the quickstart leaves in SQLite.
_NUMBER_BYTES, _NUMBERS_PER_STEP = 250, 45
#: Share of the free disk from which a line is added.
_MUCH = 0.5


def disk_finding(
    folder: Path, checkpoint_bytes: int, exported_bytes: int, config: Mapping[str, Any], num_steps: int, how: str
) -> Finding:
    """Checkpoints, exported policy and tracking against what is free where the run would write.

    Args:
        folder: The trainer's root folder; need not exist.
        checkpoint_bytes: Of one checkpoint.
        exported_bytes: Of the exported policy.
        config: Settings of the callbacks, by section.
        num_steps: Optimizer steps of the run.
        how: How the size of a checkpoint is known.
    """
    try:
        require_folder(folder)
    except RemotError as error:
        return Finding("fail", "disk", str(error))
    existing = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    top = config.get("checkpoint", {}).get("save_top_k") or 0
    kept = KEPT_CHECKPOINTS + max(0, top)
    tracking = _tracking_bytes(config, num_steps)
    needed = kept * checkpoint_bytes + exported_bytes + tracking
    free = shutil.disk_usage(existing).free
    text = (
        f"{size(needed)}: {kept} checkpoints of {size(checkpoint_bytes)} ({how}), policy {size(exported_bytes)}, "
        f"tracking up to {size(tracking)}; {size(free)} free in {existing}"
    )
    facts = {"needed": needed, "free": free, "checkpoint": checkpoint_bytes}
    if top < 0:
        return Finding("warn", "disk", f"{text}; and a checkpoint at each save", "set checkpoint.save_top_k", facts)
    if needed > free or not os.access(existing, os.W_OK):
        return Finding(
            "fail", "disk", text, "choose another trainer.default_root_dir, one that can be written to", facts
        )
    if needed > _MUCH * free:
        return Finding("warn", "disk", text, "make room, or choose another trainer.default_root_dir", facts)
    return Finding("fine", "disk", text, facts=facts)


def _tracking_bytes(config: Mapping[str, Any], num_steps: int) -> int:
    """Numbers of each step and pages of samples, of which images take the most."""
    samples, held_out = config.get("samples", {}), config.get("held_out", {})
    every = samples.get("every_n_steps") or 0
    pages = (num_steps // every + 1) * (samples.get("num_prompts") or 0) if every > 0 else 0
    pages += 2 * (held_out.get("num_pages") or 0) if held_out.get("enabled", True) else 0
    return round(pages * MAX_PROMPT_BYTES * 4 / 3) + num_steps * _NUMBERS_PER_STEP * _NUMBER_BYTES


def store_finding(logger: Any, *, offline: bool) -> Finding:  # noqa: ANN401 (as the parser leaves it)
    """Whether the MLflow store can be reached and written to."""
    name = str(getattr(logger, "class_path", "")).rpartition(".")[2]
    if logger in (None, False) or name != "MLFlowLogger":
        what = "there is no logger" if logger is False else f"{name or 'Lightning’s own logger'} is not checked"
        return Finding("open", "tracking", f"{what}; only MLflow's stores are")
    init = logger.init_args
    uri = init.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI", "") or f"file:{init.get('save_dir')}"
    try:
        require_store(uri, init.get("experiment_name"))
        if not offline:
            require_writable(uri, init.get("experiment_name") or "", init.get("run_id"))
    except RemotError as error:
        return Finding("fail", "tracking", str(error), "begin without it: --offline")
    path = local_path(uri)
    existing = None if path is None else next(one for one in (path, *path.absolute().parents) if one.exists())
    if existing is not None and not os.access(existing, os.W_OK):
        return Finding("fail", "tracking", f"{uri}: {existing} cannot be written to", "choose another tracking_uri")
    state = "answers" if path is None else "is there" if path.exists() else "is made by the run"
    return Finding("fine", "tracking", f"{uri} {'is not asked (--offline)' if offline else state}")
