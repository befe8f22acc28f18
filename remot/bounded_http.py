"""HTTP requests that end: a bound on the time and the bytes of a whole reply, and no redirects.

The timeout of ``urllib`` holds for each read of the socket, so a server that sends a byte now and then, or one
``100 Continue`` after another, holds its client for ever.
"""

import io
import ssl
import time
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from socket import socket
from typing import Any, cast
from urllib.request import (
    BaseHandler,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    Request,
    build_opener,
)

#: Bytes that a status line and headers may have, beyond the body.
MAX_HEADER_BYTES = 65_536


class ReplyTooLongError(OSError):
    """A reply has more bytes than are read."""


def bounded_opener(max_reply_bytes: int, *handlers: BaseHandler) -> OpenerDirector:
    """An opener whose ``open(request, timeout)`` bounds all of sending, waiting and reading by ``timeout`` seconds.

    Connecting counts; where it takes several addresses, or TLS, each of these may take ``timeout`` at most. Replies
    whose body is longer than ``max_reply_bytes`` and whose headers are longer than :data:`MAX_HEADER_BYTES` are not
    read further. What a proxy answers to CONNECT is bounded for each read only.

    Args:
        max_reply_bytes: Longest body.
        handlers: Further handlers, such as ``ProxyHandler({})``.

    Returns:
        An opener; requests raise ``TimeoutError``, :class:`ReplyTooLongError`, or what ``urllib`` raises.
    """
    max_bytes = max_reply_bytes + MAX_HEADER_BYTES
    return build_opener(_NoRedirect(), _BoundedHandler(max_bytes), *handlers)


class _NoRedirect(HTTPRedirectHandler):
    """A redirect is an error: its target would be given what the request holds, such as a key."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """None: the redirect becomes an error."""


class _Bound:
    """What is left of the time and the bytes of one request."""

    def __init__(self, timeout_seconds: float, max_bytes: int) -> None:
        self.timeout_seconds = timeout_seconds
        self.max_bytes = max_bytes
        self._deadline = time.monotonic() + timeout_seconds
        self._num_bytes = 0

    def late(self) -> TimeoutError:
        return TimeoutError(f"no whole reply within {self.timeout_seconds:g} s")

    def apply(self, sock: socket) -> None:
        """Let the next operation of a socket take what is left of the time."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self.late()
        sock.settimeout(left)

    def count(self, num_bytes: int) -> None:
        self._num_bytes += num_bytes
        if self._num_bytes > self.max_bytes:
            msg = f"the reply has more than {self.max_bytes} bytes"
            raise ReplyTooLongError(msg)


class _BoundedReader(io.RawIOBase):
    """What a socket receives, within a bound."""

    def __init__(self, sock: socket, bound: _Bound) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)  # keeps the socket open until this is closed
        self._bound = bound

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 (as in typeshed)
        self._bound.apply(self._sock)
        try:
            num_bytes = self._file.readinto(buffer)
        except TimeoutError as error:
            raise self._bound.late() from error
        self._bound.count(num_bytes or 0)
        return num_bytes

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(eq=False)
class _BoundedSocket:
    """The part of a socket that ``http.client`` uses once it is connected, within a bound."""

    _sock: socket
    _bound: _Bound

    def sendall(self, data: bytes) -> None:
        self._bound.apply(self._sock)
        try:
            self._sock.sendall(data)
        except TimeoutError as error:
            raise self._bound.late() from error

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 (always "rb")
        return io.BufferedReader(_BoundedReader(self._sock, self._bound))

    def close(self) -> None:
        self._sock.close()


class _HTTPConnection(HTTPConnection):
    def __init__(self, host: str, *, max_bytes: int, timeout: float, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(host, timeout=timeout, **settings)
        self._bound = _Bound(timeout, max_bytes)

    def connect(self) -> None:
        super().connect()
        self.sock = cast("Any", _BoundedSocket(self.sock, self._bound))


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    """Wraps TLS, which is begun by the method of the second parent."""


class _BoundedHandler(HTTPHandler, HTTPSHandler):
    """Opens both kinds of connections."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._plain = partial(_HTTPConnection, max_bytes=max_bytes)
        self._secure = partial(_HTTPSConnection, max_bytes=max_bytes, context=ssl.create_default_context())

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(cast("Any", self._plain), req)

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(cast("Any", self._secure), req)
