"""Delivers a run's records to MLflow from a thread of its own, so that no step waits for the store."""

import errno
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remot.deadline import in_time
from remot.errors import ConfigError
from remot.locks import take_lock
from remot.strict_json import json_text
from remot.terminal import write_err, write_out
from remot.tracking.client import absolute_uri, quiet_mlflow, reason_of
from remot.tracking.compare import CONTINUED_WITH, continued_with
from remot.tracking.groups import NOT_SET, settings_that_matter
from remot.tracking.journal import FOLDER, Journal, Target, plain_number
from remot.tracking.store import prepare_store

if TYPE_CHECKING:
    from filelock import FileLock
    from mlflow import MlflowClient

#: Longest value that MLflow takes, and where longer ones are stored whole.
MAX_PARAM_CHARS, LONG_SETTINGS_FILE = 6000, "long_settings.json"
_PARAMS_PER_CALL, _METRICS_PER_CALL = 100, 900
#: What MLflow takes for no part of a parameter's name, such as the bracket in that of a folder.
_NO_KEY = re.compile(r"[^/\w.\- :]")
_MAX_TAG_CHARS = 5000
#: Longest time of one delivery; of an upload of a text; of all that is left when a run ends; and of that if the store
#: fails at the end.
SEND_SECONDS, TEXT_SECONDS, FLUSH_SECONDS, LAST_TRY_SECONDS = 30.0, 300.0, 30.0, 5.0
#: Longest time in which a new database file is made; a server is asked for ``client.ANSWER_SECONDS`` only.
STORE_SECONDS = 300.0
#: Longest time of the upload of a checkpoint, which a step waits for.
UPLOAD_SECONDS = 3600.0
#: The thread sees within this time that its time is over.
EXIT_SECONDS = 1.0
#: Seconds between two tries: the first, and the longest.
RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 60.0
#: Tag by which a run is found again whose identifier got lost with the process.
KEY_TAG = "remot.journal"
#: What MLflow will never take, however often it is asked.
_REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


class Courier:
    """Takes records from a journal to MLflow in their order, once each, tried again for as long as the store fails.

    A point carries the time it was logged at, so that the store recognises one that it has been given twice.

    Args:
        journal: Of the run.
        report: Prints a line.
    """

    def __init__(self, journal: Journal, report: Callable[[str], None]) -> None:
        self.journal, self.report = journal, report
        self._client: MlflowClient | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._deadline = 0.0
        self._error: str | None = None
        self._thread: threading.Thread | None = None
        self._lock: FileLock | None = None

    @property
    def failure(self) -> str | None:
        """Why the latest delivery failed; None if it did not."""
        return self._error

    def wake(self) -> None:
        """There is a new record; begin to deliver if that has not begun."""
        self._wake.set()
        if self._thread is None or not self._thread.is_alive():
            self._closing.clear()
            self._thread = threading.Thread(target=self._work, name="remot-courier", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Wait a bounded time until everything is delivered; what is left is reported. A later record begins anew."""
        self.wake()
        assert self._thread is not None
        self._deadline = time.monotonic() + (FLUSH_SECONDS if self._error is None else LAST_TRY_SECONDS)
        self._closing.set()
        self._wake.set()
        while self._thread.is_alive() and time.monotonic() < self._deadline + EXIT_SECONDS:
            self._thread.join(0.02)
            if self._error is not None:
                self._deadline = min(self._deadline, time.monotonic() + LAST_TRY_SECONDS)
        left = self.journal.num_pending()
        if left:
            self.report(
                f"trainer.logger: {left} records wait in {self.journal.folder} ({self._error or 'the store is slow'}); "
                f"`remot sync {self.journal.folder.parent}` delivers them."
            )
        elif self.journal.folder.name != FOLDER:
            self.journal.remove()
        if self.journal.lost is not None:
            self.report(f"trainer.logger: records could not be kept in {self.journal.folder}: {self.journal.lost}")

    def _work(self) -> None:
        pause = 0.0
        try:
            while True:
                self._wake.clear()
                is_failing = self._try()
                if self._closing.is_set() and (not is_failing or time.monotonic() > self._deadline):
                    return
                if not is_failing:
                    pause = 0.0
                    self._wake.wait()
                elif self._closing.is_set():
                    time.sleep(0.2)
                else:
                    pause = min(2 * pause, MAX_RETRY_SECONDS) or RETRY_SECONDS
                    self._closing.wait(pause)
        finally:
            self.release()

    def release(self) -> None:
        """Let another process deliver the journal."""
        lock, self._lock = self._lock, None
        if lock is not None:
            with suppress(OSError):
                lock.release()

    def _try(self) -> bool:
        """Deliver what there is; True if that failed."""
        try:
            self.deliver()
        except Exception as error:  # noqa: BLE001 (whatever MLflow raises, the run is worth more)
            self._note(error)
            return True
        if self._error is not None:
            self._error = None
            self.report(f"trainer.logger: MLflow at {self.journal.target.tracking_uri} has taken what was kept.")
        return False

    def _note(self, error: Exception) -> None:
        is_first, self._error = self._error is None, reason_of(error)
        if is_first:
            self.report(
                f"trainer.logger: MLflow at {self.journal.target.tracking_uri} does not take what is logged "
                f"({self._error}). The run goes on; records are kept in {self.journal.folder} and delivered later."
            )

    # -- delivery ------------------------------------------------------------------------------------------------

    def deliver(self) -> None:
        """Deliver every record that was not delivered yet.

        Raises:
            Exception: What MLflow raises; the records that it has taken are not sent again.
        """
        self._acquire()
        self.ensure_run()
        while records := self.journal.pending():
            start = 0
            while start < len(records):
                start = self._send_some(records, start)
                self.journal.advance(records[start - 1][1])

    def _acquire(self) -> None:
        """Have the journal for this process; another one may be delivering it.

        Raises:
            ConfigError: If so.
        """
        if self._lock is not None:
            return
        try:
            self._lock = take_lock(self.journal.path)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            msg = f"the records in {self.journal.folder} are being delivered by another process, which goes on with it"
            raise ConfigError(msg) from error

    def is_run_lost(self) -> bool:
        """True if the store answers and has no such run, as one whose file was removed.

        Raises:
            Exception: What MLflow raises if it does not answer.
        """
        from mlflow.exceptions import MlflowException

        run_id = self.journal.target.run_id
        if run_id is None:
            return False
        try:
            in_time(lambda: self.client().get_run(run_id), SEND_SECONDS)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return True
        return False

    def ensure_run(self) -> None:
        """Make the experiment and the run, unless the store has them."""
        target = self.journal.target
        if target.run_id is not None:
            return
        in_time(lambda: prepare_store(target.tracking_uri, target.experiment, target.artifact_location), STORE_SECONDS)
        experiment_id, run_id = in_time(lambda: self._made(target), SEND_SECONDS)
        self.journal.set_target(run_id=run_id, experiment_id=experiment_id)

    def _made(self, target: Target) -> tuple[str, str]:
        from mlflow.tracking.context.registry import resolve_tags

        client = self.client()
        experiment_id = str(client.get_experiment_by_name(target.experiment).experiment_id)
        for run in client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{target.key}'", max_results=1):
            return experiment_id, str(run.info.run_id)
        tags = resolve_tags({**target.tags, KEY_TAG: target.key})
        run = client.create_run(experiment_id, tags=tags, run_name=target.run_name)
        return experiment_id, str(run.info.run_id)

    def client(self) -> "MlflowClient":
        """Of the store."""
        if self._client is None:
            quiet_mlflow()
            from mlflow import MlflowClient

            self._client = MlflowClient(absolute_uri(self.journal.target.tracking_uri))
        return self._client

    def _send_some(self, records: Sequence[tuple[dict[str, Any], int]], start: int) -> int:
        """Send one record, or the metrics of several; returns the number of the next one."""
        from mlflow.entities import Metric

        end, metrics = start, list[Metric]()
        while end < len(records) and records[end][0].get("kind") == "metrics" and len(metrics) < _METRICS_PER_CALL:
            record = records[end][0]
            time_ms, step = int(record["time_ms"]), int(record["step"])
            metrics += [Metric(name, float(value), time_ms, step) for name, value in record["metrics"].items()]
            end += 1
        if metrics:
            self._send(lambda client, run_id: client.log_batch(run_id, metrics=metrics))
            return end
        self._send_other(records[start][0])
        return start + 1

    def _send_other(self, record: Mapping[str, Any]) -> None:
        kind = record.get("kind")
        if kind == "text":
            text = self.journal.text(record["file"])
            if text is None:  # another store has taken it
                return
            if self._send(lambda client, run_id: client.log_text(run_id, text, record["artifact"]), TEXT_SECONDS):
                self.journal.forget_text(record["file"])
        elif kind == "tags":
            self._send(lambda client, run_id: _set_tags(client, run_id, record["tags"]))
        elif kind == "settings":
            self._send(lambda client, run_id: store_settings(client, run_id, record["settings"]))
        elif kind == "dataset":
            self._send(lambda client, run_id: _log_dataset(client, run_id, record))
        elif kind == "params":
            self._send(lambda client, run_id: _log_params(client, run_id, record["params"]))
        elif kind == "status":
            status, time_ms = record["status"], record["time_ms"]
            if status == "RUNNING":
                self._send(lambda client, run_id: client.update_run(run_id, status=status))
            else:
                self._send(lambda client, run_id: client.set_terminated(run_id, status, time_ms))

    def _send(self, call: "Callable[[MlflowClient, str], object]", seconds: float | None = None) -> bool:
        """Whether MLflow has taken it; False if it never will."""
        from mlflow.exceptions import MlflowException

        client, run_id = self.client(), self.journal.target.run_id
        assert run_id is not None
        try:
            in_time(lambda: call(client, run_id), SEND_SECONDS if seconds is None else seconds)
        except MlflowException as error:
            if error.error_code not in _REFUSED:
                raise
            self.report(f"trainer.logger: MLflow refuses a record: {str(error).splitlines()[0][:300]}")
            return False
        return True


def _set_tags(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    for name, value in tags.items():
        client.set_tag(run_id, name, value)


def _log_params(client: "MlflowClient", run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    listed = [Param(_NO_KEY.sub("_", name), value) for name, value in params.items()]
    for start in range(0, len(listed), _PARAMS_PER_CALL):
        client.log_batch(run_id, params=listed[start : start + _PARAMS_PER_CALL])


def _log_dataset(client: "MlflowClient", run_id: str, record: Mapping[str, Any]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json_text({"uri": record["source"]})
    found = Dataset(record["name"], record["digest"], "local", source)
    client.log_inputs(run_id, [DatasetInput(found, [InputTag("mlflow.data.context", "training")])])


def store_settings(client: "MlflowClient", run_id: str, settings: Mapping[str, str]) -> None:
    """Log settings as MLflow parameters.

    MLflow never changes a parameter: those of a continued run stay, and what differs is added to the tag
    ``remot.continued_with``, so that ``remot compare`` does not take the run for one of its first settings.
    """
    held = client.get_run(run_id).data
    if held.params:
        changes = _changes(settings, held.params, continued_with(held.tags))
        text = json_text(changes)
        text = text if len(text) <= _MAX_TAG_CHARS else json_text({"settings": [short(text)]})
        client.set_tag(run_id, CONTINUED_WITH, text)
    else:
        _log_params(client, run_id, settings)


def short(text: str) -> str:
    """A value as MLflow takes it: a longer one by its hash, and :data:`LONG_SETTINGS_FILE` holds it whole."""
    if len(text) <= MAX_PARAM_CHARS:
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256:{digest}, {len(text)} characters in {LONG_SETTINGS_FILE}"


def _changes(now: Mapping[str, str], first: Mapping[str, str], later: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The values of each setting after the first one, this time's added where it is another."""
    changes = {key: list(values) for key, values in later.items()}
    for key in settings_that_matter({**first, **now}):
        before = changes[key][-1] if changes.get(key) else first.get(key, NOT_SET)
        if now.get(key, NOT_SET) != before:
            changes.setdefault(key, []).append(now.get(key, NOT_SET))
    return changes


@dataclass(eq=False)
class SpoolingClient:
    """The part of ``MlflowClient`` that writes, on a journal; what else is asked for is asked of the store at once.

    Args:
        journal: Of the run.
        courier: Delivers it.
    """

    journal: Journal
    courier: Courier

    def log_batch(
        self,
        run_id: str,  # noqa: ARG002 (MLflow's signature; a journal is of one run)
        metrics: Sequence[Any] = (),
        params: Sequence[Any] = (),
        tags: Sequence[Any] = (),
        **_: object,
    ) -> None:
        """Keep metrics, parameters and tags; points that an earlier process of this run has logged are left out."""
        by_step: dict[tuple[int, int], dict[str, float | str]] = {}
        for one in metrics:
            if (one.key, one.step) not in self.journal.logged_before:
                by_step.setdefault((one.step, one.timestamp), {})[one.key] = plain_number(one.value)
        for (step, time_ms), numbers in by_step.items():
            self._keep({"kind": "metrics", "step": step, "time_ms": time_ms, "metrics": numbers})
        if params:
            self._keep({"kind": "params", "params": {one.key: one.value for one in params}})
        if tags:
            self._keep({"kind": "tags", "tags": {one.key: one.value for one in tags}})

    def log_settings(self, settings: Mapping[str, str]) -> None:
        """Keep what :func:`store_settings` takes."""
        self._keep({"kind": "settings", "settings": dict(settings)})

    def log_dataset(self, name: str, digest: str, source: str) -> None:
        """Keep what the run was trained on."""
        self._keep({"kind": "dataset", "name": name, "digest": digest, "source": source})

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:  # noqa: ARG002
        """Keep a text for an artifact."""
        file = self.journal.keep_text(text, artifact_file)
        self._keep({"kind": "text", "artifact": artifact_file, "file": file})

    def set_tag(self, run_id: str, key: str, value: object, **_: object) -> None:  # noqa: ARG002
        """Keep a tag."""
        self._keep({"kind": "tags", "tags": {key: str(value)}})

    def set_terminated(
        self,
        run_id: str,  # noqa: ARG002
        status: str | None = None,
        end_time: int | None = None,
    ) -> None:
        """Keep the status, and wait a bounded time for all to be delivered."""
        time_ms = end_time if end_time is not None else int(time.time() * 1000)
        self._keep({"kind": "status", "status": status or "FINISHED", "time_ms": time_ms})
        self.courier.finish()

    def get_run(self, run_id: str) -> object:
        """The run; of one that the store does not have yet only that it will be there."""
        if self.journal.target.run_id is None or run_id == self.journal.target.known_id:
            return self.journal.target
        return self.courier.client().get_run(run_id)

    def log_artifact(self, run_id: str, local_path: str, artifact_path: str | None = None) -> None:  # noqa: ARG002
        """Upload a file, such as a checkpoint of ``log_model``; one that is not taken is reported."""
        self._upload("log_artifact", local_path, artifact_path)

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str | None = None) -> None:  # noqa: ARG002
        """Upload a folder likewise."""
        self._upload("log_artifacts", local_dir, artifact_path)

    def _upload(self, method: str, path: str, artifact_path: str | None) -> None:
        run_id, reason = self.journal.target.run_id, self.courier.failure
        if run_id is not None and reason is None:
            try:
                upload = getattr(self.courier.client(), method)
                in_time(lambda: upload(run_id, path, artifact_path), UPLOAD_SECONDS)
            except Exception as error:  # noqa: BLE001 (whatever MLflow raises, the run is worth more)
                reason = reason_of(error)
            else:
                return
        self.courier.report(f"trainer.logger: {path} was not uploaded ({reason or 'the run is not made yet'}).")

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (any of MLflow's methods)
        """Other methods are those of the store's client."""
        return getattr(self.courier.client(), name)

    def _keep(self, record: Mapping[str, Any]) -> None:
        self.journal.append(record)
        self.courier.wake()


def sync_command(run: str, tracking_uri: str | None = None, experiment: str | None = None) -> None:
    """Deliver what runs have kept because MLflow did not take it.

    Args:
        run: Folder of a run, or one that holds folders of runs, such as runs.
        tracking_uri: Another store than the one the run was started with.
        experiment: Another experiment, as for one that was deleted.
    """
    found = sorted(path.parent for path in Path(run).rglob("records.jsonl") if path.parent.name.startswith(FOLDER))
    if not found:
        msg = f"below {run} there are no records of runs"
        raise ConfigError(msg)
    lines: list[str] = []
    for folder in found:
        journal = Journal(folder)
        elsewhere = {"tracking_uri": tracking_uri, "experiment": experiment}
        changed = {key: value for key, value in elsewhere.items() if value not in (None, getattr(journal.target, key))}
        courier = Courier(journal, lines.append)
        left = 0
        try:
            if changed or courier.is_run_lost():
                journal.set_target(**changed, run_id=None, experiment_id=None)
                journal.advance(0)  # the run that is made now lacks what the other one has taken
            left = journal.num_pending()
            courier.deliver()
        except Exception as error:
            uri, left = journal.target.tracking_uri, journal.num_pending()
            msg = f"{left} records in {folder} were not delivered to {uri}: {reason_of(error)}"
            raise ConfigError(msg) from error
        finally:
            courier.release()
        write_out(f"{folder.parent}: {left} records delivered to run {journal.target.run_id}\n")
    for line in lines:
        write_err(f"{line}\n")
