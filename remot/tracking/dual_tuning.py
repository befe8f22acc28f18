"""Which attributes profit from reasoning: the two numbers of Dual Tuning, with intervals."""

from collections.abc import Sequence

from remot.errors import ConfigError
from remot.tracking.compare import CompareTable
from remot.tracking.significance import DualRow, differences, metrics_to_test, side_of

#: Scores whose two numbers are shown unless others are asked for.
DEFAULT_METRICS = ("attribute",)


def dual_rows(
    table: CompareTable, reasoning: int, direct: int, metrics: Sequence[str], notes: dict[str, None]
) -> tuple[DualRow, ...]:
    """Gain and gap of each score.

    Args:
        table: The comparison.
        reasoning: Number of the group that was trained and asked with reasoning.
        direct: Number of the group that was trained and asked for the answer alone.
        metrics: Scores, each with all below it; :data:`DEFAULT_METRICS` if empty.
        notes: What was compared, and why some was not, is added to it.

    Raises:
        ConfigError: If there is no such group or score.
    """
    if reasoning == direct or not {reasoning, direct} <= set(range(1, len(table.groups) + 1)):
        msg = f"--dual {reasoning} {direct}: give two different groups of the {len(table.groups)}, counted from 1"
        raise ConfigError(msg)
    chosen = metrics_to_test(table, metrics or DEFAULT_METRICS)
    groups = {name: table.groups[number - 1] for name, number in (("reasoning", reasoning), ("direct", direct))}
    before = {name: side_of(group, f"{name} base", "base") for name, group in groups.items()}
    after = {name: side_of(group, f"{name} trained", "final") for name, group in groups.items()}
    gains = {name: differences(before[name], after[name], chosen, notes, same_runs=True) for name in groups}
    gaps = differences(after["direct"], after["reasoning"], chosen, notes, same_runs=False)
    shared = [name for name in chosen if name in gaps and all(name in held for held in gains.values())]
    return tuple(DualRow(name, gains["reasoning"][name], gains["direct"][name], gaps[name]) for name in shared)
