"""Continuing from a checkpoint: which file that is, and whether the settings are those it was made with."""

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from remot.callbacks import RUN_KEY
from remot.commands.training.checks import require_checkpoint
from remot.commands.training.run_folder import folders_of_job
from remot.errors import CheckpointError
from remot.strategies.checkpoint_io import PREVIOUS, is_whole, read_checkpoint
from remot.tracking import CONFIG_KEY, flatten
from remot.tracking.run_log import versions
from remot.tracking.save_config import VERSIONS_KEY

LAST = "last"
#: What may change when a run is continued, each with what is below it: how long it goes on, where it runs, what it logs
#: and keeps, and what changes speed and memory alone.
FREE_KEYS = (
    *("config", "ckpt_path", "weights_only", "resume", "offline", "tags"),
    *("progress", "predictions", "samples", "held_out", "vision", "interrupt", "summary", "checkpoint", "weights"),
    *(f"trainer.{bound}_{unit}" for bound in ("max", "min") for unit in ("steps", "epochs")),
    *("trainer.max_time", "trainer.fast_dev_run", "trainer.default_root_dir", "trainer.barebones"),
    *("trainer.logger", "trainer.log_every_n_steps", "trainer.profiler", "trainer.detect_anomaly"),
    *("trainer.enable_checkpointing", "trainer.enable_progress_bar", "trainer.enable_model_summary"),
    *("trainer.enable_autolog_hparams", "trainer.model_registry", "trainer.inference_mode"),
    *("trainer.accelerator", "trainer.strategy", "trainer.benchmark", "trainer.deterministic"),
    *("trainer.val_check_interval", "trainer.check_val_every_n_epoch", "trainer.num_sanity_val_steps"),
    *("trainer.limit_val_batches", "trainer.limit_test_batches", "trainer.limit_predict_batches"),
    *(
        "model.micro_batch_prompts",
        "model.grpo.micro_batch_tokens",
        "model.max_skipped_in_a_row",
        "model.rollout",
        "model.policy.gradient_checkpointing",
    ),
    *("model.policy.prefix_sharing", "model.policy.source.attention", "model.policy.source.allow_download"),
    "model.policy.feature_store",
    *(f"model.grpo.engine.{name}" for name in ("url", "folder", "num_parallel", "timeout_seconds", "num_retries")),
    *("data.num_workers", "data.num_val_prompts"),
)
#: Packages of callbacks that may change, come and go: those that are not refused save, log and end runs.
FREE_CALLBACKS = ("lightning.pytorch.callbacks.", "pytorch_lightning.callbacks.", "remot.callbacks.")
#: Changed settings that a refusal names.
MAX_NAMED = 12
MAX_VALUE_CHARS = 80


class Sought(NamedTuple):
    """What ``last`` has to be a checkpoint of."""

    strategy: str
    base_model: str


class Change(NamedTuple):
    """A setting that is not what the checkpoint was made with; None for one that is not set."""

    key: str
    old: object
    new: object

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.old)} → {_shown(self.new)}"


def run_facts(held: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of the run it is of, such as ``mlflow_run_id``."""
    facts: dict[str, Any] = held.get(RUN_KEY, {})
    return facts


def find_checkpoint(
    wanted: str | None, runs: Path, sought: Sought, on_progress: Callable[[str], None] = lambda _: None
) -> Path | None:
    """The checkpoint file that ``--ckpt_path`` means.

    Args:
        wanted: A file, ``last`` for the newest whole checkpoint of the experiment that is of what is ``sought``, or
            None.
        runs: Folder of the experiment's runs.
        sought: Strategy and base model of this run.
        on_progress: Called with a line for each damaged file that is passed over.

    Raises:
        CheckpointError: If there is none.
    """
    if wanted is None:
        return None
    if wanted == LAST:
        return _newest(runs, sought, on_progress)
    return require_checkpoint(wanted)


def require_readable(path: Path) -> dict[str, Any]:
    """Read a checkpoint that was named.

    Raises:
        CheckpointError: If it is damaged, with the newest whole one of its folder.
    """
    try:
        return read_checkpoint(path)
    except CheckpointError as error:
        whole = next(
            (other for other in _by_age(path.parent.glob("*.ckpt")) if other != path and is_whole(other)), None
        )
        if whole is None:
            raise
        msg = f"{error}; the newest whole one of that run is {whole}: give its name, or --ckpt_path last"
        raise CheckpointError(msg) from error


def _by_age(paths: Iterable[Path]) -> list[Path]:
    """The newest first; what a file has replaced is older than it, also where both were copied, one after the other."""

    def age(path: Path) -> tuple[int, bool]:
        last = path.with_name(f"{LAST}{path.suffix}")
        times = {one: _modified_ns(one) for one in (path, last)}
        return (min(filter(None, times.values()), default=0), False) if path.name == PREVIOUS else (times[path], True)

    return sorted(paths, key=age, reverse=True)


def _modified_ns(path: Path) -> int:
    """When a file, or a link that leads nowhere, was written; 0 if another run has replaced it meanwhile."""
    for look in (path.stat, path.lstat):
        with suppress(OSError):
            return look().st_mtime_ns
    return 0


def _newest(runs: Path, sought: Sought, on_progress: Callable[[str], None]) -> Path:
    """The newest run first: a damaged file is followed by the others of its run, not by those of another one."""
    others: dict[Sought, str] = {}
    damaged = []
    newest_of_runs = {path.parent: None for path in _by_age(runs.glob("*/*.ckpt"))}
    for path in (path for folder in newest_of_runs for path in _by_age(folder.glob("*.ckpt"))):
        try:
            held = read_checkpoint(path)
        except CheckpointError as error:  # the process that wrote it was killed, or the disk has changed it
            damaged.append(path)
            on_progress(f"passed over  {error}")
            continue
        found = sought_of(held)
        if found == sought:
            return path
        others.setdefault(found, f"{found.strategy} from {found.base_model}: {path} (step {held.get('global_step')})")
    raise CheckpointError(_nothing_found(runs, sought, list(others.values()), damaged))


def sought_of(held: Mapping[str, Any]) -> Sought:
    """What a checkpoint is of."""
    facts = held.get("remot", {})
    return Sought(str(facts.get("strategy")), str(facts.get("base_model")))


def requeued_checkpoint(runs: Path, sought: Sought, now: Callable[[], Mapping[str, Any]]) -> Path | None:
    """The newest whole checkpoint of a SLURM job that was queued again, with the same settings; None if there is none.

    Args:
        runs: Folder of the experiment's runs.
        sought: Strategy and base model of this run.
        now: Gives its resolved configuration, which takes a while.
    """
    job_id = os.environ.get("SLURM_JOB_ID")
    if job_id is None or os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    for path in _by_age(path for folder in folders_of_job(runs, job_id) for path in folder.glob("*.ckpt")):
        if is_whole(path):
            held = read_checkpoint(path)
            if sought_of(held) == sought and not changes_since(held, now()):
                return path
    return None


def _nothing_found(runs: Path, sought: Sought, others: list[str], damaged: list[Path]) -> str:
    msg = f"--ckpt_path last: no run below {runs} has left a checkpoint of {sought.strategy} from {sought.base_model}"
    if others:
        msg += f"; there is {', '.join(others)}. Name the file, or leave the key out to start a new run"
    else:
        msg += "; leave the key out to start a new run"
    return msg + (f" (damaged: {', '.join(map(str, damaged))})" if damaged else "")


def changes_since(held: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change] | None:
    """Settings that are not what the checkpoint was made with, but for :data:`FREE_KEYS` and :data:`FREE_CALLBACKS`.

    Where a class is another one, its settings are not compared.

    Args:
        held: What :func:`read_checkpoint` returned.
        now: The resolved configuration of this run.

    Returns:
        None if the checkpoint does not hold its configuration, as those of older versions do not.
    """
    text = held.get(CONFIG_KEY)
    if not isinstance(text, str):
        return None
    before, after = (dict(flatten(_without_free_callbacks(one))) for one in (json.loads(text), now))
    keys = [*before, *(key for key in after if key not in before)]
    changed = [Change(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]
    other_classes = tuple(one.key.removesuffix("class_path") for one in changed if one.key.endswith(".class_path"))
    return [
        one
        for one in changed
        if not _is_below(one.key, FREE_KEYS)
        and not any(one.key.startswith(place) and one.key != f"{place}class_path" for place in other_classes)
    ]


def _without_free_callbacks(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without the callbacks of :data:`FREE_CALLBACKS`; the others are compared by their order."""
    trainer = config.get("trainer") or {}
    callbacks = trainer.get("callbacks")
    listed = callbacks if isinstance(callbacks, list) else [callbacks] if callbacks else []
    kept = [
        one
        for one in listed
        if not (isinstance(one, Mapping) and str(one.get("class_path")).startswith(FREE_CALLBACKS))
    ]
    return {**config, "trainer": {**trainer, "callbacks": kept or None}}


def version_notes(held: Mapping[str, Any]) -> list[str]:
    """Sentences about libraries whose first two numbers are not those that a checkpoint was made with."""
    before, now = held.get(VERSIONS_KEY), versions()
    if not isinstance(before, Mapping):
        return []
    return [
        f"versions    the checkpoint was made with {name} {before[name]!s:.40}, this is {now[name]}: numbers may differ"
        for name in now
        if name in before and str(before[name]).split(".")[:2] != now[name].split(".")[:2]
    ]


def require_allowed(changes: Collection[Change], allowed: Collection[str], checkpoint: Path) -> None:
    """Refuse changes that were not asked for by name.

    Args:
        changes: Of :func:`changes_since`.
        allowed: Keys, each with what is below it.
        checkpoint: For the message.

    Raises:
        CheckpointError: That lists the others with their old and new values.
    """
    refused = [one for one in changes if not _is_below(one.key, allowed)]
    if refused:
        listed = "; ".join(map(str, refused[:MAX_NAMED]))
        more = f"; and {len(refused) - MAX_NAMED} others" if len(refused) > MAX_NAMED else ""
        keys = " ".join(one.key for one in refused[:MAX_NAMED])
        msg = (
            f"the checkpoint {checkpoint} was made with other settings: {listed}{more}. "
            f"Set them back, or go on with the new ones by --resume.allow {keys}"
        )
        raise CheckpointError(msg)


def _is_below(key: str, parents: Collection[str]) -> bool:
    """True if ``key`` is one of ``parents`` or below one; ``init_args`` may be left out, as on the command line."""
    own = _plain(key)
    return any(own == one or own.startswith(f"{one}.") for one in map(_plain, parents))


def _plain(key: str) -> str:
    return ".".join(word for word in key.split(".") if word not in ("init_args", "class_path"))


def _shown(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}…"
