"""The runs of an MLflow experiment side by side."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from remot.errors import ConfigError
from remot.evaluation.answer_table import ANSWERS_FILE, MAX_BYTES, PolicyAnswers, read_answers
from remot.files import open_regular
from remot.strict_json import json_object
from remot.tracking.client import deleted_experiment, open_client
from remot.tracking.groups import NOT_SET, GroupRow, RunRow, Scores, full_key, group_runs, settings_that_matter

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: The metrics every comparison shows, in this order, if runs have them.
SHOWN_METRICS = (
    "partial",
    "overall",
    "logic",
    "format",
    "partial_greedy",
    "task/success",
    "task/success_greedy",
    "cut_off",
    "cut_off_greedy",
)
REWARD_CURVE = "train/reward/total"
#: Other learning curves that a report shows.
CURVES = ("train/nll", "train/kl", "train/completion/num_tokens", "val/partial")
#: Tag of a run that was continued with other settings: JSON of key to the values that came after the first.
CONTINUED_WITH = "remot.continued_with"
#: Tag of a run that trained nothing: ``validate``, ``test`` or ``predict``, which a comparison leaves out.
COMMAND_TAG = "remot.evaluation"
#: Groups of single runs.
RUN_BY_RUN = ("name",)
_BASE, _FINAL, _COST = "eval/base/", "eval/final/", "cost/"


@dataclass(frozen=True)
class CompareTable:
    """Everything ``remot compare`` shows about an experiment.

    Args:
        experiment: Its name.
        runs: All runs, oldest first.
        groups: The finished ones, averaged.
        by: The settings that ``--by`` groups by; empty where the whole configuration does.
    """

    experiment: str
    runs: tuple[RunRow, ...]
    groups: tuple[GroupRow, ...]
    by: tuple[str, ...] = ()

    @property
    def is_run_by_run(self) -> bool:
        """Whether each run is a group of its own."""
        return self.by == RUN_BY_RUN

    def group_number(self, run: RunRow) -> int | None:
        """Place of the run's group, counted from 1; None if it is in none."""
        return next((number for number, group in enumerate(self.groups, 1) if run in group.runs), None)


def compare_runs(tracking_uri: str, experiment: str, by: Sequence[str] = ()) -> CompareTable:
    """Read and group the runs of ``experiment``, oldest first.

    Raises:
        ConfigError: If the store or the experiment does not exist, the experiment holds no run, or ``by`` no setting.
    """
    return table_of(experiment, read_runs(tracking_uri, experiment), by)


def table_of(experiment: str, runs: Sequence[RunRow], by: Sequence[str] = ()) -> CompareTable:
    """Group runs.

    Raises:
        ConfigError: If ``by`` names no setting.
    """
    return CompareTable(experiment, tuple(runs), group_runs(runs, by), tuple(full_key(key, runs) for key in by))


def read_runs(tracking_uri: str, experiment: str) -> tuple[RunRow, ...]:
    """The runs of ``experiment``, oldest first.

    Raises:
        ConfigError: If the store or the experiment does not exist, or the experiment holds no run.
    """
    client = open_client(tracking_uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        names = sorted(one.name for one in _pages(client.search_experiments) if one.name != "Default")
        there = f"it has {', '.join(names)}" if names else "it has none yet; run `remot fit` first"
        msg = f"{tracking_uri} has no experiment {experiment!r}; {there}"
        raise ConfigError(msg)
    if found.lifecycle_stage == "deleted":
        raise ConfigError(deleted_experiment(tracking_uri, experiment, found.experiment_id))
    order = {"experiment_ids": [found.experiment_id], "order_by": ["attributes.start_time ASC"]}
    found_runs = (run for run in _pages(client.search_runs, **order) if COMMAND_TAG not in run.data.tags)
    runs = tuple(_read_run(client, run) for run in found_runs)
    if not runs:
        msg = f"experiment {experiment!r} in {tracking_uri} holds no run; run `remot fit` first"
        raise ConfigError(msg)
    return runs


def read_run(tracking_uri: str, run_id: str) -> RunRow | None:
    """One run; None if the store does not have it.

    Raises:
        ConfigError: If the store does not exist.
    """
    from mlflow.exceptions import MlflowException

    client = open_client(tracking_uri)
    try:
        return _read_run(client, client.get_run(run_id))
    except MlflowException:
        return None


def _pages(search: Callable[..., Any], **arguments: object) -> Iterator[Any]:
    """All results of a paged MLflow search."""
    token: str | None = None
    while True:
        page = search(**arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _read_run(client: "MlflowClient", run: "Run") -> RunRow:
    info, data = run.info, run.data
    curve = _history(client, info.run_id, REWARD_CURVE) if REWARD_CURVE in data.metrics else ()
    ended = info.end_time is not None and info.start_time is not None
    cost = _scores(data.metrics, _COST)
    minutes = (info.end_time - info.start_time) / 60_000 if ended else None
    is_finished = info.status == "FINISHED"
    return RunRow(
        run_id=info.run_id,
        name=info.run_name or info.run_id[:8],
        status=info.status,
        strategy=data.tags.get("remot.strategy", "?"),
        base_model=data.tags.get("remot.base_model", "?"),
        seed=_integer(data.params.get("seed_everything")),
        steps=_num_steps(client, run, curve) or _integer(data.params.get("trainer.max_steps")),
        minutes=cost["seconds"] / 60 if "seconds" in cost and ended else minutes,
        base=_scores(data.metrics, _BASE),
        final=_scores(data.metrics, _FINAL),
        curve=curve,
        settings=_settings(data.params, data.tags),
        curves={key: _history(client, info.run_id, key) for key in CURVES if key in data.metrics},
        cost=cost,
        answers=_answers(client, info.run_id) if is_finished else {},
    )


def _answers(client: "MlflowClient", run_id: str) -> dict[str, PolicyAnswers]:
    """Scores per question of a run; none if it keeps none, as those of earlier versions."""
    from mlflow.exceptions import MlflowException

    with TemporaryDirectory(prefix="remot-") as folder:
        try:
            file = Path(client.download_artifacts(run_id, ANSWERS_FILE, folder))
            with open_regular(file) as stream:
                content = stream.read(MAX_BYTES + 1)
        except (MlflowException, OSError):
            return {}
    return read_answers(f"{ANSWERS_FILE} of the run {run_id}", content, ("base", "final"))


def _settings(params: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str]:
    """What the run was configured with; where it was continued with another value, all of them in order."""
    later = continued_with(tags)
    held = {key: " → ".join([value, *later.pop(key, [])]) for key, value in params.items()}
    held |= {key: " → ".join([NOT_SET, *values]) for key, values in later.items()}
    if "trainer.max_steps" in held:  # going on for longer is the same training
        held["trainer.max_steps"] = held["trainer.max_steps"].rpartition(" → ")[2]
    return settings_that_matter(held)


def continued_with(tags: Mapping[str, str]) -> dict[str, list[str]]:
    """What :data:`CONTINUED_WITH` holds; nothing if it is missing or was written by something else."""
    held = json_object(tags.get(CONTINUED_WITH, ""))
    return {key: [str(value) for value in values] for key, values in held.items() if isinstance(values, list)}


def _scores(metrics: Mapping[str, float], prefix: str) -> Scores:
    return {key.removeprefix(prefix): value for key, value in sorted(metrics.items()) if key.startswith(prefix)}


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text) else None


def _history(client: "MlflowClient", run_id: str, key: str) -> tuple[tuple[int, float], ...]:
    return tuple(sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, key)))


def _num_steps(client: "MlflowClient", run: "Run", curve: Sequence[tuple[int, float]]) -> int | None:
    """Step of the final evaluation, else how many steps the last reward or any other training metric was after."""
    metrics, run_id = run.data.metrics, run.info.run_id
    if f"{_FINAL}partial" in metrics:
        return _history(client, run_id, f"{_FINAL}partial")[-1][0]
    training = next((key for key in sorted(metrics) if key.startswith("train/")), None)
    logged = curve or (_history(client, run_id, training) if training else ())
    return logged[-1][0] + 1 if logged else None  # training metrics count their steps from 0
