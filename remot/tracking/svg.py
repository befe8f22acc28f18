"""Charts as inline SVG for pages without scripts; colours come from the page's style sheet, ``--s0`` … ``--s6``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

NUM_COLOURS = 7
#: Drawn at this size; the page scales it.
WIDTH, HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 12, 34
_NUM_TICKS = 5
#: Points of a line; of more, so many that lie evenly.
MAX_POINTS = 400

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Args:
        points: x and y, in the order of x; those that are not finite are left out.
        colour: Number of the colour.
        is_faint: Whether it is behind others.
    """

    points: Points
    colour: int
    is_faint: bool = False


def line_chart(lines: Sequence[Line], x_label: str) -> str:
    """Lines over a common axis; "" if no line has two points."""
    kept = []
    for line in lines:
        finite = [(x, y) for x, y in line.points if math.isfinite(x) and math.isfinite(y)]
        step = max(1.0, (len(finite) - 1) / (MAX_POINTS - 1))
        if len(finite) > 1:
            kept.append((line, [finite[round(k * step)] for k in range(min(len(finite), MAX_POINTS))]))
    if not kept:
        return ""
    xs = [x for _, points in kept for x, _ in points]
    ys = [y for _, points in kept for _, y in points]
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = min(*ys, y_ticks[0]), max(*ys, y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / ((x_high - x_low) or 1)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)

    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 7}" y="{y + 4.5:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in y_ticks
        for _, y in [place(x_low, tick)]
    )
    marks = "".join(
        f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 17}" text-anchor="middle">{tick:g}</text>'
        for tick in x_ticks
        if x_low <= tick <= x_high
        for x, _ in [place(tick, y_low)]
    )
    label = f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 3}" text-anchor="end">{x_label}</text>'
    drawn = ""
    for line, points in kept:
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        style = f'class="{"faint" if line.is_faint else "line"}" style="stroke:var(--s{line.colour % NUM_COLOURS})"'
        drawn += f'<polyline {style} points="{places}"/>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{grid}{marks}{label}{drawn}</svg>'


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from below ``low`` to above ``high``, about five of them.

    >>> ticks(0.13, 0.87)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / _NUM_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    return [round(k * step, 12) for k in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


def interval_bar(mean: float, low: float, high: float, reach: float) -> str:
    """A dot with its interval on a scale from ``-reach`` to ``reach``, with a line at 0; "" without a value."""
    if not math.isfinite(mean):
        return ""

    def across(value: float) -> float:
        return 80 + 76 * max(-1.0, min(1.0, value / (reach or 1)))

    span = ""
    if math.isfinite(low) and math.isfinite(high):
        span = f'<line class="span" x1="{across(low):.1f}" x2="{across(high):.1f}" y1="9" y2="9"/>'
    zero = '<line class="zero" x1="80" x2="80" y1="0" y2="18"/>'
    return f'<svg class="bar" viewBox="0 0 160 18">{zero}{span}<circle cx="{across(mean):.1f}" cy="9" r="3.5"/></svg>'
