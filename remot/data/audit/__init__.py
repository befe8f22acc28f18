"""Checks of what a run would be trained on: are the labels right, can they be guessed, and do the splits leak."""

from remot.data.audit.built import audit_built
from remot.data.audit.released import audit_released
from remot.data.audit.report import Audit
from remot.data.audit.run import audit_data
from remot.data.audit.tasks.built import audit_built_tasks
from remot.data.audit.tasks.report import TaskAudit
from remot.data.audit.tasks.run import audit_tasks

__all__ = ["Audit", "TaskAudit", "audit_built", "audit_built_tasks", "audit_data", "audit_released", "audit_tasks"]
