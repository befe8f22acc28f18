"""Checks of what a run would be trained on: are the labels right, can they be guessed, and do the splits leak."""

from remot.data.audit.built import audit_built
from remot.data.audit.released import audit_released
from remot.data.audit.report import Audit
from remot.data.audit.run import audit_data

__all__ = ["Audit", "audit_built", "audit_data", "audit_released"]
