"""What goes into MLflow and what comes back out; nothing else in the library imports it.

MLflow, matplotlib and lightning take seconds to import, so each waits until it is needed: the first two in functions,
lightning until one of the names of :data:`_WRITING` is asked for, which ``remot compare`` never does.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from remot.tracking.client import quiet_mlflow, require_writable
from remot.tracking.command import compare_command
from remot.tracking.compare import COMMAND_TAG, CompareTable, compare_runs
from remot.tracking.groups import GroupRow, RunRow, Spread
from remot.tracking.plot import plot_comparison
from remot.tracking.store import prepare_store

if TYPE_CHECKING:
    from remot.tracking.resilient import guard_logger
    from remot.tracking.run_log import log_run_facts, log_samples_html, log_table, mark_killed, mlflow_loggers
    from remot.tracking.save_config import CONFIG_KEY, MLflowSaveConfig, flatten, log_params

#: Names of modules that import lightning.
_WRITING = {
    "CONFIG_KEY": "save_config",
    "MLflowSaveConfig": "save_config",
    "flatten": "save_config",
    "guard_logger": "resilient",
    "log_params": "save_config",
    "log_run_facts": "run_log",
    "log_samples_html": "run_log",
    "log_table": "run_log",
    "mark_killed": "run_log",
    "mlflow_loggers": "run_log",
}

__all__ = [
    "COMMAND_TAG",
    "CONFIG_KEY",
    "CompareTable",
    "GroupRow",
    "MLflowSaveConfig",
    "RunRow",
    "Spread",
    "compare_command",
    "compare_runs",
    "flatten",
    "guard_logger",
    "log_params",
    "log_run_facts",
    "log_samples_html",
    "log_table",
    "mark_killed",
    "mlflow_loggers",
    "plot_comparison",
    "prepare_store",
    "quiet_mlflow",
    "require_writable",
]


def __getattr__(name: str) -> object:
    if name not in _WRITING:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_WRITING[name]}"), name)
