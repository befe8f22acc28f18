"""What goes into MLflow and what comes back out; nothing else in the library imports it.

MLflow, matplotlib and lightning take seconds to import, so each waits until it is needed: the first two in functions,
lightning until one of the names of :data:`_WRITING` is asked for, which ``remot compare`` never does.
"""

from typing import TYPE_CHECKING

from remot.lazy import lazy_names
from remot.tracking.client import absolute_uri, quiet_mlflow, require_writable, where_to_look
from remot.tracking.command import compare_command
from remot.tracking.compare import COMMAND_TAG, CompareTable, compare_runs
from remot.tracking.courier import sync_command
from remot.tracking.groups import GroupRow, RunRow, Spread
from remot.tracking.plot import plot_comparison
from remot.tracking.run_file import read_run_file, write_run_file
from remot.tracking.store import prepare_store

if TYPE_CHECKING:
    from remot.tracking.resilient import guard_logger, spool_logger
    from remot.tracking.run_log import (
        log_data,
        log_environment,
        log_file,
        log_run_facts,
        log_samples_html,
        log_table,
        machine_facts,
        mark_killed,
        mlflow_loggers,
    )
    from remot.tracking.save_config import CONFIG_KEY, MLflowSaveConfig, flatten, log_params

#: The names that import lightning, by module.
_WRITING = {
    "remot.tracking.save_config": ("CONFIG_KEY", "MLflowSaveConfig", "flatten", "log_params"),
    "remot.tracking.resilient": ("guard_logger", "spool_logger"),
    "remot.tracking.run_log": (
        *("log_data", "log_environment", "log_file", "log_run_facts", "log_samples_html", "log_table"),
        *("machine_facts", "mark_killed", "mlflow_loggers"),
    ),
}

if not TYPE_CHECKING:  # a type checker would take any name for one that __getattr__ knows
    __getattr__ = lazy_names(__name__, _WRITING)

__all__ = [
    "COMMAND_TAG",
    "CONFIG_KEY",
    "CompareTable",
    "GroupRow",
    "MLflowSaveConfig",
    "RunRow",
    "Spread",
    "absolute_uri",
    "compare_command",
    "compare_runs",
    "flatten",
    "guard_logger",
    "log_data",
    "log_environment",
    "log_file",
    "log_params",
    "log_run_facts",
    "log_samples_html",
    "log_table",
    "machine_facts",
    "mark_killed",
    "mlflow_loggers",
    "plot_comparison",
    "prepare_store",
    "quiet_mlflow",
    "read_run_file",
    "require_writable",
    "spool_logger",
    "sync_command",
    "where_to_look",
    "write_run_file",
]
