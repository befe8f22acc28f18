"""A language model that judges free text, asked once for each prompt."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from remot.data.records.jsonl import MAX_LINE_CHARS
from remot.errors import ConfigError
from remot.files import bounded_lines, cause_of, open_regular
from remot.strict_json import json_object, json_text


class CachedGrader:
    """Replies of a judge, kept in a file of JSON lines, so that scoring again asks nothing and gives the same.

    Args:
        file: Made when the first reply comes.
        judge: Address and model, part of the key of each reply.
        ask: Asks the judge.
    """

    def __init__(self, file: Path, judge: str, ask: Callable[[str], str]) -> None:
        self._file, self._judge, self._ask = file, judge, ask
        self._replies: dict[str, str] = {}
        if file.is_file():
            self._read()

    def _read(self) -> None:
        try:
            with open_regular(self._file) as lines:
                for line in bounded_lines(lines, MAX_LINE_CHARS):
                    held = json_object(line or b"")
                    if isinstance(held.get("key"), str) and isinstance(held.get("reply"), str):
                        self._replies[held["key"]] = held["reply"]
        except OSError as error:
            msg = f"{self._file}: cannot be used ({cause_of(error)}); choose another folder with --out"
            raise ConfigError(msg) from error

    def __call__(self, prompt: str) -> str:
        """The judge's reply.

        Raises:
            RemotError: If it gives none.
            ConfigError: If the reply cannot be written down.
        """
        key = hashlib.sha256(f"{self._judge}\n{prompt}".encode("utf-8", "surrogatepass")).hexdigest()
        if key not in self._replies:
            self._replies[key] = reply = self._ask(prompt)
            try:
                with self._file.open("a", encoding="utf-8") as lines:
                    lines.write(json_text({"key": key, "reply": reply}, ensure_ascii=True) + "\n")
            except OSError as error:
                msg = f"{self._file}: judgements cannot be written ({error}); choose another folder with --out"
                raise ConfigError(msg) from error
        return self._replies[key]
