"""The lines of a game log, and the tracks of agent, objects and events that they make up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remot.data.annotations.base import check_keys, require_numbers, require_object
from remot.data.annotations.games.game_axes import GameAxes
from remot.errors import AnnotationError
from remot.structures import AgentTrack, Event, FloatArray, ObjectTrack

REQUIRED_KEYS = ("t", "position", "yaw", "pitch")
OPTIONAL_KEYS = ("roll", "objects", "events", "player")
#: Most boxes in the tables of a clip, visible or not: a hostile log may name a new object in each of its lines.
MAX_BOXES = 5_000_000


@dataclass(frozen=True, eq=False)
class LogLine:
    """One image of the video, as the game says it.

    Args:
        seconds: Time on the game's clock.
        position: [3] of the camera.
        angles: [3] yaw, pitch, roll of the camera in degrees.
        objects: Left, top, right, bottom and depth [5] of each visible object, NaN for a depth that is not given.
        events: What is happening.
        player: Position and yaw [4] of the player, if not the camera's.
    """

    seconds: float
    position: FloatArray
    angles: FloatArray
    objects: dict[str, FloatArray]
    events: tuple[str, ...]
    player: FloatArray | None


def line_from(where: str, content: dict[str, Any]) -> LogLine:
    """One line."""
    check_keys(where, content, REQUIRED_KEYS, OPTIONAL_KEYS)
    angles = [require_numbers(f"{where}: {key}", content.get(key, 0.0), shape=()) for key in ("yaw", "pitch", "roll")]
    objects = require_object(f"{where}: objects", content.get("objects", {}))
    events = content.get("events", [])
    if not isinstance(events, list) or not all(isinstance(text, str) and text for text in events):
        msg = f"{where}: events must be a list of what is happening, as texts"
        raise AnnotationError(msg)
    player = None
    if "player" in content:
        held, place = require_object(f"{where}: player", content["player"]), f"{where}: player"
        check_keys(place, held, ("position", "yaw"))
        position = require_numbers(f"{place}: position", held["position"], shape=(3,))
        player = np.array([*position, require_numbers(f"{place}: yaw", held["yaw"], shape=())])
    return LogLine(
        seconds=float(require_numbers(f"{where}: t", content["t"], shape=())),
        position=require_numbers(f"{where}: position", content["position"], shape=(3,)),
        angles=np.array(angles),
        objects={name: _seen(f"{where}: object {name!r:.60}", value) for name, value in objects.items()},
        events=tuple(events),
        player=player,
    )


def objects_of(
    where: str, lines: Sequence[LogLine], scale: FloatArray, landmarks: frozenset[str], units_per_metre: float
) -> dict[str, ObjectTrack]:
    """Tracks of all objects, in the order in which they come into view.

    Args:
        where: The log, for errors.
        lines: N lines.
        scale: [4] by which boxes are multiplied.
        landmarks: Names of objects that stand still.
        units_per_metre: Unit of the depths.

    Raises:
        AnnotationError: If there are too many, or a landmark is never seen.
    """
    names = list(dict.fromkeys(name for line in lines for name in line.objects))
    if len(names) * len(lines) > MAX_BOXES:
        msg = f"{where}: {len(names)} objects in {len(lines)} lines, log fewer objects or cut the recording"
        raise AnnotationError(msg, reason="too large")
    if unseen := sorted(landmarks.difference(names)):
        msg = f"{where}: the landmark {unseen[0]!r:.60} is in no line's objects, correct its name"
        raise AnnotationError(msg)
    tables = {name: np.full((len(lines), 5), np.nan) for name in names}
    for index, line in enumerate(lines):
        for name, row in line.objects.items():
            tables[name][index] = row
    tracks = {}
    for name, table in tables.items():
        depths = table[:, 4] / units_per_metre
        known = depths if np.isfinite(depths).any() else None
        tracks[name] = ObjectTrack(table[:, :4] * scale, name in landmarks, known)
    return tracks


def agent_of(where: str, lines: Sequence[LogLine], axes: GameAxes) -> AgentTrack:
    """The player, or the camera where no line names one.

    Raises:
        AnnotationError: If only some lines name the player.
    """
    players = [line.player for line in lines if line.player is not None]
    if players and len(players) != len(lines):
        msg = f"{where}: only {len(players)} of {len(lines)} lines name the player, give it in each or in none"
        raise AnnotationError(msg, reason="unsynchronised")
    rows = np.array(players if players else [[*line.position, line.angles[0]] for line in lines])
    return AgentTrack(axes.places_metres(rows[:, :3])[:, :2], axes.headings_degrees(rows[:, 3]))


def events_of(lines: Sequence[LogLine], interval_seconds: float) -> tuple[Event, ...]:
    """Stretches of lines in a row that name the same event, from the first to the first that does not.

    Args:
        lines: N lines.
        interval_seconds: How long the last line lasts.
    """
    start_seconds = lines[0].seconds
    times = [line.seconds - start_seconds for line in lines]
    times.append(times[-1] + interval_seconds)
    begun: dict[str, float] = {}
    found: list[Event] = []
    for time, happening in zip(times, [*(line.events for line in lines), ()], strict=True):
        found += [Event(text, begun.pop(text), time) for text in list(begun) if text not in happening]
        begun |= {text: time for text in happening if text not in begun}
    return tuple(sorted(found, key=lambda event: (event.start_seconds, event.end_seconds, event.text)))


def _seen(where: str, value: object) -> FloatArray:
    """Left, top, right, bottom, depth."""
    content = require_object(where, value)
    check_keys(where, content, ("box",), ("depth",))
    box = require_numbers(f"{where}: box", content["box"], shape=(4,))
    if box[0] >= box[2] or box[1] >= box[3]:
        msg = f"{where}: box must be left, top, right, bottom with the origin at the top left, found {box.tolist()}"
        raise AnnotationError(msg)
    depth = require_numbers(f"{where}: depth", content["depth"], shape=()) if "depth" in content else np.nan
    return np.array([*box, depth])
