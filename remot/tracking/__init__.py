"""What goes into MLflow and what comes back out; nothing else in the library imports it.

MLflow and matplotlib are imported when they are first needed: together they take seconds.
"""

from remot.tracking.client import quiet_mlflow
from remot.tracking.command import compare_command
from remot.tracking.compare import CompareTable, RunRow, Spread, StrategyRow, compare_runs
from remot.tracking.plot import plot_comparison
from remot.tracking.run_log import log_run_facts, log_samples_html, log_table, mlflow_loggers
from remot.tracking.save_config import MLflowSaveConfig, log_params

__all__ = [
    "CompareTable",
    "MLflowSaveConfig",
    "RunRow",
    "Spread",
    "StrategyRow",
    "compare_command",
    "compare_runs",
    "log_params",
    "log_run_facts",
    "log_samples_html",
    "log_table",
    "mlflow_loggers",
    "plot_comparison",
    "quiet_mlflow",
]
