"""Several processes that open one store at the same time."""

import subprocess
import sys
import threading
import time

import pytest

from remot import locks
from remot.errors import ConfigError
from remot.tracking import store, where_to_look
from remot.tracking.store import local_path, one_process_at_a_time, prepare_store

START = """
import sys
from remot.tracking import prepare_store
prepare_store(sys.argv[1], "together")
"""


def test_one_at_a_time_opens_the_store(tmp_path, monkeypatch):
    """Four at once, each with a lock object of its own as processes have: never two inside."""
    inside, most = [], []

    def enter(*_):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()

    monkeypatch.setattr(store, "_require_experiment", enter)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    threads = [threading.Thread(target=prepare_store, args=(uri, "together")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


@pytest.mark.slow
def test_processes_that_start_together_share_one_store(tmp_path):
    """Three processes, no store: each finds its tables and one experiment; MLflow alone fails in two of them."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    command = [sys.executable, "-c", START, uri]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.wait() for process in started] == [0] * 3, [process.stderr.read() for process in started]
    assert [one.name for one in MlflowClient(uri).search_experiments()].count("together") == 1


def test_deleted_experiment_is_named(tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    prepare_store(uri, "gone")
    client = MlflowClient(uri)
    number = client.get_experiment_by_name("gone").experiment_id
    client.delete_experiment(number)
    with pytest.raises(ConfigError, match=rf"gone .*restore -x {number}"):
        prepare_store(uri, "gone")


def test_wait_is_logged_and_ends(tmp_path, monkeypatch, capsys):
    """Another process holds the lock for ever: a line on the way, an error that names the lock file at the end."""
    monkeypatch.setattr(locks, "REPORT_SECONDS", 0.05)
    monkeypatch.setattr(store, "MAX_WAIT_SECONDS", 0.1)
    path = tmp_path / "mlflow.db"
    with one_process_at_a_time(path):
        with pytest.raises(ConfigError, match=r"mlflow\.db\.lock"), one_process_at_a_time(path):
            pass
        assert "mlflow.db.lock" in capsys.readouterr().err
    with one_process_at_a_time(path):  # it was given back
        pass


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///a/b.db?timeout=3", "a/b.db"),
        ("sqlite:////a.db", "/a.db"),
        ("file:./mlruns", "mlruns"),
        ("mlruns", "mlruns"),
        ("sqlite://", None),
        ("http://host:5000", None),
        ("postgresql://host/db", None),
    ],
)
def test_local_stores(uri, path):
    found = local_path(uri)
    assert (None if found is None else found.as_posix()) == path


@pytest.mark.parametrize(
    ("uri", "experiment", "seen", "command"),
    [
        ("sqlite:///mlflow.db", "a", "mlflow ui --backend-store-uri sqlite:///mlflow.db", "--experiment a"),
        ("http://host:5000", "a b", "at http://host:5000", "--experiment 'a b' --tracking_uri http://host:5000"),
        ("my runs", "a", "mlflow ui --backend-store-uri 'my runs'", "--experiment a --tracking_uri 'my runs'"),
        ("https://me:secret@host", "a", "at https://host", "--experiment a --tracking_uri https://host"),
    ],
)
def test_where_a_run_can_be_seen(uri, experiment, seen, command):
    """``mlflow ui`` opens no server, and ``remot compare`` looks into a store of another name only if it is named."""
    found = where_to_look(uri, "r1", experiment)
    assert found[0] in (f"run r1: {seen}", f"run r1 {seen}")
    assert found[1] == f"remot compare {command}"
