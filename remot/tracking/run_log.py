"""What a run leaves in MLflow besides its metrics: facts, the final table, sample pages."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger

from remot._version import __version__
from remot.strict_json import json_text
from remot.terminal import printable

CONFIG_FILE = "config.yaml"
_PACKAGES = ("torch", "transformers", "lightning")


def mlflow_loggers(loggers: Sequence[Logger]) -> Iterator[MLFlowLogger]:
    """Those of a trainer's loggers that write to MLflow."""
    return (logger for logger in loggers if isinstance(logger, MLFlowLogger))


def log_run_facts(loggers: Sequence[Logger], *, config_text: str | None, tags: Mapping[str, str]) -> None:
    """Tag the run with what it needs to be understood and repeated.

    Args:
        loggers: The trainer's loggers; only MLflow's take part, and on ranks other than zero nothing happens.
        config_text: The resolved configuration, stored as ``config.yaml``; None if it is stored elsewhere.
        tags: Such as ``remot.strategy`` and ``remot.base_model``; they win over the facts found here.
    """
    for logger in mlflow_loggers(loggers):
        for name, value in (machine_facts() | dict(tags)).items():
            logger.experiment.set_tag(logger.run_id, name, printable(str(value)))
    if config_text is not None:
        _log_text(loggers, config_text, CONFIG_FILE)


def mark_killed(loggers: Sequence[Logger]) -> None:
    """Give runs that a signal has ended the status that MLflow has for it; lightning knows finished and failed."""
    for logger in mlflow_loggers(loggers):
        logger.finalize("KILLED")


def log_table(loggers: Sequence[Logger], text: str, record: Mapping[str, object], name: str = "final_table") -> None:
    """Store a table for people (``NAME.txt``) and for programs (``NAME.json``)."""
    _log_text(loggers, printable(text), f"{name}.txt")
    _log_text(loggers, json_text(record, indent=2, ensure_ascii=True) + "\n", f"{name}.json")


def log_samples_html(loggers: Sequence[Logger], html: str, name: str) -> None:
    """Store a page of completions as ``samples/NAME.html``."""
    _log_text(loggers, html, f"samples/{name}.html")


def _log_text(loggers: Sequence[Logger], text: str, artifact: str) -> None:
    for logger in mlflow_loggers(loggers):
        log_text(logger, text, artifact)


def log_text(logger: MLFlowLogger, text: str, artifact: str) -> None:
    """Store a text as an artifact of an MLflow run."""
    logger.experiment.log_text(logger.run_id, text, artifact)


def machine_facts() -> dict[str, str]:
    """Versions, code and machine of this process as MLflow tags."""
    facts = {"remot.version": __version__, "remot.python": platform.python_version()}
    facts |= {f"remot.{name}": found for name, found in versions().items()}
    facts |= {"remot.cpu_count": str(os.cpu_count()), "remot.device": _device_name()}
    commit = git_commit(Path(__file__).parent)
    return facts | ({"remot.git_commit": commit} if commit else {})


def versions() -> dict[str, str]:
    """Versions of the libraries that compute, as far as they are installed."""
    return {name: found for name in _PACKAGES if (found := _version_of(name))}


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device_name() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"cpu ({platform.machine()})"


def git_commit(folder: Path) -> str | None:
    """Commit of the checkout that tracks ``folder``, with ``-dirty`` for changed files; None if there is none."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        tracked = _git(git, folder, "ls-files")
        if not tracked:  # installed below an unrelated checkout
            return None
        dirty = _git(git, folder, "status", "--porcelain", "--untracked-files=no")
        return _git(git, folder, "rev-parse", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(git: str, folder: Path, *arguments: str) -> str:
    command = [git, "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    return done.stdout.strip()
