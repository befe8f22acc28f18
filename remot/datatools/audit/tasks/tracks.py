"""Questions about tracked objects, answered from their places in the world and their boxes once more."""

import cmath
import math
from collections.abc import Iterator
from itertools import groupby, pairwise

import numpy as np

from remot.data.tasks.tracks.appearing import BoxLocalisation, TimeInView, TrackCounting, TrackOrder
from remot.data.tasks.tracks.moving import Displacement, MotionDirection
from remot.data.tasks.tracks.relations import TrackDirection, TrackDistance, TrackNearest
from remot.datatools.audit.tasks.images import shares, wrong_boxes
from remot.datatools.audit.tasks.ordered import listed, wrong_nearest, wrong_number, wrong_order
from remot.datatools.audit.tasks.prompt import AskedPrompt, UnreadableError, kind, one_of, readings, thing
from remot.datatools.audit.tasks.responses import ONE, THREE, TWO
from remot.datatools.audit.tasks.tracked_objects import TrackedObjects

_METRES, _DEGREES = 1e-6, 1e-6


def check_track_direction(asked: AskedPrompt) -> Iterator[str]:
    """Left or right, nearer or farther, in metres and in the image alike."""
    things, task = TrackedObjects(asked), asked.settings(TrackDirection)
    places = things.read("first", "second")
    frame = asked.frame_at(places["time"])
    first, second = (things.named(places[place]) for place in ("first", "second"))
    gap = things.on_ground(things.in_world(second, frame) - things.in_world(first, frame), frame)
    right = f"{'right' if gap.real > 0 else 'left'} and {'farther' if gap.imag > 0 else 'nearer'}"
    if asked.chosen() != right:
        yield f"{second!r:.40} is said to be {asked.chosen()} of {first!r:.40}, should be {right}"
    askew = math.degrees(cmath.phase(gap)) % 90 if gap else 0.0
    if abs(gap) < task.min_metres - _METRES or min(askew, 90 - askew) < task.margin_degrees - _DEGREES:
        yield f"{second!r:.40} lies {abs(gap):.2f} m and {askew:.1f} degrees from {first!r:.40}, which is not clear"
    bearings = [-cmath.phase(things.from_camera(name, frame)) for name in (first, second)]
    if (bearings[1] - bearings[0]) * gap.real <= 0:
        yield f"{second!r:.40} is on one side of {first!r:.40} in metres and on the other in the image"
    yield from _wrong_graphs(asked, things, [first, second])


def check_track_distance(asked: AskedPrompt) -> Iterator[str]:
    """Metres between two middles in the world."""
    things, task = TrackedObjects(asked), asked.settings(TrackDistance)
    places = things.read("first", "second")
    frame = asked.frame_at(places["time"])
    names = [things.named(places[place]) for place in ("first", "second")]
    metres = math.dist(*(things.in_world(name, frame) for name in names))
    yield from wrong_number(asked, metres, ONE, task.min_metres)
    yield from _wrong_graphs(asked, things, names)


def check_track_nearest(asked: AskedPrompt) -> Iterator[str]:
    """Which middle is the nearest in the world."""
    things, task = TrackedObjects(asked), asked.settings(TrackNearest)
    places = things.read("thing")
    frame, name = asked.frame_at(places["time"]), things.named(places["thing"])
    named = {option: things.named(option) for option in asked.options().values()}
    here = things.in_world(name, frame)
    metres = {option: math.dist(here, things.in_world(one, frame)) for option, one in named.items()}
    yield from wrong_nearest(asked, metres, task.min_gap_metres, task.min_ratio)
    if name in named.values() or len(named) > task.num_options:
        yield f"{name!r:.40} is an option itself, or there are too many"
    yield from _wrong_graphs(asked, things, [name, *named.values()])


def _way(asked: AskedPrompt, things: TrackedObjects) -> tuple[str, complex, float]:
    """The thing, its way over the ground as the first camera sees it, and the length of the way in metres.

    An UnreadableError if the object's motion cannot be separated from the camera's.
    """
    places, camera = things.read("thing"), asked.clip.camera
    name = things.named(places["thing"])
    if asked.clip.camera_moves or (camera is not None and not camera.is_metric) or asked.clip.objects[name].is_landmark:
        msg = f"the way of {name!r:.40} is not known, or it does not move by itself"
        raise UnreadableError(msg)
    start, end = (asked.frame_at(places[place]) for place in ("start", "end"))
    way = things.in_world(name, end) - things.in_world(name, start)
    return name, things.on_ground(way, start), math.hypot(*way)


def check_motion(asked: AskedPrompt) -> Iterator[str]:
    """The quarter of the plane in which a way leads."""
    things, task = TrackedObjects(asked), asked.settings(MotionDirection)
    name, ground, _ = _way(asked, things)
    quarters = ("to the right", "away from the camera", "to the left", "towards the camera")
    degrees = math.degrees(cmath.phase(ground))
    right = quarters[round(degrees / 90) % 4]
    if set(asked.options().values()) != set(quarters):
        yield f"the options are not {', '.join(quarters)}"
    elif asked.chosen() != right:
        yield f"{name!r:.40} is said to go {asked.chosen()}, should be {right} ({degrees:+.1f} degrees from right)"
    askew = abs(degrees - 90 * round(degrees / 90))
    if abs(ground) < task.min_metres - _METRES or askew > 45 - task.margin_degrees + _DEGREES:
        yield f"{name!r:.40} goes {abs(ground):.2f} m, {askew:.1f} degrees off, which is not clear"
    yield from _wrong_graphs(asked, things, [name])


def check_displacement(asked: AskedPrompt) -> Iterator[str]:
    """The length of a way in the world."""
    things, task = TrackedObjects(asked), asked.settings(Displacement)
    name, _, metres = _way(asked, things)
    yield from wrong_number(asked, metres, ONE, task.min_metres)
    yield from _wrong_graphs(asked, things, [name])


def check_track_order(asked: AskedPrompt) -> Iterator[str]:
    """One after another: nothing of the next is in view while the last is not yet clearly seen."""
    things, task = TrackedObjects(asked), asked.settings(TrackOrder)
    (text,) = things.read("none").values()
    words = listed(text, things.words)
    names, never = {word: things.named(word) for word in words}, len(asked.frames)
    clear, any_box = dict[str, int](), dict[str, int]()
    for word, name in names.items():
        boxes = asked.clip.objects[name].boxes_xyxy
        clear[word] = next((k for k, frame in enumerate(asked.frames) if things.is_clear(name, frame)), never)
        any_box[word] = next((k for k, frame in enumerate(asked.frames) if not math.isnan(boxes[frame].sum())), never)
    yield from wrong_order(asked, words, clear, never, task.num_options)
    ordered = sorted(words, key=lambda word: clear[word])
    if any(any_box[later] <= clear[earlier] for earlier, later in pairwise(ordered)):
        yield f"two of {', '.join(ordered)!r:.80} may come into view together"
    yield from _wrong_graphs(asked, things, list(names.values()))


def check_time_in_view(asked: AskedPrompt) -> Iterator[str]:
    """The one run of annotated frames with a box, up to the time of the frame after it."""
    things, task = TrackedObjects(asked), asked.settings(TimeInView)
    name = things.named(things.read("thing")["thing"])
    boxes, times = asked.clip.objects[name].boxes_xyxy, [float(time) for time in asked.clip.pts_seconds]
    frames = range(asked.clip.num_frames)
    runs = [list(run) for seen, run in groupby(frames, lambda frame: not math.isnan(boxes[frame].sum())) if seen]
    if len(runs) != 1:
        yield f"{name!r:.40} is in view {len(runs)} times"
        return
    start, end = times[runs[0][0]], times[min(runs[0][-1] + 1, len(times) - 1)]
    stated = asked.reference.intervals or ()
    if len(stated) != 1 or max(abs(stated[0][0] - start), abs(stated[0][1] - end)) > TWO:
        yield f"{name!r:.40} is said to be in view at {stated}, should be {start:.2f} to {end:.2f} s"
    if not task.min_seconds - TWO <= end - start <= task.max_share * (times[-1] - times[0]) + TWO:
        yield f"{name!r:.40} is in view for {end - start:.2f} s, which is too short or too long"
    if not any(things.is_clear(name, frame) for frame in asked.frames):
        yield f"{name!r:.40} is never clearly seen"
    if asked.reference.graphs:
        yield "the times of the graphs give the answer away"


def check_localisation(asked: AskedPrompt) -> Iterator[str]:
    """The annotated box at the time asked for, which no other line of the text states."""
    things, task = TrackedObjects(asked), asked.settings(BoxLocalisation)
    places = things.read("thing")
    frame, name = asked.frame_at(places["time"]), things.named(places["thing"])
    yield from wrong_boxes(asked, name, [frame])
    left, top, right, bottom = shares(asked.clip.objects[name].boxes_xyxy[frame], asked.image_size)
    if min(right - left, bottom - top) < task.min_side - 2 * THREE or not things.is_clear(name, frame):
        yield f"the box of {name!r:.40} is too small to be asked for"
    if things.pointing.get("time") == places["time"]:
        yield "the text states the box that it asks for"
    yield from _wrong_graphs(asked, things, [name])


def check_track_size(asked: AskedPrompt) -> Iterator[str]:
    """The longest side in whole centimetres."""
    things = TrackedObjects(asked)
    name = things.named(things.read("thing")["thing"])
    sides = asked.clip.objects[name].size_metres
    *_, longest = sorted([math.nan] if sides is None else [float(side) for side in sides])
    yield from wrong_number(asked, 100 * longest, 0.5 + 1e-6, 0.5)
    yield from _wrong_graphs(asked, things, [name])


def check_track_count(asked: AskedPrompt) -> Iterator[str]:
    """How many things of a kind have a box in a shown frame, each large enough in one."""
    things, task = TrackedObjects(asked), asked.settings(TrackCounting)
    objects, complete = asked.clip.objects, [thing(one) for one in asked.clip.complete_kinds or ()]
    asked_kind = asked.read(task.wordings.texts["ask"], {"kind": one_of([kind(name) for name in objects])})["kind"]
    of_kind = [name for name in objects if kind(name).casefold() == asked_kind.casefold()]
    shown = [name for name in of_kind if np.isfinite(objects[name].boxes_xyxy[list(asked.frames)]).all(1).any()]
    if len(shown) != asked.number or len(shown) < task.min_count:
        yield f"the reference counts {asked.number:g}, there are {len(shown)}"
    if asked_kind not in complete or not all(
        any(things.is_clear(name, frame) for frame in asked.frames) for name in shown
    ):
        yield f"not every {asked_kind!r:.40} is annotated, or one is hardly seen"
    yield from _wrong_graphs(asked, things, [])


def _wrong_graphs(asked: AskedPrompt, things: TrackedObjects, about: list[str]) -> Iterator[str]:
    """Whether the graphs are asked for at the times and of the things that the reference has, and are right."""
    task, graphs = things.task, asked.reference.graphs or ()
    hints = readings(asked.question.text, task.shared.texts["graph"], {"times": r"[\d., ]+"})
    if len(hints) != bool(graphs) or len(graphs) > task.num_graphs:
        yield "graphs are asked for and the reference holds none, or the other way round"
        return
    if not graphs:
        return
    frames = [asked.frame_at(time) for time in hints[0]["times"].split(", ")]
    if len(frames) != len(graphs) or any(", ".join(nodes) != hints[0]["names"] for nodes in graphs):
        yield "the text asks for graphs of other things, or at other times, than the reference has"
        return
    for frame, nodes in zip(frames, graphs, strict=True):
        named = {things.named(word): complex(*at) for word, at in nodes.items()}
        if not set(about) <= named.keys():
            yield "a graph leaves out what is asked about"
        for name, at in named.items():
            should = things.from_camera(name, frame)
            if max(abs((at - should).real), abs((at - should).imag)) > TWO:
                yield f"the graph has {name!r:.40} at {at:.2f}, should be {should:.2f}"
