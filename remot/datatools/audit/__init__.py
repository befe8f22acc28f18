"""Checks of what a run would be trained on: are the labels right, can they be guessed, and do the splits leak.

The names below import torch, which takes seconds; models that answer without images (``blind``) do not need it.
"""

from typing import TYPE_CHECKING

from remot.lazy import lazy_names

if TYPE_CHECKING:
    from remot.datatools.audit.built import audit_built
    from remot.datatools.audit.released import audit_released
    from remot.datatools.audit.report import Audit
    from remot.datatools.audit.run import audit_data

if not TYPE_CHECKING:  # a type checker would take any name for one that __getattr__ knows
    __getattr__ = lazy_names(
        __name__,
        {
            "remot.datatools.audit.report": ("Audit",),
            "remot.datatools.audit.built": ("audit_built",),
            "remot.datatools.audit.run": ("audit_data",),
            "remot.datatools.audit.released": ("audit_released",),
        },
    )

__all__ = ["Audit", "audit_built", "audit_data", "audit_released"]
