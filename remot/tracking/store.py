"""Opens MLflow's store for writing: one process at a time makes its tables and the experiment."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remot.errors import ConfigError
from remot.locks import take_lock
from remot.tracking.client import absolute_uri, local_path, quiet_mlflow

#: A wait ends after this long, in case the process that holds the lock hangs; making the tables takes some seconds.
MAX_WAIT_SECONDS = 300.0


def prepare_store(tracking_uri: str, experiment: str, artifact_location: str | None = None) -> None:
    """Make the store's tables and the experiment if they are not there, in one process at a time.

    MLflow itself does both without a lock: of several processes all but one end in its migrations or in a constraint
    of its tables.

    Raises:
        ConfigError: If the store cannot be opened, the experiment has been deleted, or another process holds the lock.
    """
    quiet_mlflow()
    with one_process_at_a_time(local_path(tracking_uri)):
        _require_experiment(tracking_uri, experiment, artifact_location)


def _require_experiment(tracking_uri: str, experiment: str, artifact_location: str | None) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError  # what MLflow's stores are made with

    try:
        client = MlflowClient(absolute_uri(tracking_uri))
        found = client.get_experiment_by_name(experiment)
        if found is None:
            client.create_experiment(experiment, artifact_location=artifact_location)
    except (MlflowException, OSError, SQLAlchemyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = f"trainer.logger: MLflow cannot open {tracking_uri}: {reason}; begin anyway: --offline"
        raise ConfigError(msg) from error
    if found is not None and found.lifecycle_stage == "deleted":
        msg = (
            f"trainer.logger: the experiment {experiment} of {tracking_uri} was deleted; choose another "
            f"experiment_name, or restore it with `mlflow experiments restore -x {found.experiment_id}`"
        )
        raise ConfigError(msg)


@contextmanager
def one_process_at_a_time(path: Path | None) -> Iterator[None]:
    """Hold the lock file ``PATH.lock`` while the body runs; without a path there is nothing to hold.

    Raises:
        ConfigError: If another process holds it for five minutes.
    """
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = take_lock(path, MAX_WAIT_SECONDS)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        msg = (
            f"trainer.logger: another process has been holding {error.filename} for {MAX_WAIT_SECONDS:.0f} s; "
            "end the run that hangs while it opens the MLflow store"
        )
        raise ConfigError(msg) from error
    try:
        yield
    finally:
        lock.release()
