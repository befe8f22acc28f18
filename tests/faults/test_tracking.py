"""MLflow that is dead, hangs, gets lost, is locked or full: no step waits, and every point arrives once."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from lightning.pytorch.loggers import MLFlowLogger

from remot.cli import main
from remot.errors import ConfigError
from remot.tracking import courier, guard_logger, journal, prepare_store, require_writable, spool_logger
from remot.tracking.journal import Journal, known_run_id
from tests.faults.table import row
from tests.tracking.test_resilient import FakeServer, forget_artifacts  # noqa: F401 (a fixture)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setattr(courier, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(courier, "MAX_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(courier, "LAST_TRY_SECONDS", 0.5)
    monkeypatch.setattr(courier, "SEND_SECONDS", 1.0)


@pytest.fixture
def server():
    servers = []

    def make(fault="", good=10**6):
        servers.append(FakeServer(fault, good))
        return servers[-1]

    yield make
    for one in servers:
        one.shutdown()
        one.server_close()


def spooled(uri, folder, lines, **settings):
    logger = MLFlowLogger("e", tracking_uri=uri)
    spool_logger(logger, folder / "tracking", lines.append, **settings)
    return logger


def log_steps(logger, steps):
    """Log a point a step; the longest time of one."""
    longest = 0.0
    for step in steps:
        started = time.monotonic()
        logger.log_metrics({"x": float(step), "nan": float("nan")}, step=step)
        longest = max(longest, time.monotonic() - started)
    return longest


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("fault", ["dies", "500", "hangs"])
def test_a_server_lost_in_the_middle_gets_every_point_once_when_it_is_back(fault, server, tmp_path):
    """Two of twelve points before it fails; no step waits; the others arrive when it answers again."""
    broken, lines = server(fault, good=2), []
    logger = spooled(broken.uri, tmp_path, lines)
    log_steps(logger, range(2))
    until(lambda: len(broken.steps) >= 2)
    assert log_steps(logger, range(2, 12)) < 0.5
    until(lambda: lines)
    assert "records are kept in" in lines[0]
    broken.good = 10**6
    until(lambda: len(broken.steps) >= 12)
    logger.finalize("success")
    assert Counter(broken.steps) == Counter(range(12))
    assert broken.statuses[-1] == "FINISHED"
    assert [line for line in lines if "has taken what was kept" in line]
    assert not [line for line in lines if "remot sync" in line]


def test_a_store_that_is_made_may_take_longer_than_a_delivery(tmp_path, monkeypatch):
    """A database file of many tables takes half a minute where other work has the processor."""
    monkeypatch.setattr(courier, "prepare_store", lambda *_: time.sleep(1.2))
    monkeypatch.setattr(courier.Courier, "_made", lambda *_: ("1", "run"))
    held = journal.Journal(tmp_path, journal.Target("sqlite:///new.db", "e", None, None, {}, "key"))
    courier.Courier(held, print).ensure_run()
    assert held.target.run_id == "run"


def test_what_is_left_at_the_end_is_named_and_can_be_delivered(server, tmp_path, capsys):
    broken, lines = server("dies", good=1), []
    logger = spooled(broken.uri, tmp_path, lines)
    log_steps(logger, range(1))
    until(lambda: broken.steps)
    log_steps(logger, range(1, 5))
    logger.experiment.log_text(logger.run_id, "page", "samples/a.html")
    started = time.monotonic()
    logger.finalize("failed")
    assert time.monotonic() - started < 10
    assert f"remot sync {tmp_path}" in lines[-1]
    assert "6 records wait" in lines[-1]
    with pytest.raises(SystemExit):
        main(["sync", str(tmp_path)])
    assert "6 records" in capsys.readouterr().err
    broken.good = 10**6
    main(["sync", str(tmp_path)])
    assert "6 records delivered" in capsys.readouterr().out
    assert Counter(broken.steps) == Counter(range(5))
    assert broken.statuses == ["FAILED"]
    main(["sync", str(tmp_path)])
    assert "0 records delivered" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["sync", str(tmp_path / "tracking" / "texts")])


def test_an_upload_that_fails_ends_no_run(server, tmp_path):
    """As of checkpoints with ``log_model``: reported; not tried while the store fails."""
    broken, lines = server("dies", good=1), []
    logger = spooled(broken.uri, tmp_path, lines)
    log_steps(logger, range(1))
    until(lambda: broken.steps)
    logger.experiment.log_artifact(logger.run_id, "last.ckpt", "last")
    assert "last.ckpt was not uploaded" in lines[0]
    log_steps(logger, range(1, 3))
    until(lambda: len(lines) == 2)
    started = time.monotonic()
    logger.experiment.log_artifacts(logger.run_id, "folder", "last")
    assert time.monotonic() - started < 0.2
    assert "folder was not uploaded" in lines[2]


def test_a_run_begins_offline_and_is_made_later(server, tmp_path):
    """Nothing listens at the port; a checkpoint names the run by what stands for it."""
    good = server()
    dead = FakeServer("", 1)
    dead.shutdown()
    dead.server_close()
    lines, started = [], time.monotonic()
    logger = spooled(dead.uri, tmp_path, lines, wait_for_store=False)
    assert time.monotonic() - started < 0.5
    name = logger.run_id
    assert name.startswith(journal.PENDING)
    assert known_run_id(tmp_path, name) is None
    assert log_steps(logger, range(5)) < 0.5
    logger.finalize("success")
    main(["sync", str(tmp_path), "--tracking_uri", good.uri])
    assert good.steps == [0, 1, 2, 3, 4]
    assert known_run_id(tmp_path, name) == "r1"


def test_a_store_that_does_not_answer_is_refused_within_seconds_unless_offline(server):
    hanging = server("hangs", good=0)
    started = time.monotonic()
    with pytest.raises(ConfigError, match="--offline"):
        require_writable(hanging.uri, "e")
    assert time.monotonic() - started < 7


# -- a store in a file -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """An SQLite store with MLflow's tables, which take seconds to make."""
    path = tmp_path_factory.mktemp("store") / "m.db"
    prepare_store(f"sqlite:///{path}", "e")
    return path


@pytest.fixture
def store(tmp_path, monkeypatch, template):
    """A copy of it, and what points are in it, read without MLflow."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(template, tmp_path / "m.db")

    def points():
        with closing(sqlite3.connect(tmp_path / "m.db")) as file:
            return Counter(file.execute("select key, step from metrics where key = 'x'").fetchall())

    return f"sqlite:///{tmp_path / 'm.db'}", points


def wanted(steps):
    return Counter({("x", step): 1 for step in steps})


@pytest.mark.timeout(120)
def test_a_locked_store_and_a_full_one_hold_up_no_step(store, tmp_path):
    uri, points = store
    lines = []
    logger = spooled(uri, tmp_path / "run", lines)
    log_steps(logger, range(3))
    until(lambda: points() == wanted(range(3)))
    with closing(sqlite3.connect(tmp_path / "m.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        assert log_steps(logger, range(3, 6)) < 0.5
        time.sleep(0.3)
        other.execute("rollback")
    until(lambda: points() == wanted(range(6)), 60)
    with closing(sqlite3.connect(tmp_path / "m.db")) as other:
        pages = other.execute("pragma page_count").fetchone()[0]
    engines = list(logger._mlflow_client.courier.client()._tracking_client.store._engine_map.values())
    assert engines
    for engine in engines:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"pragma max_page_count = {pages}")
    logger._mlflow_client.log_text(logger.run_id, "page", "a.txt")
    logger.finalize("success")
    assert points() == wanted(range(6))
    row("store locked, full", 2, 2)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["a new file", "another store"])
def test_a_store_that_was_removed_is_made_again_with_every_point(store, template, tmp_path, monkeypatch, capfd, way):
    """The run goes on, and ``remot sync`` delivers also what the old file had taken."""
    monkeypatch.setattr(courier, "SEND_SECONDS", 30)
    lines, new = [], tmp_path / "new.db"
    logger = spooled(store[0], tmp_path / "run", lines)
    log_steps(logger, range(3))
    until(lambda: not logger._mlflow_client.journal.num_pending())
    (tmp_path / "m.db").unlink()
    assert log_steps(logger, range(3, 6)) < 0.5
    logger.finalize("success")
    assert "readonly database" in lines[0]
    assert "Traceback" not in capfd.readouterr().err
    shutil.copy(template, new)
    if way == "a new file":  # by another name, as MLflow keeps connections to files
        Journal(tmp_path / "run" / "tracking").set_target(tracking_uri=f"sqlite:///{new}")
    main(["sync", str(tmp_path / "run"), *(["--tracking_uri", f"sqlite:///{new}"] if way == "another store" else [])])
    with closing(sqlite3.connect(new)) as file:
        assert Counter(file.execute("select key, step from metrics where key = 'x'").fetchall()) == wanted(range(6))
        assert file.execute("select status from runs").fetchall() == [("FINISHED",)]
    row("store removed", 1, 1)


def test_a_relative_store_stays_that_of_the_folder_the_run_began_in(template, tmp_path, monkeypatch):
    """Two runs of one process, as of a notebook that changes its folder; MLflow opens a URI once and keeps it."""
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(template, folder / "m.db")
        monkeypatch.chdir(folder)
        logger = spooled("sqlite:///m.db", folder / "run", [])
        log_steps(logger, range(3))
        monkeypatch.chdir(tmp_path)
        log_steps(logger, range(3, 5))
        logger.finalize("success")
        main(["sync", str(folder / "run")])
        with closing(sqlite3.connect(folder / "m.db")) as file:
            points = Counter(file.execute("select key, step from metrics where key = 'x'").fetchall())
        assert points == wanted(range(5))
    assert not (tmp_path / "m.db").exists()


def test_after_a_kill_no_point_is_doubled(store, tmp_path):
    """Killed after step 9, going on from a checkpoint of step 5: steps 5 to 9 are logged again, and stand there once.

    Also where the kill came between a delivery and the note of it: the position is put back.
    """
    uri, points = store
    first = spooled(uri, tmp_path / "run", [])
    log_steps(first, range(10))
    until(lambda: points() == wanted(range(10)))
    first._mlflow_client.courier.finish()
    (tmp_path / "run" / "tracking" / "delivered.txt").write_text("0")
    records = tmp_path / "run" / "tracking" / "records.jsonl"
    records.write_text(records.read_text() + '{"kind": "metrics", "step": 10, "time')  # the line it was writing
    second = MLFlowLogger("e", tracking_uri=uri, run_id=first.run_id)
    spool_logger(second, tmp_path / "run" / "tracking", pytest.fail)
    log_steps(second, range(5, 15))
    second.finalize("success")
    assert points() == wanted(range(15))
    with closing(sqlite3.connect(tmp_path / "m.db")) as file:
        assert file.execute("select status from runs").fetchall() == [("FINISHED",)]
    row("points after a kill", 5, 5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_while_delivering_doubles_nothing(store, tmp_path):
    """Killed at random moments, each time going on from two steps before; every point stands there once."""
    uri, points = store
    code = (
        "import sys, time; from pathlib import Path; from lightning.pytorch.loggers import MLFlowLogger\n"
        "from remot.tracking import spool_logger\n"
        "logger = MLFlowLogger('e', tracking_uri=sys.argv[1]); spool_logger(logger, Path(sys.argv[2]), print)\n"
        "print('ready', flush=True)\n"
        "for step in range(int(sys.argv[3]), 10**6):\n    logger.log_metrics({'x': float(step)}, step=step)\n"
        "    time.sleep(0.004)\n"
    )
    first = 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", code, uri, str(tmp_path / "run" / "tracking"), str(first)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        held = Journal(tmp_path / "run" / "tracking")
        first = max(0, max(step for _, step in held.logged_before) - 2)
    main(["sync", str(tmp_path / "run")])
    found = points()
    assert set(found.values()) == {1}
    assert len(found) == max(step for _, step in found) + 1


def test_a_full_disk_beside_the_run_ends_nothing(tmp_path, server):
    """Neither the journal nor the store takes anything: the end reports that the numbers are gone."""
    blocked, lines = tmp_path / "file", []
    blocked.write_text("")
    logger = MLFlowLogger("e", tracking_uri=server("").uri)
    spool_logger(logger, blocked / "tracking", lines.append)
    log_steps(logger, range(3))
    logger.finalize("success")
    assert any("could not be kept" in line for line in lines)


def test_a_deleted_experiment_is_named(store, tmp_path):
    from mlflow import MlflowClient

    uri, _ = store
    client = MlflowClient(uri)
    client.delete_experiment(client.get_experiment_by_name("e").experiment_id)
    with pytest.raises(ConfigError, match=r"experiment 'e' .*was deleted"):
        require_writable(uri, "e")
    with pytest.raises(ConfigError, match=r"experiment e .*was deleted"):
        spooled(uri, tmp_path / "run", [])


def test_what_the_journal_holds_is_not_trusted(tmp_path, server):
    """Lines that are no records, or of an unknown kind, are passed over."""
    good = server()
    logger = spooled(good.uri, tmp_path, [])
    log_steps(logger, range(1))
    logger.finalize("success")
    records = tmp_path / "tracking" / "records.jsonl"
    with records.open("a") as file:
        file.write('[1]\n{"kind": "surprise"}\nnonsense\n\n' + json.dumps({"kind": "status"})[:-1] + "\n")
    log_steps(logger, range(1, 3))
    logger.finalize("success")
    assert Counter(good.steps) == Counter(range(3))


def test_guarding_twice_is_guarding_once(tmp_path, server):
    logger, lines = spooled(server().uri, tmp_path, []), []
    client = logger.experiment
    guard_logger(logger, Path("elsewhere"), lines.append)
    assert logger.experiment is client
    assert not Path("elsewhere").exists()
    assert threading.active_count() < 30
    assert os.path.isdir(tmp_path / "tracking")  # noqa: PTH112
