"""Keeps a run going when one of its loggers fails: MLflow's by a journal, others by a guard around their methods."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from lightning.pytorch.loggers import Logger, MLFlowLogger

from remot.deadline import in_time
from remot.errors import RemotError
from remot.strict_json import json_text
from remot.tracking.client import absolute_uri, reason_of
from remot.tracking.courier import Courier, SpoolingClient
from remot.tracking.journal import FOLDER, Journal, Target, new_key

#: Longest time of one call in seconds: numbers, which a step waits for; settings; uploads of checkpoints.
METRICS_SECONDS, CALL_SECONDS, UPLOAD_SECONDS = 1.0, 20.0, 3600.0
#: A logger that failed is tried again after this long.
RETRY_SECONDS = 300.0
METRICS_FILE = "metrics_not_logged.jsonl"
#: Longest wait for a run to be made in the store when it begins.
START_SECONDS = 15.0
METRICS = "metric records"
#: A logger's methods that write, and what is lost where one fails.
_WRITES = {
    "log_metrics": METRICS,
    "log_hyperparams": "settings",
    "log_graph": "graphs",
    "save": "saves",
    "after_save_checkpoint": "checkpoints",
    "finalize": "the run's status",
}
_CHECKPOINT_WRITES = ("after_save_checkpoint", "finalize")


class LoggerGuard:
    """Guards the calls of one logger: the first that fails or hangs is reported, and the run goes on.

    From the first failure on every record of metrics is also written to ``metrics_not_logged.jsonl``, a line of strict
    JSON each. The logger is tried again every :data:`RETRY_SECONDS`; between two tries it costs no time.
    """

    def __init__(self, logger: Logger, folder: Path, report: Callable[[str], None]) -> None:
        self.name = type(logger).__name__
        self.folder = folder
        self.report = report
        self.lost: Counter[str] = Counter()
        self._step: int | None = None  # of the latest metrics
        self._first_step: int | None = None  # of the first failure
        self._reason = ""
        self._retry_at = 0.0
        self._local_error: OSError | None = None
        self._reported: Counter[str] = Counter()

    def attempt(
        self, what: str, call: Callable[[], object], seconds: float | None = None, *, last: bool = False
    ) -> bool:
        """Whether ``call`` worked."""
        if not last and time.monotonic() < self._retry_at:
            self.lost[what] += 1
            return False
        try:
            in_time(call, CALL_SECONDS if seconds is None else seconds)
        except Exception as error:  # noqa: BLE001 (whatever a logger raises, the run is worth more)
            is_first = not self.lost
            self._reason = " ".join(str(error).split())[:300] or type(error).__name__
            self.lost[what] += 1
            self._retry_at = time.monotonic() + RETRY_SECONDS
            if is_first and not last:
                self._first_step = self._step
                step = "" if self._step is None else f" after step {self._step}"
                self.report(
                    f"trainer.logger: {self.name} failed{step} and lacks {what} from here on ({self._reason}). The run "
                    f"goes on, the logger is tried again every {RETRY_SECONDS:g} s. {self._where()}"
                )
            return False
        return True

    def metrics(self, call: Callable[[], object], metrics: Mapping[str, Any], step: int | None) -> None:
        """Log metrics, or keep them."""
        self._step = step if step is not None else self._step
        self.attempt(METRICS, call, METRICS_SECONDS)
        if self.lost:
            numbers = {name: float(value) for name, value in metrics.items() if not isinstance(value, str)}
            self._keep(METRICS_FILE, json_text({"step": step, "time": time.time(), "metrics": numbers}) + "\n")

    def end(self, call: Callable[[], object], seconds: float) -> None:
        """Finish the logger, and report what it lacks."""
        self.attempt(_WRITES["finalize"], call, seconds, last=True)
        if self.lost != self._reported:
            self._reported = self.lost.copy()
            lost = ", ".join(f"{number} {what}" if number > 1 else what for what, number in self.lost.items())
            where = "" if set(self.lost) == {_WRITES["finalize"]} else f" {self._where()}"
            self.report(f"trainer.logger: {self.name} lacks {lost} ({self._reason}).{where}")

    def _where(self) -> str:
        if self._local_error is not None:
            return f"They could not be kept in {self.folder} either: {self._local_error}"
        since = "" if self._first_step is None else f" after step {self._first_step}"
        return f"Metrics{since} are kept in {self.folder / METRICS_FILE}."

    def _keep(self, name: str, text: str) -> None:
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            if self._local_error is None:
                self._local_error = error
                self.report(f"trainer.logger: {self.name} failed, and {path} cannot be written: {error}")


_GUARDS: WeakKeyDictionary[Logger, LoggerGuard] = WeakKeyDictionary()


def guard_logger(logger: Logger, folder: Path, report: Callable[[str], None]) -> None:
    """Let no write of ``logger`` end or hold up the run; a logger is guarded once, then its folder is updated.

    The logger keeps its class, which callbacks check.
    """
    if isinstance(logger, MLFlowLogger):
        if isinstance(logger._mlflow_client, SpoolingClient):
            logger._mlflow_client.courier.report = report
        else:
            spool_logger(logger, folder / FOLDER, report)
    elif (known := _GUARDS.get(logger)) is not None:
        known.folder, known.report = folder, report
    else:
        guard = _GUARDS[logger] = LoggerGuard(logger, folder, report)
        for method in _WRITES:
            if hasattr(logger, method):
                uploads = method in _CHECKPOINT_WRITES and getattr(logger, "_log_model", False)
                seconds = UPLOAD_SECONDS if uploads else CALL_SECONDS
                setattr(logger, method, _guarded(guard, method, getattr(logger, method), seconds))


def spool_logger(
    logger: MLFlowLogger, folder: Path, report: Callable[[str], None], *, wait_for_store: bool = True
) -> None:
    """Have MLflow's logger write to a journal, which a thread delivers.

    Args:
        logger: Of the trainer.
        folder: For the journal; one that is there already is continued.
        report: Prints a line.
        wait_for_store: Let the store make the run before the training begins, if it does so within
            :data:`START_SECONDS`; otherwise it is made later.
    """
    now = Target(
        absolute_uri(logger._tracking_uri),
        logger._experiment_name,
        logger._artifact_location,
        logger._run_name,
        {key: str(value) for key, value in (logger.tags or {}).items()},
        new_key(),
        logger._run_id,
        logger._experiment_id,
    )
    journal = Journal(folder, now)
    courier = Courier(journal, report)
    if wait_for_store and journal.target.run_id is None:
        try:
            in_time(courier.ensure_run, START_SECONDS)
        except RemotError:
            raise
        except Exception as error:  # noqa: BLE001 (the store answered a moment ago)
            where, why = now.tracking_uri, reason_of(error)
            report(f"trainer.logger: MLflow at {where} has not made the run ({why}); it is made later.")
    if journal.path.exists():
        journal.append({"kind": "status", "status": "RUNNING", "time_ms": 0})
    logger._mlflow_client = SpoolingClient(journal, courier)
    logger._run_id, logger._experiment_id = journal.target.known_id, journal.target.experiment_id
    logger._initialized = True


def _guarded(guard: LoggerGuard, method: str, write: Callable[..., object], seconds: float) -> Callable[..., None]:
    """The method ``write`` of a logger, which no longer raises."""

    def log_metrics(metrics: Mapping[str, Any], step: int | None = None, **others: object) -> None:
        guard.metrics(lambda: write(metrics, step=step, **others), metrics, step)

    def finalize(*arguments: object, **named: object) -> None:
        guard.end(lambda: write(*arguments, **named), seconds)

    def other(*arguments: object, **named: object) -> None:
        guard.attempt(_WRITES[method], lambda: write(*arguments, **named), seconds)

    return {"log_metrics": log_metrics, "finalize": finalize}.get(method, other)
