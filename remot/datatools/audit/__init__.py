"""Checks of what a run would be trained on: are the labels right, can they be guessed, and do the splits leak."""

from remot.datatools.audit.built import audit_built
from remot.datatools.audit.released import audit_released
from remot.datatools.audit.report import Audit
from remot.datatools.audit.run import audit_data

__all__ = ["Audit", "audit_built", "audit_data", "audit_released"]
