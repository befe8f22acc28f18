"""Replies on disk: appended batch by batch, so that a killed evaluation goes on where it stopped."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard

from remot.data.records.jsonl import MAX_LINE_CHARS
from remot.errors import ConfigError, DecodeError
from remot.evaluation.benchmarks.base import BenchmarkPrompt, EmbeddedImage, ModelReply
from remot.files import bounded_lines, cause_of, open_regular, require_regular, sha256_of
from remot.locks import lock_file_of, take_lock
from remot.rollout.servers.responses import MAX_TOKENS
from remot.strict_json import json_object, json_text


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Hash of everything that determines replies besides the prompts."""
    return _digest(json.dumps(settings, sort_keys=True, allow_nan=False, default=str))


def reply_key(prompt: BenchmarkPrompt, settings: str) -> str:
    """Names the reply to a prompt: its id, its text, the content of what it shows, and the hash of the settings.

    Raises:
        DecodeError: If a file cannot be read.
    """
    return _digest(json.dumps([prompt.prompt_id, prompt.text, *_shown(prompt), settings], allow_nan=False))


def content_digest(prompt: BenchmarkPrompt) -> str:
    """Names what a prompt asks and shows, whatever it is called: text, right answer, bytes of its images and video.

    Raises:
        DecodeError: If a file cannot be read.
    """
    return _digest(json_text([prompt.text, prompt.gold, *_shown(prompt)]))[:32]


def _shown(prompt: BenchmarkPrompt) -> list[Any]:
    """What the images and the video of a prompt are known by, wherever they lie."""
    video, images = prompt.video, []
    try:
        for image in prompt.images:
            if isinstance(image, EmbeddedImage):
                images.append(hashlib.sha256(image.content).hexdigest())
            else:
                images.append(_file_digest(image))
        film = None if video is None else _file_digest(video.file)
    except OSError as error:
        msg = f"{prompt.prompt_id}: {error.filename} cannot be read ({cause_of(error)})"
        raise DecodeError(msg) from error
    span = None if video is None else [video.num_frames, video.start_seconds, video.end_seconds]
    return [images, list(prompt.image_seconds), film, span, *(["pairs"] if prompt.as_pairs else [])]


def _file_digest(file: Path) -> str:
    facts = file.stat()
    return _known_digest(file, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=4096)
def _known_digest(file: Path, _size: int, _modified: int) -> str:
    """Several questions show the same image or video."""
    return sha256_of(file)


def _is_count(value: object) -> TypeGuard[int]:
    """Whether it is a number of tokens as :func:`remot.rollout.servers.responses.read_reply` gives it."""
    return type(value) is int and 0 <= value <= MAX_TOKENS


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class ReplyStore:
    """Replies by key in a file of JSON lines.

    A line that a killed process left unfinished is passed over; its prompt is asked again. A file has one store.

    Args:
        file: Made if it does not exist.

    Raises:
        ConfigError: If it cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._replies: dict[str, ModelReply] = {}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists():
                require_regular(file)
            self._lock = take_lock(file)
            file.touch()
            with open_regular(file) as lines:
                for line in bounded_lines(lines, 8 * MAX_LINE_CHARS):
                    held = json_object(line or b"")
                    key, reply, num_tokens = (held.get(name) for name in ("key", "text", "num_tokens"))
                    if isinstance(key, str) and isinstance(reply, str) and _is_count(num_tokens):
                        is_cut = held.get("cut_off")
                        is_cut = is_cut if isinstance(is_cut, bool) else None
                        self._replies.setdefault(key, ModelReply(reply, num_tokens, is_cut))
        except OSError as error:
            msg = f"{file}: cannot be used ({cause_of(error)}); choose another folder with --out"
            raise ConfigError(msg) from error

    def forget(self) -> None:
        """Remove the file if it is empty, and then its folder: an evaluation that failed before its first reply."""
        if self._replies or not self.file.is_file() or self.file.stat().st_size:
            return
        self.file.unlink()
        self._lock.release()
        lock_file_of(self.file).unlink(missing_ok=True)
        with suppress(OSError):  # other files are in it
            self.file.parent.rmdir()

    def get(self, key: str) -> ModelReply | None:
        """The reply, None if there is none yet."""
        return self._replies.get(key)

    def add(self, keys: Sequence[str], prompt_ids: Sequence[str], replies: Sequence[ModelReply]) -> None:
        """Append the replies of a batch and wait until they are on disk; a reply that is there already stays.

        Raises:
            ConfigError: If they cannot be written.
        """
        lines = []
        for key, prompt_id, reply in zip(keys, prompt_ids, replies, strict=True):
            if key not in self._replies:
                self._replies[key] = reply
                record = {"key": key, "prompt_id": prompt_id, **asdict(reply)}
                lines.append(json_text(record, ensure_ascii=True) + "\n")
        try:
            with self.file.open("ab+") as file:  # which writes at the end, wherever it has read
                if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    file.write(b"\n")
                file.write("".join(lines).encode("ascii"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            msg = f"{self.file}: replies cannot be written ({error}); make room, and run the same command again"
            raise ConfigError(msg) from error
