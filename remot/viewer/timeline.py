"""Timelines: of a clip's annotations, and as HTML."""

from collections.abc import Sequence

import numpy as np

from remot.structures import Clip, FloatArray
from remot.viewer.cards import Timeline, TimelineRow
from remot.viewer.text import MAX_NAME_CHARS, shortened

#: Rows of one kind that are shown; more are counted.
MAX_ROWS = 12
#: Points of a curve, spread over all.
MAX_POINTS = 200
NUM_COLOURS = 8
#: Decimals of metres and degrees that a path is drawn with.
MOTION_DECIMALS = 4
_WIDTH, _HEIGHT = 1000, 20


def clip_timeline(clip: Clip, frame_indices: Sequence[int]) -> Timeline:
    """Events, visible stretches of objects, openings of grippers and the camera's path of a clip.

    Args:
        clip: The clip.
        frame_indices: Its annotated frames that a prompt shows.
    """
    times = clip.pts_seconds
    rows = [TimelineRow(one.text, ((one.start_seconds, one.end_seconds),), colour=1) for one in clip.events]
    tracks = [
        TimelineRow(
            name, _spans(times, np.asarray(np.isfinite(track.boxes_xyxy).all(axis=1))), colour=number % NUM_COLOURS
        )
        for number, (name, track) in enumerate(clip.objects.items())
    ]
    paths = []
    for number, (name, track) in enumerate(clip.effectors.items()):
        colour = number % NUM_COLOURS
        paths.append(_share_row(f"{name}: moved up to", "m", times, _distances(track.positions), colour))
        if track.opening is not None:
            paths.append(TimelineRow(f"{name}: opening", curve=_curve(times, track.opening), colour=colour))
    if clip.camera is not None:
        poses, unit = clip.camera.camera_to_world, "m" if clip.camera.is_metric else "of an unknown unit"
        paths.append(_share_row("camera: turned up to", "°", times, _turns(poses), 1))
        paths.append(_share_row("camera: moved up to", unit, times, _distances(poses[:, :3, 3]), 1))
    if clip.agent is not None:
        paths.append(_share_row("agent: moved up to", "m", times, _distances(clip.agent.positions_metres), 2))
    shown = tuple(float(times[index]) for index in frame_indices)
    end = max([float(times[-1]), *(one.end_seconds for one in clip.events if np.isfinite(one.end_seconds))])
    return Timeline(
        float(times[0]),
        end,
        shown,
        (*_bounded(rows, "events"), *_bounded(tracks, "objects"), *_bounded(paths, "paths")),
    )


def _bounded(rows: list[TimelineRow], what: str) -> list[TimelineRow]:
    left_out = [TimelineRow(f"and {len(rows) - MAX_ROWS} more {what}")] if len(rows) > MAX_ROWS else []
    return rows[:MAX_ROWS] + left_out


def _spans(times: FloatArray, present: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Stretches of consecutive frames with a box; a single frame lasts until the next."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(int)))
    last = len(times) - 1
    return tuple((float(times[a]), float(times[min(b, last)])) for a, b in zip(edges[::2], edges[1::2], strict=True))


def _curve(times: FloatArray, values: FloatArray) -> tuple[tuple[float, float], ...]:
    chosen = np.unique(np.linspace(0, len(times) - 1, MAX_POINTS).astype(int))
    return tuple((float(times[k]), float(np.clip(values[k], 0, 1))) for k in chosen if np.isfinite(values[k]))


def _share_row(name: str, unit: str, times: FloatArray, values: FloatArray, colour: int) -> TimelineRow:
    """A curve of values [N] as shares of the largest, which the name states; rounding errors are no motion."""
    values = np.round(values, MOTION_DECIMALS)
    finite = values[np.isfinite(values)]
    largest = float(finite.max(initial=0.0))
    return TimelineRow(f"{name} {largest:.3g} {unit}", curve=_curve(times, values / (largest or 1.0)), colour=colour)


def _turns(poses: FloatArray) -> FloatArray:
    """[N] degrees that poses [N, 4, 4] are turned against the first one."""
    cosines = (np.einsum("ij,nij->n", poses[0, :3, :3], poses[:, :3, :3]) - 1) / 2
    degrees: FloatArray = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return degrees


def _distances(positions: FloatArray) -> FloatArray:
    """[N] distances of positions [N, D] from the first known one; a column of NaN is a direction that is not known."""
    known = positions[:, np.isfinite(positions).any(axis=0)]
    whole = np.flatnonzero(np.isfinite(known).all(axis=1))
    if not known.shape[1] or not len(whole):
        return np.full(len(positions), np.nan)
    distances: FloatArray = np.linalg.norm(known - known[whole[0]], axis=1)
    return distances


def timeline_html(timeline: Timeline) -> str:
    """Frame marks and one bar or curve a row; nothing for a clip without duration."""
    start, end = timeline.start_seconds, timeline.end_seconds
    if not start < end:
        return ""
    frames = "".join(
        f'<line class="at" x1="{_x(timeline, one)}" x2="{_x(timeline, one)}" y1="0" y2="{_HEIGHT}"/>'
        for one in timeline.frame_seconds
    )
    rows = "".join(_row_html(timeline, row, frames) for row in timeline.rows)
    scale = f'<div class="scale"><span>{start:.2f} s</span><span>{end:.2f} s</span></div>'
    return f'<div class="timeline">{_line("frames", frames)}{rows}<span></span>{scale}</div>'


def _row_html(timeline: Timeline, row: TimelineRow, frames: str) -> str:
    kind = "answer" if row.colour is None else f"c{row.colour}"
    bars = "".join(
        f'<rect class="{kind}" x="{_x(timeline, a)}" width="{max(4, _x(timeline, b) - _x(timeline, a))}" y="3" '
        f'height="{_HEIGHT - 6}"/>'
        for a, b in row.spans
    )
    points = " ".join(f"{_x(timeline, at)},{_HEIGHT - 2 - value * (_HEIGHT - 4):.1f}" for at, value in row.curve)
    curve = f'<polyline class="{kind}" points="{points}"/>' if len(row.curve) > 1 else ""
    times = ", ".join(f"{a:.2f} to {b:.2f} s" for a, b in row.spans[:4])
    return _line(shortened(row.name, MAX_NAME_CHARS), f"{bars}{curve}{frames}", times)


def _line(name: str, content: str, times: str = "") -> str:
    title = f"<title>{times}</title>" if times else ""
    return (
        f'<span class="track">{name}</span><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" '
        f'role="img">{title}{content}</svg>'
    )


def _x(timeline: Timeline, seconds: float) -> int:
    share = (seconds - timeline.start_seconds) / (timeline.end_seconds - timeline.start_seconds)
    return round(_WIDTH * min(1.0, max(0.0, share)))


def spans_row(name: str, spans: Sequence[Sequence[float]], colour: int | None = 0) -> TimelineRow:
    """A row of stretches of time; those that are not finite or end before they start are left out."""
    kept = [(float(a), float(b)) for a, b in spans if np.isfinite([a, b]).all() and a <= b]
    return TimelineRow(name, tuple(kept[:MAX_ROWS]), colour=colour)
