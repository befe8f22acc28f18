"""One address is asked, a bounded number of times, and a bounded part of what it says is read."""

import socket
import threading
import time

import pytest

from remot.errors import ConfigError, EngineError
from remot.rollout.servers import client as client_module
from remot.rollout.servers.client import JSONClient, shown
from tests.devices.launch import free_port
from tests.rollout.fake_server import dripping, serving


@pytest.fixture(autouse=True)
def naps(monkeypatch):
    """No waiting between attempts."""
    taken = []
    monkeypatch.setattr(client_module.time, "sleep", taken.append)
    return taken


def client_of(url, **settings):
    return JSONClient(url, **{"timeout_seconds": 5.0, "num_retries": 2, "max_reply_bytes": 1000} | settings)


def test_an_answer():
    with serving(lambda path, body: (200, {"path": path, "body": body}, {})) as (url, asked):
        assert client_of(url + "/").post_for_json("/x", {"a": [1]}) == {"path": "/x", "body": {"a": [1]}}
        client_of(url).post("/reset")
        assert b"/health" in client_of(url).get("/health")
    assert asked == [("/x", {"a": [1]}), ("/reset", None), ("/health", None)]


def test_a_fault_of_the_server_is_asked_again(naps):
    answers = iter([(500, {}, {}), (503, {}, {}), (200, {"ok": 1}, {})])
    with serving(lambda *_: next(answers)) as (url, asked):
        assert client_of(url).post_for_json("/x", {}) == {"ok": 1}
    assert len(asked) == 3
    assert naps == [0.5, 1.0]


def test_so_many_times():
    with serving(lambda *_: (500, b"out of memory\x1b[2J" * 100, {})) as (url, asked):
        with pytest.raises(EngineError, match="status 500: out of memory") as caught:
            client_of(url).post("/x", {})
        assert len(asked) == 3
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_truncated_error_response():
    """The server says that a complaint follows, and falls silent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = client_of(url, timeout_seconds=0.2, num_retries=1)
        heard = []

        def half_an_answer():
            for _ in range(2):
                connection, _ = listener.accept()
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 500 no\r\nContent-Length: 900\r\n\r\n")
                heard.append(connection)

        thread = threading.Thread(target=half_an_answer, daemon=True)
        thread.start()
        with pytest.raises(EngineError, match="status 500"):
            client.get("/x")
        thread.join(timeout=5)
        assert len(heard) == 2
        for connection in heard:
            connection.close()


def test_a_refusal_is_not_asked_again():
    with serving(lambda *_: (404, {"detail": "no such model"}, {})) as (url, asked):
        with pytest.raises(EngineError, match=r"status 404.*no such model"):
            client_of(url).post("/x", {})
        assert len(asked) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status):
    with (
        serving(lambda *_: (200, {"other": 1}, {})) as (other, asked_other),
        serving(lambda *_: (status, b"", {"Location": other + "/x"})) as (url, _),
    ):
        with pytest.raises(EngineError, match=f"status {status}"):
            client_of(url).get("/x")
        assert asked_other == []


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch):
    with serving(lambda *_: (200, {"proxy": 1}, {})) as (proxy, asked), serving(lambda *_: (200, {}, {})) as (url, _):
        monkeypatch.setenv("http_proxy", proxy)
        assert client_of(url).post_for_json("/x", {}) == {}
    assert asked == []


def test_more_than_is_read():
    many = (200, b"[" * 2000, {})
    with serving(lambda *_: many) as (url, _), pytest.raises(EngineError, match="more than 1000 bytes"):
        client_of(url).post_for_json("/x", {})


@pytest.mark.parametrize("said", [b"", b"<html>", b"{", b"[" * 900, b"\xff\xfe"])
def test_what_is_not_json(said):
    with serving(lambda *_: (200, said, {})) as (url, _), pytest.raises(EngineError, match="not JSON"):
        client_of(url).post_for_json("/x", {})


def test_unreachable_server():
    with pytest.raises(EngineError, match=r"cannot be reached .*; start the server or correct the url"):
        client_of(f"http://127.0.0.1:{free_port()}").get("/health")


def test_a_silent_server():
    silent = threading.Event()

    def answer(*_):
        silent.wait(20)
        return 200, {}, {}

    started = time.monotonic()
    with serving(answer) as (url, _):
        with pytest.raises(EngineError, match="cannot be reached"):
            client_of(url, timeout_seconds=0.2, num_retries=1).get("/x")
        silent.set()
    assert time.monotonic() - started < 10


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n"
#: What a server says first, and then for ever.
ENDLESS = {
    "body": (HEAD + b"\r\n", b" "),
    "body without a length": (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "header": (HEAD, b"x"),
    "status": (b"HTTP/1.1 200 ", b"O"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "complaint": (b"HTTP/1.1 500 no\r\nContent-Length: 100000\r\n\r\n", b" "),
}


@pytest.mark.parametrize("said", ENDLESS)
def test_a_server_that_never_ends_is_left_at_the_time_bound(said):
    """A byte every 20 ms keeps each read of the socket short; the request as a whole ends after 0.4 s."""
    with dripping(*ENDLESS[said]) as url:
        client = client_of(url, timeout_seconds=0.4, num_retries=0, max_reply_bytes=10**6)
        started = time.monotonic()
        with pytest.raises(EngineError, match="500" if said == "complaint" else r"0\.4 s"):
            client.post_for_json("/x", {})
        assert 0.3 < time.monotonic() - started < 3


@pytest.mark.parametrize("said", ["body without a length", "continue"])
def test_a_server_that_floods_is_left_at_the_byte_bound(said):
    """Interim replies count, which ``http.client`` passes over; the time bound is far away."""
    first, piece = ENDLESS[said]
    with dripping(first, piece * 1000, every_seconds=0) as url:
        client = client_of(url, timeout_seconds=60, num_retries=5)
        started = time.monotonic()
        with pytest.raises(EngineError, match="more than 1000 bytes"):
            client.get("/x")
        assert time.monotonic() - started < 10


def test_a_server_that_does_not_read_is_left_too():
    """A request that does not fit into the buffers of the connection is not sent for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = client_of(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.4, num_retries=0)
        started = time.monotonic()
        with pytest.raises(EngineError, match=r"0\.4 s"):
            client.post("/x", {"a": "x" * 30_000_000})
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8000", "file:///etc/passwd", "ftp://host", "http://", "http://me:secret@host", "http://h/?a=1"],
)
def test_what_is_no_address(url):
    with pytest.raises(ConfigError, match="http://HOST:PORT"):
        client_of(url)


@pytest.mark.parametrize(("key", "value"), [("timeout_seconds", 0.0), ("num_retries", -1), ("max_reply_bytes", 0)])
def test_limits_that_are_none(key, value):
    with pytest.raises(ConfigError, match=key):
        client_of("http://host", **{key: value})


def test_what_is_shown_is_one_printable_line():
    assert shown(b"a\n\tb\x00\x1b[31m") == "a b??[31m"
    assert shown(b"") == "(nothing)"
    assert len(shown(b"x" * 10_000)) == 202
