"""A quiet MLflow client that never creates what it was asked to read."""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from remot.errors import ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"


def quiet_mlflow() -> None:
    """Keep MLflow's INFO lines off the terminal and its usage reports off the network.

    Best called before MLflow is imported. Settings the user made in the environment win.
    """
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("mlflow", "alembic", "lightning.pytorch.loggers.mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR if name.startswith("lightning") else logging.WARNING)


def open_client(tracking_uri: str) -> "MlflowClient":
    """An ``MlflowClient`` on an existing store.

    Raises:
        ConfigError: If the store's file or folder does not exist or is not an MLflow store.
    """
    require_store(tracking_uri)
    quiet_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(tracking_uri)
        client.search_experiments(max_results=1)
    except MlflowException as error:
        msg = f"MLflow cannot read {tracking_uri}: {str(error).splitlines()[0]}"
        raise ConfigError(msg) from error
    return client


def require_store(tracking_uri: str) -> None:
    """Refuse a local store that is not there or not MLflow's: MLflow would create its tables in it.

    Raises:
        ConfigError: If so, or if ``tracking_uri`` is a bare path to a file.
    """
    hint = "run `remot fit` first or pass --tracking_uri"
    if tracking_uri.startswith(_SQLITE):
        path = Path(tracking_uri.removeprefix(_SQLITE).partition("?")[0])
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
