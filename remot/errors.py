"""The errors a user can cause, each saying what is wrong, where, and what to do about it.

Everything that derives from :class:`RemotError` reaches the terminal as one sentence without a traceback.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any


class RemotError(Exception):
    """Base of every error that the command line prints as one sentence.

    Args:
        message: The sentence.
        reason: The kind of fault in a word or two, by which reports count faults.
    """

    def __init__(self, message: str, *, reason: str = "malformed") -> None:
        super().__init__(message)
        self.reason = reason


class ConfigError(RemotError):
    """A setting is missing, misspelt or contradicts another."""


class AnnotationError(RemotError):
    """An annotation file is missing, malformed or does not fit its video.

    Attributes:
        clip_id: Name of the clip, where it is known.
    """

    clip_id: str = ""


class DecodeError(RemotError):
    """A video or image cannot be decoded, or does not hold the frame asked for.

    Attributes:
        clip_id: Name of the clip, where it is known.
    """

    clip_id: str = ""

    def __init__(self, message: str, *, reason: str = "media") -> None:
        super().__init__(message, reason=reason)


class EmptySplitError(RemotError):
    """A split holds no clip, or no triplet can be built from its clips."""


class CheckpointError(RemotError):
    """A checkpoint or weight file is missing, unreadable or does not fit the model."""


class EngineError(RemotError):
    """A server that was asked for completions is not there, or does not answer what was asked."""


class ResourceError(RemotError):
    """Memory ran out, or a process that loads data was ended."""


class ArgumentTypeError(RemotError, TypeError):
    """An argument is of another type than the class or function takes."""


class RewardError(RemotError, ValueError):
    """A reward returned something else than one number for each completion."""


class NonFiniteError(RemotError):
    """Training ended because losses, gradients or learning rates were not finite.

    Args:
        message: The sentence.
        record: The steps and prompts that led to it, as JSON takes them.
        restored_step: Optimizer step of the last good state, which is in place again; None if it could not be restored.
    """

    def __init__(self, message: str, record: Mapping[str, Any], restored_step: int | None) -> None:
        super().__init__(message, reason="not finite")
        self.record = record
        self.restored_step = restored_step


def known_cause(error: BaseException | None) -> RemotError | None:
    """The library's own error among those that led to ``error``: parsers wrap what constructors raise."""
    while error is not None:
        if isinstance(error, RemotError):
            return error
        error = error.__cause__ or error.__context__
    return None


def text_of(error: BaseException) -> str:
    """What an error says, whatever its class does instead of saying it."""
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001 (the error itself is to be reported)
        return f"its text cannot be had ({type(fault).__name__})"


#: Names that an error lists at most, and characters of each.
MAX_NAMED, MAX_CHARACTERS = 30, 80


def did_you_mean(
    name: object, known: Iterable[str], lead: str = "choose from", shown: Sequence[str] | None = None
) -> str:
    """The end of a sentence about an unknown name: the known one most like it, else ``shown`` or all after ``lead``."""
    known = list(known)
    near = get_close_matches(str(name)[:MAX_CHARACTERS], known, n=1)
    return (
        f"did you mean {near[0]!r:.{MAX_CHARACTERS}}?"
        if near
        else f"{lead} {listed(known if shown is None else shown)}"
    )


def listed(names: Sequence[str]) -> str:
    """Names with commas, :data:`MAX_NAMED` at most; "nothing" where there are none. What is not printable is quoted."""
    written = [name[:MAX_CHARACTERS] for name in names[:MAX_NAMED]]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return (", ".join(one if one.isprintable() else repr(one) for one in written) or "nothing") + more


#: What PyTorch says where the system gives no memory for a tensor on the CPU.
_NO_MEMORY = "DefaultCPUAllocator: can't allocate memory"


def is_out_of_memory(error: BaseException) -> bool:
    """True if the machine or a GPU gave no memory; without importing PyTorch."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return not kinds.isdisjoint({"MemoryError", "OutOfMemoryError"}) or _NO_MEMORY in text_of(error)


def require_docstrings() -> None:
    """Refuse a Python that drops docstrings, which transformers reads while it loads a model.

    Raises:
        ConfigError: With what to unset.
    """
    if sys.flags.optimize > 1:
        msg = "transformers needs the docstrings that PYTHONOPTIMIZE=2 (python -OO) drops: unset it, or set it to 1"
        raise ConfigError(msg)


def require_type(name: str, value: object, expected: type) -> None:
    """Refuse an argument of another type.

    Raises:
        ArgumentTypeError: With what to pass.
    """
    if isinstance(value, expected):
        return
    meant = [one for one in (expected, *_subclasses(expected)) if value is one or value == one.__name__]
    kind = (meant or [expected])[0].__name__
    msg = f"{name} is {_described(value)}; pass an object of the class {kind}" + (f": {kind}(…)" if meant else "")
    raise ArgumentTypeError(msg)


def require_optional(**arguments: tuple[object, type]) -> None:
    """Refuse arguments of another type, each given as its value and its type; None is the default of each.

    Raises:
        ArgumentTypeError: With what to pass.
    """
    for name, (value, expected) in arguments.items():
        if value is not None:
            require_type(name, value, expected)


def require_types(name: str, values: object, expected: type) -> None:
    """Refuse what is no list or tuple, and one whose members are of another type.

    Raises:
        ArgumentTypeError: With the position of the first such member, and what to pass.
    """
    if not isinstance(values, list | tuple):
        msg = f"{name} is {_described(values)}; pass a list or tuple of objects of the class {expected.__name__}"
        raise ArgumentTypeError(msg)
    for index, value in enumerate(values):
        if not isinstance(value, expected):
            require_type(f"{name}[{index}]", value, expected)


def _described(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{value!r:.80}, a {type(value).__name__}"


def _subclasses(parent: type) -> Iterator[type]:
    children: list[type] = type.__subclasses__(parent)
    for child in children:
        yield child
        yield from _subclasses(child)
