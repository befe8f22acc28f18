"""The runs of an MLflow experiment side by side."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from remot.errors import ConfigError
from remot.tracking.client import open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: The metrics every comparison shows, in this order, if runs have them.
SHOWN_METRICS = ("partial", "overall", "logic", "format", "partial_greedy", "task/success", "task/success_greedy")
REWARD_CURVE = "train/reward/total"
_BASE, _FINAL = "eval/base/", "eval/final/"

Scores = Mapping[str, float]


@dataclass(frozen=True)
class RunRow:
    """One run.

    Args:
        run_id: MLflow's identifier.
        name: The run's name.
        status: MLflow's word, such as ``FINISHED``, ``RUNNING`` or ``FAILED``.
        strategy: Tag ``remot.strategy``, "?" if missing.
        base_model: Tag ``remot.base_model``, "?" if missing.
        seed: Parameter ``seed_everything``, None if missing.
        steps: Step of the last training metric, else parameter ``trainer.max_steps``.
        minutes: Time from start to end, None while it runs.
        base: Scores before training, by name without ``eval/base/``.
        final: Scores after training.
        curve: (step, reward) of ``train/reward/total``.
    """

    run_id: str
    name: str
    status: str
    strategy: str
    base_model: str
    seed: int | None
    steps: int | None
    minutes: float | None
    base: Scores
    final: Scores
    curve: tuple[tuple[int, float], ...] = ()

    @property
    def is_finished(self) -> bool:
        """True if the run ended by itself and was evaluated."""
        return self.status == "FINISHED" and bool(self.final)

    @property
    def change(self) -> Scores:
        """Final minus base of the scores that have both."""
        return {name: self.final[name] - self.base[name] for name in self.final if name in self.base}


@dataclass(frozen=True)
class Spread:
    """Mean over runs and their standard deviation (n - 1 below), None for a single run."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class StrategyRow:
    """The finished runs that share strategy, base model and number of steps.

    Args:
        strategy: Their strategy.
        base_model: Their base model.
        steps: Their number of steps.
        seeds: Seed of each run.
        base: Scores before training.
        final: Scores after training.
        change: Final minus base, run by run.
    """

    strategy: str
    base_model: str
    steps: int | None
    seeds: tuple[int | None, ...]
    base: Mapping[str, Spread]
    final: Mapping[str, Spread]
    change: Mapping[str, Spread]

    @property
    def num_runs(self) -> int:
        """Number of runs."""
        return len(self.seeds)


@dataclass(frozen=True)
class CompareTable:
    """Everything ``remot compare`` shows about an experiment."""

    experiment: str
    runs: tuple[RunRow, ...]
    by_strategy: tuple[StrategyRow, ...]


def compare_runs(tracking_uri: str, experiment: str) -> CompareTable:
    """Read the runs of ``experiment``, oldest first.

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
    order = {"experiment_ids": [found.experiment_id], "order_by": ["attributes.start_time ASC"]}
    runs = tuple(_read_run(client, run) for run in _pages(client.search_runs, **order))
    if not runs:
        msg = f"experiment {experiment!r} in {tracking_uri} holds no run; run `remot fit` first"
        raise ConfigError(msg)
    return CompareTable(experiment, runs, group_by_strategy(runs))


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
    return RunRow(
        run_id=info.run_id,
        name=info.run_name or info.run_id[:8],
        status=info.status,
        strategy=data.tags.get("remot.strategy", "?"),
        base_model=data.tags.get("remot.base_model", "?"),
        seed=_integer(data.params.get("seed_everything")),
        steps=_last_step(client, run, curve) or _integer(data.params.get("trainer.max_steps")),
        minutes=(info.end_time - info.start_time) / 60_000 if ended else None,
        base=_scores(data.metrics, _BASE),
        final=_scores(data.metrics, _FINAL),
        curve=curve,
    )


def _scores(metrics: Mapping[str, float], prefix: str) -> Scores:
    return {key.removeprefix(prefix): value for key, value in sorted(metrics.items()) if key.startswith(prefix)}


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text) else None


def _history(client: "MlflowClient", run_id: str, key: str) -> tuple[tuple[int, float], ...]:
    return tuple(sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, key)))


def _last_step(client: "MlflowClient", run: "Run", curve: Sequence[tuple[int, float]]) -> int | None:
    """Step of the final evaluation, else of the last reward, else of any other training metric."""
    metrics = run.data.metrics
    training = [f"{_FINAL}partial", *sorted(key for key in metrics if key.startswith("train/"))]
    candidates = [curve[-1][0]] if curve else []
    for key in [key for key in training if key in metrics][:2]:
        candidates += [step for step, _ in _history(client, run.info.run_id, key)[-1:]]
    return max(candidates, default=None)


def group_by_strategy(runs: Sequence[RunRow]) -> tuple[StrategyRow, ...]:
    """Group finished runs; only runs of one strategy, base model and length are averaged."""
    groups: dict[tuple[str, str, int | None], list[RunRow]] = defaultdict(list)
    for run in runs:
        if run.is_finished:
            groups[run.strategy, run.base_model, run.steps].append(run)
    return tuple(
        StrategyRow(
            strategy,
            base_model,
            steps,
            tuple(run.seed for run in group),
            base=_spreads([run.base for run in group]),
            final=_spreads([run.final for run in group]),
            change=_spreads([run.change for run in group]),
        )
        for (strategy, base_model, steps), group in groups.items()
    )


def _spreads(scores: Sequence[Scores]) -> dict[str, Spread]:
    """Spread of each score that all runs have."""
    shared = [name for name in scores[0] if all(name in one for one in scores)]
    columns = {name: [one[name] for one in scores] for name in shared}
    return {name: Spread(fmean(values), stdev(values) if len(values) > 1 else None) for name, values in columns.items()}
