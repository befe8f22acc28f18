"""Public names of a package that import their module on first use (PEP 562)."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """``__getattr__`` of a package.

    The names stay out of ``dir``, and out of the package's namespace once they are used: ``help`` evaluates each name
    that ``dir`` lists, and would print thousands of lines about the classes. ``__all__`` lists the names.

    Args:
        package: ``__name__`` of the package.
        homes: Public names of each module.
    """
    module_of = {name: module for module, names in homes.items() for name in names}

    def __getattr__(name: str) -> Any:  # noqa: ANN401, N807 (any public name; what Python calls it)
        if name not in module_of:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=import_module(package))
        return getattr(import_module(module_of[name]), name)

    return __getattr__
