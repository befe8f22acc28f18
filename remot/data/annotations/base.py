"""What every annotation reader shares: finding the files, unique clip ids, and safe ways into untrusted text."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, TypeVar

import numpy as np

from remot.data.annotations.notices import Notices
from remot.errors import AnnotationError, ConfigError, did_you_mean
from remot.files import cause_of, decode_text, find_files, lines_of, open_regular
from remot.structures import Clip, FloatArray

#: Longest annotation file that is read, in bytes.
MAX_ANNOTATION_BYTES = 64 * 2**20

_T = TypeVar("_T")
_P = ParamSpec("_P")


@dataclass(frozen=True, slots=True)
class ClipSource:
    """Where one clip is described.

    Args:
        file: The annotation file, or the folder of several.
        key: Which clip of the file, such as an episode's number; "" if it describes one clip only.
    """

    file: Path
    key: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.key}" if self.key else str(self.file)


class AnnotationReader(ABC):
    """Turns annotation files into clips.

    A format needs a way to list its clips without reading them whole, and a way to read one of them. Formats with one
    file for each clip derive from :class:`FileReader` instead. Readers are dataclasses whose fields are their settings.
    """

    #: Images per second; a field of readers whose format has no times.
    fps: float | None = None
    #: Focal lengths and principal point in pixels; a field of readers whose format does not hold them.
    intrinsics: list[float] | None = None
    #: What was read last, after the function that read it and its arguments.
    _last: tuple[object, Any] | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < float("inf"):
            msg = f"fps is {self.fps}; give the number of images per second"
            raise ConfigError(msg)

    @cached_property
    def _notices(self) -> Notices:
        """Warnings about a whole data set or about many clips, each logged once."""
        return Notices()

    def _kept(self, read: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What ``read`` returns for its arguments; only the last is kept, since neighbouring clips share a file."""
        key = read, args, kwargs
        if self._last is None or self._last[0] != key:
            self._last = None  # not two of them in memory at once
            self._last = key, read(*args, **kwargs)
        value: _T = self._last[1]
        return value

    def components(self) -> Iterable["AnnotationReader"]:
        """The readers that this one is made of, whose settings and code determine what it reads, too."""
        return ()

    @abstractmethod
    def sources(self, root: Path) -> list[ClipSource]:
        """Where each clip below ``root`` is described, in a stable order.

        Raises:
            AnnotationError: If there is none, or the list itself cannot be read.
        """

    @abstractmethod
    def read_source(self, source: ClipSource, root: Path) -> Clip | None:
        """One clip, or None to leave it out.

        Args:
            source: One of :meth:`sources`.
            root: The resolved folder that every media path must stay in.

        Raises:
            AnnotationError: If the annotation is malformed or does not fit its media.
        """

    def clip_of(self, source: ClipSource, root: Path) -> Clip | None:
        """As :meth:`read_source`; what the system says of a path, such as a name of 300 characters, is an error, too.

        Raises:
            AnnotationError: Naming the source.
        """
        try:
            return self.read_source(source, root)
        except (OSError, RecursionError) as error:
            msg = f"{source}: cannot be read ({cause_of(error)[:200]})"
            raise AnnotationError(msg) from error

    def report(self) -> None:
        """Log what was noted while sources were read; called when all have been read once."""
        self._notices.report()

    def read(self, root: Path) -> Iterator[Clip]:
        """All clips below ``root`` in order.

        Raises:
            AnnotationError: If there is no annotation, one is malformed, or two clips share an id.
        """
        taken: dict[str, ClipSource] = {}
        for source in self.sources(root):
            clip = self.clip_of(source, root.resolve())
            if clip is None:
                continue
            if clip.clip_id in taken:
                msg = f"{source}: clip id {clip.clip_id} is taken by {taken[clip.clip_id]}, rename one of them"
                raise AnnotationError(msg, reason="duplicate id")
            taken[clip.clip_id] = source
            yield clip
        self.report()


class FileReader(AnnotationReader):
    """Reads formats with one annotation file for each clip.

    A format needs a pattern for its files and a way to read one of them.
    """

    #: Glob pattern of the annotation files below the root.
    pattern: ClassVar[str]

    @abstractmethod
    def read_clip(self, file: Path, root: Path) -> Clip | None:
        """The clip that one annotation file describes, or None to leave it out.

        Args:
            file: The annotation file.
            root: The resolved folder that every media path must stay in.

        Raises:
            AnnotationError: If the file is malformed or does not fit its media.
        """

    def sources(self, root: Path) -> list[ClipSource]:
        """The annotation files below ``root``, in order."""
        return [ClipSource(file) for file in require_any(find_files(root, self.pattern), root, self.pattern)]

    def read_source(self, source: ClipSource, root: Path) -> Clip | None:
        """The clip of one file; errors name the file."""
        with naming(source.file):
            return self.read_clip(source.file, root)


@contextmanager
def naming(where: object, known: object = None) -> Iterator[None]:
    """Puts ``where`` in front of annotation errors that do not name it, or ``known``, yet."""
    try:
        yield
    except AnnotationError as error:
        if str(known or where) in str(error):
            raise
        msg = f"{where}: {error}"
        raise AnnotationError(msg, reason=error.reason) from error


def require_any(found: Sequence[_T], root: Path, wanted: str, held: str = "the annotation files") -> list[_T]:
    """``found`` as a list.

    Args:
        found: What was found below ``root``.
        root: Where it was looked for.
        wanted: What was looked for.
        held: What the right folder would hold.
    """
    if not found:
        msg = f"{root}: no {wanted} found, give the folder that holds {held}"
        raise AnnotationError(msg, reason="missing")
    return list(found)


def require_inside(file: Path, root: Path) -> Path:
    """``file`` with all links resolved.

    Raises:
        AnnotationError: If that lies outside ``root``.
    """
    resolved = file.resolve()
    if not resolved.is_relative_to(root):
        msg = f"{file}: leads outside {root}, keep it below the data folder"
        raise AnnotationError(msg, reason="outside root")
    return resolved


def read_text(file: Path) -> str:
    """The text of an annotation file of bounded size, line ends as newlines, without a byte-order mark.

    Raises:
        AnnotationError: If it is too long, unreadable, no regular file or not UTF-8.
    """
    try:
        with open_regular(file) as stream:
            content = stream.read(MAX_ANNOTATION_BYTES + 1)
        if len(content) > MAX_ANNOTATION_BYTES:
            msg = f"{file}: longer than {MAX_ANNOTATION_BYTES} bytes, split it"
            raise AnnotationError(msg, reason="too large")
        return decode_text(content)
    except (OSError, ValueError) as error:
        msg = f"{file}: cannot be read as text ({cause_of(error)})"
        raise AnnotationError(msg) from error


def numbered_lines(file: Path) -> Iterator[tuple[str, str]]:
    """Name for messages and text of every line of a text file that is not blank."""
    for number, line in enumerate(lines_of(read_text(file)), start=1):
        if line.strip():
            yield f"{file}: line {number}", line


def parse_json(where: str, text: str, **options: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON value in ``text``, in which no object has a name twice; ``options`` are those of :func:`json.loads`."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            msg = f"{where}: {twice!r:.60} comes twice, keep one, or number things of the same kind"
            raise AnnotationError(msg)
        return found

    try:
        return json.loads(text, object_pairs_hook=unique, **options)
    except (ValueError, RecursionError) as error:
        ends_early = isinstance(error, json.JSONDecodeError) and (
            error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        )
        msg = f"{where}: not valid JSON ({error}){', it may be cut short' if ends_early else ''}"
        raise AnnotationError(msg) from error


def read_json_object(file: Path) -> dict[str, Any]:
    """The JSON object in ``file``."""
    return require_object(str(file), parse_json(str(file), read_text(file)))


def require_list(where: str, value: object) -> list[Any]:
    """``value`` if it is a JSON list."""
    if not isinstance(value, list):
        msg = f"{where}: expected a list, found {type(value).__name__}"
        raise AnnotationError(msg)
    return value


def require_object(where: str, value: object) -> dict[str, Any]:
    """``value`` if it is a JSON object."""
    if not isinstance(value, dict):
        msg = f"{where}: expected an object with named values, found {type(value).__name__}"
        raise AnnotationError(msg)
    return value


def check_keys(where: str, found: Iterable[str], required: Iterable[str], optional: Iterable[str] = ()) -> None:
    """Refuse unknown and missing keys."""
    found, required = set(found), set(required)
    known = sorted(required | set(optional))
    for key in sorted(found - set(known)):
        msg = f"{where}: unknown key {key!r:.80}, {did_you_mean(key, known, 'valid keys are')}"
        raise AnnotationError(msg)
    if missing := sorted(required - found):
        msg = f"{where}: key {missing[0]!r} is missing, add it"
        raise AnnotationError(msg)


def require_text(where: str, content: Mapping[str, Any], key: str) -> str:
    """The non-empty text under ``key``."""
    value = content[key]
    if not isinstance(value, str) or not value:
        msg = f"{where}: {key} must be a non-empty text, found {value!r:.60}"
        raise AnnotationError(msg)
    return value


def require_numbers(
    where: str,
    value: object,
    *,
    num_axes: int | None = None,
    shape: tuple[int, ...] | None = None,
    finite: bool = True,
) -> FloatArray:
    """``value`` as an array of numbers.

    Args:
        where: File and key, for the error.
        value: Nested lists of numbers.
        num_axes: How deep they are nested; None allows any depth.
        shape: Their shape; None allows any.
        finite: Refuse NaN and infinity.

    Raises:
        AnnotationError: If it is ragged, nested otherwise, holds something else than numbers, or is not finite.
    """
    try:
        array = np.array(value)
        numeric = array.dtype.kind in "iufb"
    except (ValueError, OverflowError):
        numeric = False
    if not numeric:
        msg = f"{where}: expected lists of numbers of equal length"
        raise AnnotationError(msg)
    if _holds_truths(value, array.ndim):
        msg = f"{where}: holds true or false, give numbers"
        raise AnnotationError(msg)
    if num_axes is not None and array.ndim != num_axes:
        msg = f"{where}: expected numbers nested {num_axes} deep, found {array.ndim}"
        raise AnnotationError(msg)
    if shape is not None and array.shape != shape:
        wanted = "x".join(map(str, shape)) if shape else "one number"
        msg = f"{where} has shape {array.shape}, expected {wanted}"
        raise AnnotationError(msg, reason="shape")
    numbers: FloatArray = array.astype(np.float64)
    if finite and not np.isfinite(numbers).all():
        msg = f"{where}: holds NaN or infinity, give finite numbers"
        raise AnnotationError(msg, reason="not finite")
    return numbers


def _holds_truths(value: object, num_axes: int) -> bool:
    """Whether a truth value stands among numbers, where NumPy takes it for 0 or 1."""
    if isinstance(value, np.ndarray):
        return bool(value.dtype.kind == "b")
    level: Iterable[Any] = [value]
    for _ in range(num_axes):
        level = chain.from_iterable(level)
    return not {bool, np.bool_}.isdisjoint(map(type, level))


def media_inside(file: Path, root: Path, name: str) -> Path:
    """The existing media ``name`` beside ``file``, refused if it leads outside ``root``.

    Where no file has a backslash in its name, backslashes divide folders, as programs on Windows write them.

    Raises:
        AnnotationError: If it lies outside or does not exist.
    """
    try:
        media = (file.parent / name).resolve()
        if "\\" in name and not media.exists():
            media = (file.parent / name.replace("\\", "/")).resolve()
        exists = media.exists()
    except (OSError, ValueError, RuntimeError) as error:
        msg = f"{file}: media {name!r:.80} is no valid path ({str(error)[:120]})"
        raise AnnotationError(msg, reason="missing media") from error
    if not media.is_relative_to(root.resolve()):
        msg = f"{file}: media {name!r:.80} leads outside {root}, keep media below the data folder"
        raise AnnotationError(msg, reason="outside root")
    if not exists:
        msg = f"{file}: media {name!r:.80} does not exist, put it beside the annotation file"
        raise AnnotationError(msg, reason="missing media")
    return media
