"""Runs lmms-eval in a process of its own; :mod:`.results` brings what it writes into this library's tables."""

import importlib.util
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remot.errors import ConfigError, EngineError
from remot.files import open_regular
from remot.strict_json import json_object

INSTALL = (
    "lmms-eval is not installed here: pip install --no-deps lmms_eval==0.7.3, and the packages that it names as "
    "missing (its own requirements ask for a PyAV older than this library's)"
)
#: Model types that lmms-eval has a class of the same name for.
OWN_CLASSES = frozenset({"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"})
#: The class that loads whatever this library loads, adapters included; see :mod:`.model`.
OUR_CLASS = "remot"
#: Of lmms-eval's output this much is kept in the log, in bytes; the rest is read and dropped.
MAX_LOG_BYTES = 16 << 20
#: Largest file of results, in bytes.
MAX_RESULTS_BYTES = 64 << 20
LOG_FILE = "lmms_eval.log"


@dataclass(frozen=True)
class HarnessRun:
    """One run of lmms-eval.

    Args:
        tasks: Names of its tasks, or YAML files of tasks.
        model: One of lmms-eval's model classes.
        model_args: Its arguments.
        folder: Where lmms-eval writes, with its cache of replies.
        include: Folder of further tasks.
        batch_size: Prompts answered together.
        limit: Ask the first prompts of each task only.
        generation: Arguments of generation in place of the tasks' own.
    """

    tasks: Sequence[str]
    model: str
    model_args: Mapping[str, object]
    folder: Path
    include: Path | None
    batch_size: int
    limit: int | None
    generation: Mapping[str, object]

    def command(self) -> list[str]:
        """Words of the process.

        Raises:
            ConfigError: If a value holds a sign that divides lmms-eval's own lists.
        """
        words = ["--model", self.model, "--model_args", _joined(self.model_args), "--tasks", ",".join(self.tasks)]
        words += ["--batch_size", str(self.batch_size), "--output_path", str(self.folder), "--log_samples"]
        words += ["--use_cache", str(self.folder / "cache")]
        words += ["--include_path", str(self.include)] if self.include is not None else []
        words += ["--limit", str(self.limit)] if self.limit is not None else []
        words += ["--gen_kwargs", _joined(self.generation)] if self.generation else []
        return [sys.executable, "-m", f"{__name__}.run", *words]


def _joined(settings: Mapping[str, object]) -> str:
    for name, value in settings.items():
        if any(sign in str(value) for sign in ",=\n"):
            msg = f"{name} {str(value)!r:.200}: lmms-eval takes no comma, equals sign or line break in it"
            raise ConfigError(msg)
    return ",".join(f"{name}={value}" for name, value in settings.items())


def require_installed() -> None:
    """Refuse to go on without lmms-eval.

    Raises:
        ConfigError: If it is not installed.
    """
    if importlib.util.find_spec("lmms_eval") is None:
        raise ConfigError(INSTALL)


def run_harness(run: HarnessRun) -> tuple[Path, dict[str, Any]]:
    """Run lmms-eval and return the file of its results and what it holds.

    Raises:
        ConfigError: If it cannot be started.
        EngineError: If it fails or writes no results, naming its log.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    log, before = run.folder / LOG_FILE, set(run.folder.glob("*/*_results.json"))
    status = _logged(run.command(), log)
    new = sorted(set(run.folder.glob("*/*_results.json")) - before)
    if status != 0 or not new:
        what = f"ended with status {status}" if status else "wrote no results"
        msg = f"lmms-eval {what}; the reason is at the end of its log, {log}"
        raise EngineError(msg)
    return new[-1], _results_in(new[-1], log)


def _logged(command: Sequence[str], log: Path) -> int:
    """Exit status of a process whose output goes to a file of bounded size."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        with log.open("wb") as file, subprocess.Popen(command, **streams) as process:  # noqa: S603
            output = process.stdout
            assert output is not None
            try:
                for chunk in iter(lambda: output.read1(1 << 16), b""):  # type: ignore[attr-defined]
                    file.write(chunk[: max(0, MAX_LOG_BYTES - file.tell())])
                    file.flush()
            except BaseException:
                process.kill()
                raise
    except OSError as error:
        msg = f"lmms-eval cannot be run with the log {log} ({error}); choose another folder with --out"
        raise ConfigError(msg) from error
    return process.returncode


def _results_in(file: Path, log: Path) -> dict[str, Any]:
    with open_regular(file) as opened:
        content = opened.read(MAX_RESULTS_BYTES + 1)
    value = json_object(content) if len(content) <= MAX_RESULTS_BYTES else {}
    if not isinstance(value.get("results"), dict):
        msg = f"lmms-eval wrote no results that can be read to {file}; see its log, {log}"
        raise EngineError(msg)
    return value
