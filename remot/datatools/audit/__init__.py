"""Checks of what a run would be trained on: are the labels right, can they be guessed, and do the splits leak.

The names below import lightning, which takes seconds; models that answer without images (``blind``) do not need it.
"""

from typing import TYPE_CHECKING

from remot.lazy import lazy_names

if TYPE_CHECKING:
    from remot.datatools.audit.built import audit_built
    from remot.datatools.audit.released import audit_released
    from remot.datatools.audit.report import Audit
    from remot.datatools.audit.run import audit_data

if not TYPE_CHECKING:  # a type checker would take any name for one that __getattr__ knows
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Audit": "remot.datatools.audit.report",
            "audit_built": "remot.datatools.audit.built",
            "audit_data": "remot.datatools.audit.run",
            "audit_released": "remot.datatools.audit.released",
        },
    )

__all__ = ["Audit", "audit_built", "audit_data", "audit_released"]
