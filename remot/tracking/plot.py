"""The comparison as an image."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from remot.files import write_whole
from remot.tracking.compare import CompareTable
from remot.tracking.groups import GroupRow, RunRow, Scores, Spread
from remot.tracking.render import setting_names, shown_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from remot.structures import FloatArray

BASE_COLOUR, FINAL_COLOUR = "#b8bec6", "#2563a8"
_METRICS = ("partial", "overall")
#: Width of a letter of the labels below bars, so that they do not overlap.
INCHES_PER_LETTER = 0.085
#: Height of a line of them, so that they do not take the height of the bars.
INCHES_PER_LINE = 0.16
#: Of the strategies' learning curves, safe for colour-blind readers (Okabe and Ito).
_CURVE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


@dataclass(frozen=True)
class _Bar:
    """Two bars side by side and the words below them."""

    label: str
    base: Spread | None
    final: Spread | None


def plot_comparison(table: CompareTable, path: str | Path) -> Path:
    """Draw Partial and Overall before and after training, and the reward curves if runs have any, into a PNG.

    Runs of one group share a bar whose whisker is their standard deviation; runs that are not finished stand alone.
    """
    from matplotlib.figure import Figure

    curves = [run for run in table.runs if len(run.curve) > 1]
    bars = _bars(table, _METRICS[0])
    labels = [bar.label.splitlines() for bar in bars]
    longest = max((len(line) for label in labels for line in label), default=0)
    height = 4.6 + INCHES_PER_LINE * max((len(label) - 4 for label in labels), default=0)
    width = max(5.2, max(1.3, INCHES_PER_LETTER * longest) * len(bars))
    figure = Figure(figsize=(width * (2 + bool(curves)), max(4.6, height)), layout="constrained")
    axes = figure.subplots(1, 2 + bool(curves))
    for axis, metric in zip(axes, _METRICS, strict=False):
        _draw_bars(axis, metric, _bars(table, metric))
    if curves:
        _draw_curves(axes[-1], table, curves)
    if table.experiment:
        figure.suptitle(_plain(f"experiment {table.experiment}"))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = io.BytesIO()
    figure.savefig(image, dpi=120, format="png")
    write_whole(path, image.getvalue())
    return path


def _bars(table: CompareTable, metric: str) -> list[_Bar]:
    bars = [
        _Bar("\n".join(_group_label(table, row)), row.base.get(metric), row.final.get(metric)) for row in table.groups
    ]
    for run in table.runs:
        if not run.is_finished and metric in run.base:
            label = f"{run.strategy}\n({run.status.lower()})"
            bars.append(_Bar(label, _alone(run.base, metric), _alone(run.final, metric)))
    return bars


def _group_label(table: CompareTable, row: GroupRow) -> list[str]:
    """Strategy, base model where there are several, settings in which groups differ, length and number of runs."""
    several = len({group.shared("base_model") for group in table.groups}) > 1
    settings = [f"{name} {shown_setting(row, key)}" for key, name in setting_names(table).items()]
    pooled = [f"{row.num_settings} settings"] if row.num_settings > 1 else []
    names = [row.shared("strategy"), *([row.shared("base_model")] if several else [])]
    return [*names, *settings, *pooled, f"{row.shared('steps')} steps, n={row.num_runs}"]


def _alone(scores: Scores, metric: str) -> Spread | None:
    return Spread(scores[metric], None) if metric in scores else None


def _draw_bars(axis: "Axes", metric: str, bars: list[_Bar]) -> None:
    before, after = [bar.base for bar in bars], [bar.final for bar in bars]
    for shift, spreads, colour, name in ((-0.2, before, BASE_COLOUR, "base"), (0.2, after, FINAL_COLOUR, "trained")):
        heights = [np.nan if spread is None else spread.mean for spread in spreads]
        whiskers = [np.nan if spread is None or spread.std is None else spread.std for spread in spreads]
        places = np.arange(len(bars)) + shift
        drawn = axis.bar(places, heights, 0.38, yerr=whiskers, color=colour, label=name, capsize=3, ecolor="#333333")
        axis.bar_label(drawn, labels=["" if np.isnan(one) else f"{one:.2f}" for one in heights], fontsize=8, padding=2)
    axis.set_xticks(range(len(bars)), [_plain(bar.label) for bar in bars], fontsize=8)
    axis.set(title=metric, ylim=(0, 1.08))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")


def _draw_curves(axis: "Axes", table: CompareTable, runs: list[RunRow]) -> None:
    """A thin line for the reward of each step, a thick one for its running mean; a colour for each group."""
    from matplotlib.ticker import MaxNLocator

    labels_of = {}
    for run in runs:
        number = table.group_number(run)
        state = f"{run.strategy} ({run.status.lower()})"
        labels_of[run.run_id] = state if number is None else f"{number}: {run.strategy}"
    drawn = list(dict.fromkeys(labels_of.values()))
    for run in runs:
        label = labels_of[run.run_id]
        colour = _CURVE_COLOURS[drawn.index(label) % len(_CURVE_COLOURS)]
        steps, rewards = (np.array(column, dtype=float) for column in zip(*run.curve, strict=True))
        axis.plot(steps, rewards, color=colour, alpha=0.25, linewidth=0.8)
        axis.plot(steps, running_mean(rewards), color=colour, linewidth=1.6, label=_plain(label))
    handles, labels = axis.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axis.legend(once.values(), once.keys(), frameon=False, fontsize=8)
    axis.set(title="reward/total while training", xlabel="step")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.spines[["top", "right"]].set_visible(False)


def running_mean(values: "FloatArray", share: float = 0.1) -> "FloatArray":
    """Mean over a centred window of ``share`` of the values, narrower at the ends."""
    half = max(1, int(len(values) * share / 2))
    return np.array([np.nanmean(values[max(0, i - half) : i + half + 1]) for i in range(len(values))])


def _plain(text: str) -> str:
    """No mathematics and no control characters from names."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text).replace("$", r"\$")
