"""What a run leaves in MLflow besides its metrics: facts, the final table, sample pages."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger

from remot._version import __version__
from remot.strict_json import json_text
from remot.terminal import printable
from remot.tracking.courier import SpoolingClient

CONFIG_FILE, DATA_FILE, ENVIRONMENT_FILE = "config.yaml", "dataset.json", "environment.txt"
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
        log_file(loggers, config_text, CONFIG_FILE)


def mark_killed(loggers: Sequence[Logger]) -> None:
    """Give runs that a signal has ended the status that MLflow has for it; lightning knows finished and failed."""
    for logger in mlflow_loggers(loggers):
        logger.finalize("KILLED")


def log_table(
    loggers: Sequence[Logger],
    text: str,
    record: Mapping[str, object],
    name: str = "final_table",
    folder: Path | None = None,
) -> None:
    """Store a table for people (``NAME.txt``) and for programs (``NAME.json``), as :func:`log_file` does."""
    log_file(loggers, printable(text), f"{name}.txt", folder)
    log_file(loggers, json_text(record, indent=2, ensure_ascii=True) + "\n", f"{name}.json", folder)


def log_samples_html(loggers: Sequence[Logger], html: str, name: str, folder: Path | None = None) -> None:
    """Store a page of completions as ``samples/NAME.html``, as :func:`log_file` does."""
    log_file(loggers, html, f"samples/{name}.html", folder)


def log_file(loggers: Sequence[Logger], text: str, artifact: str, folder: Path | None = None) -> None:
    """Store a text as an artifact of the MLflow runs.

    Args:
        loggers: The trainer's.
        text: The content.
        artifact: Its name; a slash separates folders.
        folder: Where it goes if no logger is MLflow's, which alone takes files; None for nowhere.
    """
    is_stored = False
    for logger in mlflow_loggers(loggers):
        log_text(logger, text, artifact)
        is_stored = True
    if not is_stored and folder is not None:
        (folder / artifact).parent.mkdir(parents=True, exist_ok=True)
        (folder / artifact).write_text(text, encoding="utf-8")


def log_data(loggers: Sequence[Logger], record: Mapping[str, Any], folder: Path | None = None) -> str:
    """Store what prompts are made from as ``dataset.json`` and as the data set of the MLflow run.

    Returns:
        Its hash, which does not depend on the folder that the data are in.
    """
    text = json_text(record, indent=1) + "\n"
    same_anywhere = json_text({key: value for key, value in record.items() if key not in ("root", "records")})
    digest = sha256(same_anywhere.encode("utf-8", "surrogatepass")).hexdigest()
    log_file(loggers, text, DATA_FILE, folder)
    for logger in mlflow_loggers(loggers):
        logger.experiment.set_tag(logger.run_id, "remot.data_sha256", digest)
        name = Path(str(record.get("records") or record.get("root") or "data")).name
        source = str(record.get("records") or record.get("root"))
        if isinstance(logger.experiment, SpoolingClient):
            logger.experiment.log_dataset(name, digest[:32], source)
    return digest


def log_environment(loggers: Sequence[Logger], folder: Path | None = None) -> None:
    """Store every installed package with its version as ``environment.txt``, a line each, as ``pip freeze`` does."""
    found = {one.metadata["Name"]: one.version for one in distributions() if one.metadata["Name"]}
    lines = [f"# python {platform.python_version()}, {platform.platform()}"]
    lines += [f"{name}=={found[name]}" for name in sorted(found, key=str.lower)]
    log_file(loggers, "\n".join(lines) + "\n", ENVIRONMENT_FILE, folder)


def log_text(logger: MLFlowLogger, text: str, artifact: str) -> None:
    """Store a text as an artifact of an MLflow run."""
    logger.experiment.log_text(logger.run_id, text, artifact)


def machine_facts() -> dict[str, str]:
    """Versions, code and machine of this process as MLflow tags."""
    import torch

    facts = {"remot.version": __version__, "remot.python": platform.python_version()}
    facts |= {f"remot.{name}": found for name, found in versions().items()}
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"cpu ({platform.machine()})"
    facts |= {"remot.cpu_count": str(os.cpu_count()), "remot.device": device}
    commit = git_commit(Path(__file__).parent)
    return facts | ({"remot.git_commit": commit} if commit else {})


def versions() -> dict[str, str]:
    """Versions of the libraries that compute, as far as they are installed."""
    found = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


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
