"""Texts of prompts by a model's chat template, which is a program that comes with the model.

Transformers runs it in Jinja's sandbox, from which no file, attribute or function of Python is reached, but which takes
any time and memory. Both are bounded here.
"""

import ctypes
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remot.errors import ConfigError

try:
    import resource
except ImportError:  # on Windows memory is not bounded
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from jinja2.nodes import Node
    from jinja2.parser import Parser
    from transformers import ProcessorMixin

#: Bounds of one prompt: seconds, bytes that the process may grow by meanwhile, and characters of its text.
MAX_SECONDS = 10.0
MAX_BYTES = 2 * 2**30
MAX_CHARACTERS = 4 * 2**20
#: Longest template, and largest number in it that anything is multiplied by.
MAX_TEMPLATE_CHARACTERS = 2**20
MAX_FACTOR = 10**6


class _LateError(Exception):
    """Raised inside a template that takes too long."""


def render_prompt(processor: "ProcessorMixin", messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of a prompt that the assistant is to answer.

    Args:
        processor: The model's, with its chat template.
        messages: Roles and contents, as transformers takes them.

    Raises:
        ConfigError: If the template fails, or takes longer than :data:`MAX_SECONDS` or more memory than
            :data:`MAX_BYTES`, or its text is longer than :data:`MAX_CHARACTERS`.
    """
    try:
        with _bounded_memory(), _bounded_seconds():
            text = str(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except _LateError as error:
        msg = f"the model's chat template takes more than {MAX_SECONDS:g} s for one prompt; use another template"
        raise ConfigError(msg) from error
    except MemoryError as error:
        msg = f"the model's chat template takes more than {MAX_BYTES} bytes for one prompt; use another template"
        raise ConfigError(msg) from error
    except Exception as error:  # whatever the template does
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        msg = f"the model's chat template fails ({cause}); use another template"
        raise ConfigError(msg) from error
    if len(text) > MAX_CHARACTERS:
        msg = f"the model's chat template makes a prompt of {len(text)} characters, {MAX_CHARACTERS} are allowed"
        raise ConfigError(msg)
    return text


@contextmanager
def _bounded_seconds() -> Iterator[None]:
    """Raise :class:`_LateError` in this thread, at the next line of Python that it runs, after :data:`MAX_SECONDS`."""
    thread_id, lock, is_over = ctypes.c_ulong(threading.get_ident()), threading.Lock(), threading.Event()
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def interrupt() -> None:
        with lock:
            if not is_over.is_set():
                raise_in(thread_id, ctypes.py_object(_LateError))

    timer = threading.Timer(MAX_SECONDS, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            is_over.set()
            raise_in(thread_id, None)  # it may have been raised between the last line and this one
        timer.cancel()


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """Let this process have :data:`MAX_BYTES` more of address space than it has now."""
    statm = Path("/proc/self/statm")
    if resource is None or not statm.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = int(statm.read_text().split()[0]) * resource.getpagesize() + MAX_BYTES
    bounds = [wanted, *(bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_AS, (min(bounds), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def require_bounded_template(template: object) -> None:
    """Refuse templates with operations whose time cannot be bounded while they run.

    These are powers, and products of two values that are not written out: both make numbers of any length in one
    step.

    Raises:
        ConfigError: If it is one of these, too long, or not Jinja.
    """
    for text in template.values() if isinstance(template, Mapping) else (template,):
        if isinstance(text, str):
            _require_bounded_text(text)


def _require_bounded_text(text: str) -> None:
    from jinja2 import Environment, TemplateError, nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        """The element with which transformers' templates mark what the assistant writes."""

        tags = {"generation"}  # noqa: RUF012 (as its base class has it)

        def parse(self, parser: "Parser") -> list["Node"]:
            """Its content."""
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    if len(text) > MAX_TEMPLATE_CHARACTERS:
        msg = f"the model's chat template has {len(text)} characters, {MAX_TEMPLATE_CHARACTERS} are allowed"
        raise ConfigError(msg)
    try:
        tree = Environment(extensions=["jinja2.ext.loopcontrols", Generation], autoescape=True).parse(text)
    except (TemplateError, RecursionError, ValueError) as error:
        msg = f"the model's chat template is no Jinja ({str(error)[:200]}); use another template"
        raise ConfigError(msg) from error
    products = [node for node in tree.find_all(nodes.Mul) if not (_is_factor(node.left) or _is_factor(node.right))]
    if next(tree.find_all(nodes.Pow), None) is not None or products:
        msg = "the model's chat template computes powers or products of variables, which are not bounded; use another"
        raise ConfigError(msg)


def _is_factor(node: "Node") -> bool:
    """A text or a small number that is written out."""
    from jinja2 import nodes

    return isinstance(node, nodes.Const) and (
        isinstance(node.value, str) or (isinstance(node.value, int | float) and abs(node.value) <= MAX_FACTOR)
    )
