"""Which runs of an experiment may be averaged: those that differ in their seed alone.

Runs are grouped by the whole resolved configuration, as MLflow's parameters hold it, without the seed and without
:data:`INERT`. Everything that differs between two groups is a column of the comparison.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from statistics import fmean, stdev

from remot.errors import ConfigError
from remot.evaluation.answer_table import PolicyAnswers

#: Settings that name the seed; runs of one group may differ in them.
SEEDS = ("seed_everything", "model.seed", "data.options.seed")
#: Settings, each with all below it, that change no score: folders, loggers, and what is printed or saved.
INERT = (
    "config",
    "ckpt_path",
    "resume",
    "offline",
    "tags",
    "weights_only",
    "trainer.default_root_dir",
    "trainer.logger",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "checkpoint",
    "interrupt",
    "predictions",
    "progress",
    "samples",
    "summary",
    "held_out.num_pages",
    "data.root",  # a copy of root
)
#: Settings that the fixed columns "strategy", "base model" and "steps" show already.
SHOWN_ELSEWHERE = ("model.strategy.class_path", "model.policy.source.pretrained", "trainer.max_steps")
#: Fields of a run that ``--by`` takes besides settings.
FIELDS = ("strategy", "base_model", "steps", "seed", "name")
#: Shown for a setting that a run does not have.
NOT_SET = "–"

Scores = Mapping[str, float]


@dataclass(frozen=True)
class RunRow:
    """One run.

    Args:
        run_id: MLflow's identifier.
        name: The run's name.
        status: As in MLflow, such as ``FINISHED``, ``RUNNING`` or ``FAILED``.
        strategy: Tag ``remot.strategy``, "?" if missing.
        base_model: Tag ``remot.base_model``, "?" if missing.
        seed: Parameter ``seed_everything``, None if missing.
        steps: Steps trained, by the final evaluation or the last training metric, else parameter ``trainer.max_steps``.
        minutes: Time from start to end, None while it runs.
        base: Scores before training, by name without ``eval/base/``.
        final: Scores after training.
        curve: (step, reward) of ``train/reward/total``.
        settings: The configuration by dotted key, without seed and :data:`INERT`; empty if none is stored.
        curves: (step, value) of other metrics of the training, by name.
        cost: ``seconds``, ``sampled_tokens`` and ``peak_memory_gib``, as far as they were logged.
        answers: Scores per question of the policies ``base`` and ``final``, if the run keeps them.
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
    settings: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    answers: Mapping[str, PolicyAnswers] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """True if the run ended by itself and was evaluated."""
        return self.status == "FINISHED" and bool(self.final)

    @property
    def change(self) -> Scores:
        """Final minus base of the scores that have both."""
        return {name: self.final[name] - self.base[name] for name in self.final if name in self.base}

    def value(self, key: str) -> str:
        """A setting or one of :data:`FIELDS` as text, "–" if the run has none."""
        return str(getattr(self, key)) if key in FIELDS else self.settings.get(key, NOT_SET)


@dataclass(frozen=True)
class Spread:
    """Mean over runs and their standard deviation (n - 1 below), None for a single run."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class GroupRow:
    """Finished runs that are averaged.

    Args:
        runs: The runs, oldest first.
        settings: Their values of the settings in which groups differ, by full key.
        num_settings: Number of different configurations among the runs; more than 1 only where ``--by`` pools them.
        base: Scores before training.
        final: Scores after training.
        change: Final minus base, run by run.
    """

    runs: tuple[RunRow, ...]
    settings: Mapping[str, str]
    num_settings: int
    base: Mapping[str, Spread]
    final: Mapping[str, Spread]
    change: Mapping[str, Spread]

    @property
    def num_runs(self) -> int:
        """Number of runs."""
        return len(self.runs)

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """Seed of each run."""
        return tuple(run.seed for run in self.runs)

    @property
    def is_configured(self) -> bool:
        """False for a run without a stored configuration, which is a group of its own."""
        return bool(self.runs[0].settings)

    def shared(self, name: str) -> str:
        """A field of the runs, such as ``strategy``; the different values where ``--by`` pools them."""
        return ", ".join(dict.fromkeys(str(getattr(run, name)) for run in self.runs))


def settings_that_matter(settings: Mapping[str, str]) -> dict[str, str]:
    """``settings`` without the seed and without :data:`INERT`, sorted by key."""
    passed_over = (*SEEDS, *INERT)
    return {
        key: value
        for key, value in sorted(settings.items())
        if not any(key == inert or key.startswith(f"{inert}.") for inert in passed_over)
    }


def group_runs(runs: Sequence[RunRow], by: Sequence[str] = ()) -> tuple[GroupRow, ...]:
    """Group finished runs.

    Args:
        runs: All runs of an experiment.
        by: Group by these settings alone, whatever else differs; empty to group by all of them. A setting may be
            written by the end of its key, such as ``lr``, where that is unique.

    Raises:
        ConfigError: If ``by`` holds a key that no run has, or that means several.
    """
    finished = [run for run in runs if run.is_finished]
    keys = [full_key(key, runs) for key in by]
    groups: dict[object, list[RunRow]] = defaultdict(list)
    for run in finished:
        groups[tuple(map(run.value, keys)) if keys else _identity(run)].append(run)
    shown = [key for key in keys if key not in FIELDS or key in ("seed", "name")] if keys else differing_keys(finished)
    return tuple(_group(group, shown) for group in groups.values())


def _group(group: Sequence[RunRow], shown: Sequence[str]) -> GroupRow:
    return GroupRow(
        tuple(group),
        {key: group[0].value(key) for key in shown},
        len({_identity(run) for run in group}),
        base=_spreads([run.base for run in group]),
        final=_spreads([run.final for run in group]),
        change=_spreads([run.change for run in group]),
    )


def _identity(run: RunRow) -> object:
    """What runs of one group have in common; a run without a stored configuration is like no other."""
    settings = tuple(sorted(run.settings.items())) if run.settings else run.run_id
    return run.strategy, run.base_model, run.steps, settings


def differing_keys(runs: Iterable[RunRow]) -> list[str]:
    """Settings that are not the same in all runs that have a configuration, without :data:`SHOWN_ELSEWHERE`."""
    configured = [run.settings for run in runs if run.settings]
    names = sorted({key for settings in configured for key in settings} - set(SHOWN_ELSEWHERE))
    return [key for key in names if len({settings.get(key) for settings in configured}) > 1]


def differing_values(groups: Sequence["GroupRow"]) -> dict[str, list[str]]:
    """What differs between groups: strategy, base model, steps, then settings by full key, a value for each group."""
    configured = [run for group in groups for run in group.runs]
    keys = [*(name for name in FIELDS if name not in ("name", "seed")), *differing_keys(configured)]
    values = {key: [", ".join(dict.fromkeys(run.value(key) for run in group.runs)) for group in groups] for key in keys}
    return {key: column for key, column in values.items() if len(set(column)) > 1}


def full_key(key: str, runs: Sequence[RunRow]) -> str:
    """The setting that ``key`` means.

    Raises:
        ConfigError: If no run has it, or it is the end of several.
    """
    known = sorted({name for run in runs for name in run.settings})
    if key in known or key in FIELDS:
        return key
    meant = [name for name in known if name.endswith(f".{key}")]
    if len(meant) == 1:
        return meant[0]
    if meant:
        msg = f"--by {key} means {', '.join(meant)}: write one of them in full"
        raise ConfigError(msg)
    short = {name.rpartition(".")[2]: name for name in known} | {name: name for name in (*known, *FIELDS)}
    near = [short[name] for name in get_close_matches(key, short, n=1)]
    hint = (
        f"did you mean {near[0]}?" if near else "give a key of the configuration, such as model.optimizer.init_args.lr"
    )
    msg = f"--by {key:.80}: no run has such a setting; {hint}"
    raise ConfigError(msg)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """For each key its shortest end that names no other, such as ``lr`` for ``model.optimizer.init_args.lr``."""
    parts = {}
    for key in keys:
        every = key.split(".")
        parts[key] = [word for word in every if word not in ("init_args", "class_path")] or every
    names = {}
    for key, words in parts.items():
        others = [other for name, other in parts.items() if name != key]
        for length in range(1, len(words) + 1):
            if all(other[-length:] != words[-length:] for other in others):
                names[key] = ".".join(words[-length:])
                break
        else:
            names[key] = key
    return names


def _spreads(scores: Sequence[Scores]) -> dict[str, Spread]:
    """Spread of each score that all runs have."""
    shared = [name for name in scores[0] if all(name in one for one in scores)]
    columns = {name: [one[name] for one in scores] for name in shared}
    return {name: Spread(fmean(values), stdev(values) if len(values) > 1 else None) for name, values in columns.items()}
