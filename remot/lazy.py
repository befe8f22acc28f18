"""Public names of a package that import their module on first use (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: ``__name__`` of the package.
        homes: Module of each public name.
    """
    namespace = vars(sys.modules[package])

    def __getattr__(name: str) -> Any:  # noqa: ANN401, N807 (any public name; what Python calls it)
        if name not in homes:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=sys.modules[package])
        value = getattr(import_module(homes[name]), name)
        namespace[name] = value  # found without this function from now on
        return value

    def __dir__() -> list[str]:  # noqa: N807 (what Python calls it)
        # `inspect.getmembers`, and `help` by it, evaluates every name listed: that would import torch, and print
        # thousands of lines about the classes. Completion, which only needs the names, calls `dir` from elsewhere.
        if sys._getframe(1).f_globals.get("__name__") == "inspect":
            return sorted(set(namespace) - set(homes))
        return sorted({*namespace, *homes})

    return __getattr__, __dir__
