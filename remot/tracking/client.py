"""A quiet MLflow client that never creates what it was asked to read."""

import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, TypeVar

from remot.deadline import in_time
from remot.errors import ConfigError
from remot.terminal import shown_url

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
#: Where ``remot compare`` looks by default.
DEFAULT_STORE = "sqlite:///mlflow.db"
#: MLflow's own settings, unless the environment has others. It would wait 120 s for an answer, and try eight times.
_TIMEOUT, _RETRIES = "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_ENVIRONMENT = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    _TIMEOUT: "15",
    _RETRIES: "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # a folder that was asked for; MLflow 3.17 refuses one otherwise
}
#: Lowest levels that are shown. MLflow writes 90 lines about each failure of a database, and raises the same error.
_LEVELS = {
    "mlflow": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,
    "alembic": logging.WARNING,
    "lightning.pytorch.loggers.mlflow": logging.ERROR,
}
#: Seconds within which a store has to answer when a run starts.
ANSWER_SECONDS = 5.0

Answer = TypeVar("Answer")


def quiet_mlflow() -> None:
    """Keep MLflow's INFO lines off the terminal, its usage reports off the network, and its waiting short.

    Best called before MLflow is imported. Settings the user made in the environment win.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)


def local_path(tracking_uri: str) -> Path | None:
    """File or folder of a store on this machine, None for a server or a database elsewhere."""
    if tracking_uri.startswith(_SQLITE):
        path = tracking_uri.removeprefix(_SQLITE).partition("?")[0]
        return Path(path) if path else None
    return None if "://" in tracking_uri else Path(tracking_uri.removeprefix("file:"))


def absolute_uri(tracking_uri: str) -> str:
    """The same store, whatever the working folder becomes: MLflow opens one once for each spelling of its URI."""
    path = local_path(tracking_uri)
    if path is None or path.is_absolute():
        return tracking_uri
    _, question_mark, options = tracking_uri.partition("?")
    scheme = _SQLITE if tracking_uri.startswith(_SQLITE) else ""
    return f"{scheme}{path.absolute()}{question_mark}{options}"


def where_to_look(tracking_uri: str, run_id: str, experiment: str) -> tuple[str, str]:
    """Where a run can be seen, and the command that compares the experiment it belongs to; without passwords.

    A server shows its own pages; ``mlflow ui`` opens files, folders and databases, and no server.
    """
    shown = shown_url(tracking_uri)
    is_server = shown.startswith(("http://", "https://"))
    seen = f" at {shown}" if is_server else f": mlflow ui --backend-store-uri {quote(shown)}"
    store = "" if tracking_uri == DEFAULT_STORE else f" --tracking_uri {quote(shown)}"
    return f"run {run_id}{seen}", f"remot compare --experiment {quote(experiment)}{store}"


def open_client(tracking_uri: str) -> "MlflowClient":
    """An ``MlflowClient`` on an existing store.

    Raises:
        ConfigError: If the store's file or folder is not there or not MLflow's, or a server does not answer.
    """
    require_store(tracking_uri)
    return _ask(tracking_uri, lambda client: (client.search_experiments(max_results=1), client)[1])


def require_writable(tracking_uri: str, experiment: str, run_id: str | None = None) -> None:
    """Refuse, before a model is loaded, a store that a run could not be logged to.

    Nothing is created: a local store that does not exist yet is left to MLflow.

    Raises:
        ConfigError: If the server does not answer within :data:`ANSWER_SECONDS`, the experiment was deleted, or the run
            is not there.
    """
    if is_remote(tracking_uri):
        hint = ", begin anyway: --offline, or go on without MLflow: --trainer.logger false"
        stages = _ask(tracking_uri, lambda client: _stages(client, experiment, run_id), hint)
    elif tracking_uri.startswith(_SQLITE):
        stages = _stages_in_file(local_path(tracking_uri) or Path(), experiment, run_id)
    else:
        return
    experiment_id, experiment_stage, run_stage = stages
    if run_id is not None and run_stage != "active":
        why = "was deleted" if run_stage else "is not there"
        msg = (
            f"trainer.logger: the run {run_id} that the checkpoint is from {why} in {tracking_uri}; give its store as "
            "trainer.logger.init_args.tracking_uri, or go on without MLflow: --trainer.logger false"
        )
        raise ConfigError(msg)
    if experiment_stage == "deleted":
        msg = f"trainer.logger: {deleted_experiment(tracking_uri, experiment, experiment_id)}"
        raise ConfigError(msg)


def deleted_experiment(tracking_uri: str, experiment: str, experiment_id: str) -> str:
    """What to do about an experiment that was deleted."""
    return (
        f"the experiment {experiment!r} in {tracking_uri} was deleted; choose another name, or restore it: "
        f"MLFLOW_TRACKING_URI={tracking_uri} mlflow experiments restore --experiment-id {experiment_id}"
    )


def is_remote(tracking_uri: str) -> bool:
    """True for a server, False for files of this machine."""
    scheme, separator, _ = tracking_uri.partition(":")
    return bool(separator) and scheme not in ("file", "sqlite") and not Path(tracking_uri).exists()


#: Identifier of the experiment, its stage and that of the run ("active" or "deleted"); "" for what is not there.
_Stages = tuple[str, str, str]


def _stages(client: "MlflowClient", experiment: str, run_id: str | None) -> _Stages:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(experiment)
    run_stage = ""
    if run_id is not None:
        try:
            run_stage = client.get_run(run_id).info.lifecycle_stage
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return ("", "", run_stage) if found is None else (found.experiment_id, found.lifecycle_stage, run_stage)


def _stages_in_file(path: Path, experiment: str, run_id: str | None) -> _Stages:
    """The same, read from MLflow's tables without importing it; a missing file has nothing in it."""
    if not path.is_file() or not _has_experiments(path):
        return "", "", ""
    query = "select cast(experiment_id as text), lifecycle_stage from experiments where name = ?"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=ANSWER_SECONDS)) as file:
            found = file.execute(query, (experiment,)).fetchone() or ("", "")
            run = file.execute("select lifecycle_stage from runs where run_uuid = ?", (run_id,)).fetchone() or ("",)
    except sqlite3.Error as error:
        msg = f"trainer.logger: {path} of tracking_uri cannot be read: {error}; begin anyway: --offline"
        raise ConfigError(msg) from error
    return found[0], found[1], run[0]


def _ask(tracking_uri: str, question: "Callable[[MlflowClient], Answer]", hint: str = "") -> Answer:
    """What a store answers.

    Raises:
        ConfigError: If it refuses, cannot be reached, or is a server that takes longer than :data:`ANSWER_SECONDS`, or
            than the timeout that the user set.
    """
    quiet_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    hint = f"start it or correct the tracking_uri{hint}"
    patience = (_chosen(_TIMEOUT) or ANSWER_SECONDS) if is_remote(tracking_uri) else None
    try:
        with _one_attempt():
            return in_time(lambda: question(MlflowClient(absolute_uri(tracking_uri))), patience)
    except TimeoutError as error:
        msg = f"the MLflow server {tracking_uri} does not answer within {patience:g} s; {hint}"
        raise ConfigError(msg) from error
    except (MlflowException, OSError) as error:
        msg = f"MLflow cannot use {tracking_uri}: {reason_of(error)}; {hint}"
        raise ConfigError(msg) from error


#: What clients say of a connection that fails, and what it means.
_CAUSES = {
    "Connection refused": "no server listens at that address",
    "Failed to resolve|Name or service not known|nodename nor servname": "the host of that address is not known",
    "unreachable|No route to host": "the host of that address cannot be reached from here",
    "[Tt]imed out|[Tt]imeout": "the server does not answer in time",
    "SSL|CERTIFICATE": "the server's certificate or encryption cannot be used",
    "Connection reset|RemoteDisconnected|Connection aborted": "the server ended the connection",
}


def reason_of(error: Exception) -> str:
    """The cause of a failed connection in words, else the first line of what MLflow says."""
    text = str(error)
    if "Caused by" in text or isinstance(error, OSError):
        for pattern, words in _CAUSES.items():
            if re.search(pattern, text):
                return words
    caused = re.search(r"Caused by \w+\(.*?: ([^:\"]+)[\"']\)", text) or re.search(r"\(sqlite3\.\w+\) ([^\n]+)", text)
    return caused[1] if caused else text.splitlines()[0][:300] if text else type(error).__name__


def _chosen(name: str) -> float | None:
    """A number that the user set in the environment; None if it is this library's, or no number."""
    value = os.environ.get(name, _ENVIRONMENT[name])
    try:
        return None if value == _ENVIRONMENT[name] else float(value)
    except ValueError:
        return None


@contextmanager
def _one_attempt() -> Iterator[None]:
    """MLflow tries once, unless the user set how often."""
    if _chosen(_RETRIES) is not None:
        yield
        return
    os.environ[_RETRIES] = "0"
    try:
        yield
    finally:
        os.environ[_RETRIES] = _ENVIRONMENT[_RETRIES]


def require_store(tracking_uri: str) -> None:
    """Refuse a local store that is not there or not MLflow's: MLflow would create its tables in it.

    Raises:
        ConfigError: If so, or if ``tracking_uri`` is a bare path to a file.
    """
    hint = "run `remot fit` first or pass --tracking_uri"
    if tracking_uri.startswith(_SQLITE):
        path = local_path(tracking_uri) or Path()
        if not path.is_file():
            msg = f"there is no MLflow file {path} (tracking_uri {tracking_uri}); {hint}"
            raise ConfigError(msg)
        if not _has_experiments(path):
            msg = f"{path} is not an SQLite file that MLflow wrote; {hint}"
            raise ConfigError(msg)
    elif "://" not in tracking_uri:
        path = Path(tracking_uri.removeprefix("file:"))
        if path.is_file():
            msg = f"{tracking_uri} is a file; an SQLite store is written {_SQLITE}{path}"
            raise ConfigError(msg)
        if not path.is_dir():
            msg = f"there is no MLflow folder {path}; {hint}"
            raise ConfigError(msg)


def _has_experiments(path: Path) -> bool:
    """True if the file is an SQLite database with MLflow's table of experiments; never writes to it."""
    query = "select 1 from sqlite_master where type = 'table' and name = 'experiments'"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchone() is not None
    except sqlite3.Error:
        return False
