"""Which differences between groups of runs are more than chance: tests on the same questions, corrected by Holm."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from remot.errors import ConfigError, did_you_mean
from remot.evaluation.answer_table import PolicyAnswers, QuestionKey
from remot.evaluation.paired import Difference, holm, paired_difference, seed_difference
from remot.structures import interval_note
from remot.tracking.compare import SHOWN_METRICS, CompareTable
from remot.tracking.groups import GroupRow

#: Runs of a group from which the seeds are the unit of a test.
MIN_SEEDS = 3
#: Corrected p-value below which a difference is called one.
LEVEL = 0.05


@dataclass(frozen=True)
class MetricTest:
    """One metric of one comparison.

    Args:
        first: What is compared: ``1 base``, ``1`` for a group.
        second: With what.
        metric: Name of the score.
        difference: Second minus first.
        corrected: p-value after Holm's correction over all tests of its table; NaN if there is none.
        corrected_mcnemar: Likewise of McNemar's test.
    """

    first: str
    second: str
    metric: str
    difference: Difference
    corrected: float
    corrected_mcnemar: float

    @property
    def differs(self) -> bool | None:
        """Whether there is a difference at the level of 5 %; None if that was not tested."""
        return None if math.isnan(self.corrected) else self.corrected < LEVEL


@dataclass(frozen=True)
class DualRow:
    """Gain and gap of one score (Dual Tuning, arXiv 2603.04415).

    Args:
        metric: Name of the score.
        gain: Trained minus base, both with reasoning.
        gain_direct: Trained minus base, both without.
        gap: With reasoning minus without, after training.
    """

    metric: str
    gain: Difference
    gain_direct: Difference
    gap: Difference

    @property
    def kind(self) -> str:
        """``reason`` where gain and gap are above 0, as published; else ``answer at once`` or ``leave out``.

        The paper names the last two kinds without a rule; here the gain without reasoning decides.
        """
        if self.gain.estimate.mean > 0 and self.gap.estimate.mean > 0:
            return "reason"
        return "answer at once" if self.gain_direct.estimate.mean > 0 else "leave out"

    @property
    def is_shown(self) -> bool:
        """Whether the intervals of all that decides the kind lie on the side of 0 that the means are on."""
        gain, direct, gap = (one.estimate for one in (self.gain, self.gain_direct, self.gap))
        if self.kind == "reason":
            return gain.low > 0 and gap.low > 0
        without = direct.low > 0 if self.kind == "answer at once" else direct.high <= 0
        return without and (gain.high <= 0 or gap.high <= 0)


@dataclass(frozen=True)
class Significance:
    """All tests of a comparison.

    Args:
        changes: Each group before and after training.
        contrasts: Each group against the baseline.
        notes: What was tested, and why some of it was not.
        dual: Gain and gap of two groups, one with reasoning and one without, where they were asked for.
    """

    changes: tuple[MetricTest, ...] = ()
    contrasts: tuple[MetricTest, ...] = ()
    notes: tuple[str, ...] = ()
    dual: tuple[DualRow, ...] = ()


NO_TESTS = Significance()


@dataclass(frozen=True)
class Side:
    """The same policy or setting, once for each run."""

    name: str
    answers: Sequence[PolicyAnswers]
    seeds: Sequence[int | None]


def significance(table: CompareTable, baseline: int = 1, metrics: Sequence[str] = ()) -> Significance:
    """Test the change of each group, and each group against the baseline.

    Args:
        table: The comparison.
        baseline: Number of the group that others are compared with.
        metrics: Scores to test, each with all below it, such as ``attribute``; those that tables show if empty.

    Raises:
        ConfigError: If there is no such group or score.
    """
    groups = table.groups
    if groups and not 1 <= baseline <= len(groups):
        msg = f"--baseline {baseline}: there are {len(groups)} groups, counted from 1"
        raise ConfigError(msg)
    tested = metrics_to_test(table, metrics)
    notes: dict[str, None] = {}
    changes = [
        (side_of(group, f"{number} base", "base"), side_of(group, f"{number} trained", "final"))
        for number, group in enumerate(groups, 1)
        if any("base" in run.answers for run in group.runs)
    ]
    others = [(number, group) for number, group in enumerate(groups, 1) if number != baseline]
    first = groups[baseline - 1] if others else None
    contrasts = [
        (side_of(first, str(baseline), "final"), side_of(group, str(number), "final"))
        for number, group in others
        if first is not None
    ]
    return Significance(
        _tests(changes, tested, notes, same_runs=True), _tests(contrasts, tested, notes, same_runs=False), tuple(notes)
    )


def metrics_to_test(table: CompareTable, asked: Sequence[str]) -> list[str]:
    """Names of the scores to test: those asked for, else those that tables show, else all without a slash.

    Raises:
        ConfigError: If no run has one that was asked for.
    """
    held = [answers for group in table.groups for run in group.runs for answers in run.answers.values()]
    known = sorted({name for answers in held for name in answers.metrics})
    if not asked:
        return [name for name in SHOWN_METRICS if name in known] or [name for name in known if "/" not in name]
    chosen: dict[str, None] = {}
    for name in asked:
        below = [one for one in known if one == name or one.startswith(f"{name}/")]
        if not below and known:
            hint = did_you_mean(name, known, "there are")
            msg = f"--metrics {name:.80}: no run has scores of that name per question; {hint}"
            raise ConfigError(msg)
        chosen |= dict.fromkeys(below)
    return list(chosen)


def side_of(group: GroupRow, name: str, policy: str) -> Side:
    """What ``base`` or ``final`` of each run of a group answered; nothing unless all of them kept it."""
    kept = [run for run in group.runs if policy in run.answers]
    complete = kept if len(kept) == group.num_runs else []
    return Side(name, [run.answers[policy] for run in complete], [run.seed for run in complete])


def _tests(
    pairs: Sequence[tuple[Side, Side]], metrics: Sequence[str], notes: dict[str, None], *, same_runs: bool
) -> tuple[MetricTest, ...]:
    """Tests of all pairs, corrected together; what keeps a pair from being tested goes into ``notes``."""
    found: list[tuple[str, str, str, Difference]] = []
    for first, second in pairs:
        compared = differences(first, second, metrics, notes, same_runs=same_runs)
        found += [(first.name, second.name, metric, difference) for metric, difference in compared.items()]
    corrected = holm([one.p_value for *_, one in found])
    mcnemars = holm([math.nan if one.mcnemar is None else one.mcnemar.p_value for *_, one in found])
    return tuple(MetricTest(*one, *ps) for one, *ps in zip(found, corrected, mcnemars, strict=True))


def differences(
    first: Side, second: Side, metrics: Sequence[str], notes: dict[str, None], *, same_runs: bool
) -> dict[str, Difference]:
    """Second minus first in each metric that all runs have; what keeps them from being compared goes into ``notes``."""
    if reason := _why_not(first, second):
        notes.setdefault(reason)
        return {}
    compare = _comparison(first, second, notes, same_runs=same_runs)
    answers = (*first.answers, *second.answers)
    return {metric: compare(metric) for metric in metrics if all(metric in one.metrics for one in answers)}


def _why_not(first: Side, second: Side) -> str:
    """Why there are no p-values; "" if there is no reason."""
    between = f"{first.name} and {second.name}"
    if not (first.answers and second.answers):
        return f"no test between {between}: not every run keeps its scores per question (held_out_answers.jsonl)"
    asked = [set(one.scores) for one in (*first.answers, *second.answers)]
    shared, every = set.intersection(*asked), set.union(*asked)
    if shared != every:
        return f"no test between {between}: their questions differ, {len(shared)} of {len(every)} are the same"
    return ""


def _comparison(first: Side, second: Side, notes: dict[str, None], *, same_runs: bool) -> Callable[[str], Difference]:
    """How to compare two sides in a metric: by seeds where both have enough of them, else question by question."""
    keys = sorted(first.answers[0].scores)
    if min(len(set(first.seeds)), len(set(second.seeds))) >= MIN_SEEDS:
        notes.setdefault(
            "unit seeds: t-tests over runs, on these questions; they say what other seeds of the training would give"
        )

        def by_seeds(metric: str) -> Difference:
            before, after = ([answers.mean(metric) for answers in side.answers] for side in (first, second))
            present = int((~np.isnan(first.answers[0].column(metric, keys))).sum())
            return seed_difference(before, after, paired=same_runs, num_questions=present)

        return by_seeds
    notes.setdefault(
        "unit scenes: paired bootstrap over scenes, of these policies; it says what other scenes of this kind would "
        f"give, not what other seeds would, which takes {MIN_SEEDS} seeds a group"
    )
    scenes = [first.answers[0].scenes[key] for key in keys]
    note = interval_note(len(set(scenes)))
    notes |= {note: None} if note else {}
    common = set(first.seeds) & set(second.seeds)
    columns = (_column(first, common, keys), _column(second, common, keys))
    return lambda metric: paired_difference(columns[0](metric), columns[1](metric), scenes)


def _column(side: Side, seeds: set[int | None], keys: Sequence[QuestionKey]) -> Callable[[str], np.ndarray]:
    """Mean of each question's score over the runs of the seeds that both sides have, of all runs if there are none."""
    chosen = [one for one, seed in zip(side.answers, side.seeds, strict=True) if not seeds or seed in seeds]
    return lambda metric: np.mean([one.column(metric, keys) for one in chosen], axis=0)
