"""JSON over HTTP to one address: no proxy, no redirect, bounded time, size and number of attempts."""

import json
import time
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request

from remot.bounded_http import ReplyTooLongError, bounded_opener
from remot.deadline import require_seconds
from remot.errors import ConfigError, EngineError

#: From this status on an error is the server's and may be temporary.
SERVER_FAULT = 500
#: Other status codes that pass: the server was too slow, or asked too often.
PASSING = (408, 429)
#: Longest wait that a server may ask for by ``Retry-After``.
MAX_WAIT_SECONDS = 60.0
MAX_SHOWN_CHARS = 200


class JSONClient:
    """JSON over HTTP to the server at ``url`` only, without redirects or proxies.

    Args:
        url: Such as ``http://127.0.0.1:8000``.
        timeout_seconds: Longest time that one attempt may take, from connecting to the last byte of the reply.
        num_retries: Further attempts if it cannot be reached, is too slow, is asked too often, or reports an error of
            its own.
        max_reply_bytes: Longest reply that is read.
        api_key: Sent as a bearer token, which a redirect would not carry on; "" sends none.

    Raises:
        ConfigError: If the address or a limit is not valid.
    """

    def __init__(
        self, url: str, timeout_seconds: float, num_retries: int, max_reply_bytes: int, api_key: str = ""
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            msg = f"the server's url is http://HOST:PORT, not {url!r}"
            raise ConfigError(msg)
        require_seconds("timeout_seconds", timeout_seconds)
        if num_retries < 0 or max_reply_bytes < 1:
            msg = "max_reply_bytes is positive, num_retries is not negative"
            raise ConfigError(msg)
        self.url = url.rstrip("/")
        self.timeout_seconds = timeout_seconds
        self.num_retries = num_retries
        self.max_reply_bytes = max_reply_bytes
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._opener = bounded_opener(max_reply_bytes, ProxyHandler({}))

    def get(self, path: str) -> bytes:
        """The reply to a GET request.

        Raises:
            EngineError: If there is none.
        """
        return self._ask(Request(self.url + path, headers=self._headers, method="GET"))  # noqa: S310 (the scheme was checked)

    def post(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        """The reply to ``body`` as JSON.

        Raises:
            EngineError: If there is none.
        """
        data = json.dumps(body, allow_nan=False).encode() if body is not None else b""
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        return self._ask(Request(self.url + path, data=data, headers=headers, method="POST"))  # noqa: S310

    def post_for_json(self, path: str, body: dict[str, Any]) -> object:
        """The same, read as JSON.

        Raises:
            EngineError: If there is no reply, or it is not JSON.
        """
        reply = self.post(path, body)
        try:
            answer: object = json.loads(reply)
        except (ValueError, RecursionError) as error:
            msg = f"{self.url}{path} answers what is not JSON: {shown(reply)}"
            raise EngineError(msg) from error
        return answer

    def _ask(self, request: Request) -> bytes:
        for attempt in range(self.num_retries + 1):
            wait_seconds = 0.5 * 2**attempt
            try:
                return self._ask_once(request)
            except HTTPError as error:
                said = _complaint(error)
                asked = error.headers.get("Retry-After", "") if error.headers is not None else ""
                if asked.isascii() and asked.isdigit():
                    wait_seconds = max(wait_seconds, min(float(asked), MAX_WAIT_SECONDS))
                passes = error.code >= SERVER_FAULT or error.code in PASSING
                if not passes or attempt == self.num_retries:
                    msg = f"{request.full_url} refuses with status {error.code}: {said}"
                    raise EngineError(msg) from error
            except ReplyTooLongError as error:
                msg = f"{request.full_url} answers more than {self.max_reply_bytes} bytes, which is not read"
                raise EngineError(msg) from error
            except (URLError, HTTPException, OSError) as error:
                if attempt == self.num_retries:
                    reason = getattr(error, "reason", None) or error or type(error).__name__
                    msg = f"{request.full_url} cannot be reached ({reason}); start the server or correct the url"
                    raise EngineError(msg) from error
            time.sleep(wait_seconds)
        raise AssertionError

    def _ask_once(self, request: Request) -> bytes:
        with self._opener.open(request, timeout=self.timeout_seconds) as response:
            reply: bytes = response.read(self.max_reply_bytes + 1)
        if len(reply) > self.max_reply_bytes:
            raise ReplyTooLongError
        return reply


def _complaint(error: HTTPError) -> str:
    """The body of a refusal, if it arrives whole."""
    try:
        return shown(error.read(4 * MAX_SHOWN_CHARS))
    except (HTTPException, OSError):
        return shown(b"")


def shown(reply: bytes) -> str:
    """The beginning of a reply, as one printable line."""
    text = " ".join(reply[: 4 * MAX_SHOWN_CHARS].decode("utf-8", errors="replace").split())
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable[:MAX_SHOWN_CHARS] + (" …" if len(printable) > MAX_SHOWN_CHARS else "") or "(nothing)"
