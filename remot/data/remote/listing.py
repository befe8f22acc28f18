"""What lies below a URL: names, sizes and versions of files. Names and numbers are those of a server, hence hostile."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeGuard

from remot.errors import AnnotationError, ConfigError
from remot.terminal import shown_url

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

#: Most files below a URL, and longest name below it and of one folder or file, in bytes.
MAX_FILES, MAX_NAME_BYTES, MAX_PART_BYTES = 5_000_000, 1024, 255
#: What file systems call the version of a file; the first that is there counts.
VERSION_KEYS = (
    *("ETag", "etag", "md5Hash", "content_md5", "generation"),
    *("LastModified", "last_modified", "mtime", "updated", "created"),
)
#: Versions become times of modification before this one, in seconds since 1970.
MAX_VERSION_SECONDS = 10**9
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file below a URL.

    Args:
        name: Its path below the URL, in parts divided by slashes.
        num_bytes: Its size.
        version: A time in seconds since 1970 that stands for its version.
    """

    name: str
    num_bytes: int
    version: int


def is_url(root: object) -> TypeGuard[str]:
    """Whether a setting of a folder is a URL, such as ``s3://bucket/clips``; a ``Path`` never is."""
    return isinstance(root, str) and _URL.match(root) is not None


def opened(url: str) -> "tuple[AbstractFileSystem, str]":
    """The file system of a URL and the path in it; never kept, as fsspec has another one after a fork.

    Raises:
        ConfigError: If fsspec does not know the scheme, or its package is missing.
    """
    from fsspec.core import url_to_fs

    try:
        file_system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        hint = "pip install s3fs" if url.startswith("s3") else "install the fsspec package of this kind of storage"
        msg = f"{shown_url(url)}: cannot be opened ({shown_url(str(error))[:200]}); {hint}"
        raise ConfigError(msg) from error
    return file_system, path


def listed(url: str) -> list[RemoteFile]:
    """The files below a URL, in the order of their names.

    Raises:
        AnnotationError: If there is none, there are too many, or a name or size cannot be used.
        ConfigError: If the storage cannot be reached.
    """
    file_system, base = opened(url)
    shown = shown_url(url)
    try:
        found: Mapping[str, Mapping[str, Any]] = file_system.find(base, detail=True)
    except FileNotFoundError:
        found = {}
    except Exception as error:  # storage packages raise exceptions of their own
        cause = f"{type(error).__name__}: {shown_url(str(error))[:200]}"
        msg = f"{shown}: cannot be listed ({cause}); check the URL and your credentials"
        raise ConfigError(msg) from error
    if len(found) > MAX_FILES:
        msg = f"{shown}: {len(found)} files, more than {MAX_FILES}; give a folder below it"
        raise AnnotationError(msg, reason="too large")
    files = sorted(_files_in(shown, base, found), key=lambda file: file.name)
    if not files:
        msg = f"{shown}: there is no file below it, give the folder that holds the annotations"
        raise AnnotationError(msg, reason="missing")
    for before, after in pairwise(sorted(PurePosixPath(file.name).parts for file in files)):
        if after[: len(before)] == before:
            msg = f"{shown}: {'/'.join(before)!r:.80} is a file and a folder, rename one"
            raise AnnotationError(msg, reason="duplicate id")
    return files


def _files_in(shown: str, base: str, found: Mapping[str, Mapping[str, Any]]) -> Iterator[RemoteFile]:
    start = base.rstrip("/") + "/"
    for path, facts in found.items():
        if path.endswith("/") and not facts.get("size"):
            continue  # what some programs write to show an empty folder
        if not path.startswith(start):
            msg = f"{shown}: its listing names {path!r:.80}, which lies outside"
            raise AnnotationError(msg, reason="outside root")
        yield file_of(shown, path.removeprefix(start), facts)


def file_of(shown: str, name: str, facts: Mapping[str, Any]) -> RemoteFile:
    """A file by what its storage knows of it.

    Raises:
        AnnotationError: If its name cannot be that of a file of this machine, or its size is not known.
    """
    if not _is_plain(name):
        msg = f"{shown}: its listing names {name!a:.120}, which is no plain path of a file; rename it"
        raise AnnotationError(msg, reason="outside root")
    num_bytes = facts.get("size")
    if type(num_bytes) is not int or num_bytes < 0:
        msg = f"{shown}: the size of {name!r:.80} is {num_bytes!r:.40}; only storage that knows sizes can be used"
        raise AnnotationError(msg)
    version = next((_version_text(facts[key]) for key in VERSION_KEYS if facts.get(key) is not None), "")
    digest = hashlib.blake2b(version.encode("utf-8", "replace"), digest_size=8).digest()
    return RemoteFile(name, num_bytes, int.from_bytes(digest, "big") % MAX_VERSION_SECONDS)


def _version_text(version: object) -> str:
    """A version as text; listings may state a moment in seconds since 1970 where a single file has a date."""
    if isinstance(version, datetime):
        version = version.timestamp()
    return f"{version:.3f}" if isinstance(version, float) else str(version)


def _is_plain(name: str) -> bool:
    """Whether a name below a folder stays there, on every system."""
    parts = name.split("/")
    encoded = name.encode("utf-8", "replace")
    return (
        not {"", ".", ".."} & set(parts)
        and "\\" not in name
        and name.isprintable()  # no control characters and no halves of characters
        and len(encoded) <= MAX_NAME_BYTES
        and max(len(part.encode("utf-8", "replace")) for part in parts) <= MAX_PART_BYTES
    )
