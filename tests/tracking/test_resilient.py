"""A logger that fails while a run goes on: a local server that stops answering after some requests, and a full disk."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import Logger, MLFlowLogger

from remot.callbacks import RunSummary
from remot.tracking import courier, guard_logger, log_run_facts, log_samples_html, mark_killed, resilient

RUN = {"info": {"run_id": "r1", "experiment_id": "1", "status": "RUNNING", "lifecycle_stage": "active"}, "data": {}}
EXPERIMENT = {
    "experiment_id": "1",
    "name": "e",
    "lifecycle_stage": "active",
    "artifact_location": "mlflow-artifacts:/1",
}


class FakeServer(ThreadingHTTPServer):
    """MLflow's REST interface for one run; after ``good`` records of metrics it fails as ``fault`` says."""

    daemon_threads = True

    def __init__(self, fault, good):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fault, self.good, self.steps, self.statuses = fault, good, [], []
        self.uri = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def is_broken(self):
        return len(self.steps) >= self.good


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.do_POST()

    def do_PATCH(self):
        self.do_POST()

    def do_PUT(self):
        self.do_POST()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.is_broken:
            if self.server.fault == "hangs":
                time.sleep(30)
            elif self.server.fault == "500":
                self.reply({"error_code": "INTERNAL_ERROR", "message": "disk full"}, 500)
            return  # closes the connection without a reply
        if self.path.endswith("log-batch"):
            self.server.steps += sorted({metric["step"] for metric in json.loads(body).get("metrics", ())})
        if self.path.endswith("runs/update"):
            self.server.statuses.append(json.loads(body)["status"])
        self.reply({"experiment": EXPERIMENT, "run": RUN, "run_info": RUN["info"]})

    def reply(self, content, status=200):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def forget_artifacts(monkeypatch, tmp_path):
    """MLflow keeps where a run's artifacts are by its id, which all runs of the fake server share."""
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def broken(monkeypatch):
    """Makes a server and a logger of it; MLflow tries once, a call may take a fraction of a second."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    servers = []

    def make(fault, good):
        servers.append(FakeServer(fault, good))
        return servers[-1], MLFlowLogger("e", tracking_uri=servers[-1].uri)

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


class Module(BoringModel):
    """Logs as the training module does: straight to the loggers, with a number that is not finite."""

    def training_step(self, batch, batch_idx):
        for logger in self.loggers:
            logger.log_metrics({"train/loss": float(batch_idx), "train/logic": float("nan")}, step=self.global_step)
        return super().training_step(batch, batch_idx)


class Summary(RunSummary):
    """Without what needs a policy."""

    def on_fit_start(self, trainer: Trainer, _: LightningModule) -> None:
        log_run_facts(trainer.loggers, config_text=None, tags={})


def fit(logger, folder, steps=6):
    Trainer(
        max_steps=steps,
        limit_val_batches=0,
        logger=logger,
        callbacks=[Summary(export=False), ModelCheckpoint(folder)],
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        default_root_dir=folder,
    ).fit(Module(), BoringModel().train_dataloader())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("fault", ["dies", "500", "hangs"])
def test_a_run_outlives_its_server(fault, broken, tmp_path, monkeypatch, capsys):
    """Of six steps the server takes two at most; all are in the journal, whose folder both lines name."""
    monkeypatch.setattr(courier, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(courier, "LAST_TRY_SECONDS", 0.3)
    server, logger = broken(fault, good=2)
    started = time.monotonic()
    fit(logger, tmp_path)
    assert time.monotonic() - started < 5
    assert server.steps == list(range(len(server.steps)))
    records = [
        json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "tracking" / "records.jsonl").open()
    ]
    assert [(record["step"], record["metrics"]) for record in records if record["kind"] == "metrics"] == [
        (step, {"train/loss": float(step), "train/logic": "nan"}) for step in range(6)
    ]
    warning, end = [line for line in capsys.readouterr().err.splitlines() if "trainer.logger" in line]
    assert str(tmp_path / "tracking") in warning
    assert f"remot sync {tmp_path}" in end


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_good_server_gets_everything_and_the_status(broken, tmp_path, capsys):
    server, logger = broken("", good=1000)
    fit(logger, tmp_path)
    assert (server.steps, server.statuses) == ([0, 1, 2, 3, 4, 5], ["FINISHED"])
    assert not (tmp_path / resilient.METRICS_FILE).exists()
    assert "trainer.logger" not in capsys.readouterr().err


class Failing(Logger):
    """Takes nothing while ``error`` is set."""

    name, version = "failing", "0"

    def __init__(self, error):
        super().__init__()
        self.error, self.taken = error, []

    def log_hyperparams(self, params):
        self._take(params)

    def log_metrics(self, metrics, step=None):
        assert metrics == {"x": 1.0}
        self._take(step)

    def finalize(self, status):
        self._take(status)

    def _take(self, what):
        if self.error is not None:
            raise self.error
        self.taken.append(what)


def test_a_logger_that_recovers_goes_on(tmp_path, monkeypatch):
    """Between two tries it is left alone; what it takes again stands in the file too, which begins at the failure."""
    clock = [0.0]
    monkeypatch.setattr(resilient.time, "monotonic", lambda: clock[0])
    logger, lines = Failing(OSError(28, "No space left on device")), []
    guard_logger(logger, tmp_path, lines.append)
    logger.log_hyperparams({"a": 1})
    logger.log_metrics({"x": 1.0}, step=1)
    logger.error = None
    logger.log_metrics({"x": 1.0}, step=2)
    assert logger.taken == []
    clock[0] = resilient.RETRY_SECONDS
    logger.log_metrics({"x": 1.0}, step=3)
    logger.finalize("success")
    assert logger.taken == [3, "success"]
    assert [json.loads(line)["step"] for line in (tmp_path / resilient.METRICS_FILE).open()] == [1, 2, 3]
    assert "No space left" in lines[0]
    assert ("settings" in lines[1], "2 metric records" in lines[1], len(lines)) == (True, True, 2)


def test_a_full_disk_takes_neither(tmp_path):
    """Neither logger nor file: the run goes on, and the end reports that the numbers are gone."""
    logger, lines = Failing(OSError(28, "No space left on device")), []
    folder = tmp_path / "file"
    folder.write_text("")
    guard_logger(logger, folder, lines.append)
    for step in range(3):
        logger.log_metrics({"x": 1.0}, step=step)
    logger.finalize("failed")
    assert len(lines) == 3
    assert "cannot be written" in lines[1]
    assert "could not be kept" in lines[2]


def test_pages_facts_and_status_do_not_end_a_run(broken, tmp_path, monkeypatch):
    monkeypatch.setattr(courier, "LAST_TRY_SECONDS", 0.3)
    server, logger = broken("dies", good=1)
    assert logger.run_id == "r1"
    lines = []
    guard_logger(logger, tmp_path, lines.append)
    logger.log_metrics({"x": 1.0}, step=0)
    log_samples_html([logger], "<p>ä</p>", "step_000040")
    log_run_facts([logger], config_text="a: 1\n", tags={})
    mark_killed([logger])
    kept = {path.name.partition("-")[2]: path.read_text() for path in (tmp_path / "tracking" / "texts").iterdir()}
    assert kept == {"step_000040.html": "<p>ä</p>", "config.yaml": "a: 1\n"}
    assert server.statuses == []
    assert len(lines) == 2, lines
