"""Questions about one image or two views of a scene, answered from poses, boxes and pixels once more."""

import cmath
import math
from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from remot.data.tasks.views.camera import CameraMovement
from remot.data.tasks.views.correspondence import PointCorrespondence
from remot.data.tasks.views.depth import DepthOrder
from remot.datatools.audit.tasks.drawn import drawn_places
from remot.datatools.audit.tasks.geometry import first_on_ray
from remot.datatools.audit.tasks.ordered import listed, wrong_order
from remot.datatools.audit.tasks.prompt import AskedPrompt
from remot.datatools.audit.tasks.tracked_objects import TrackedObjects
from remot.structures import FloatArray

_METRES, _DEGREES, _PIXELS = 1e-6, 1e-6, 1.0


def check_depth_order(asked: AskedPrompt) -> Iterator[str]:
    """Things by the annotated distance of their middles along the view."""
    things, task = TrackedObjects(asked), asked.settings(DepthOrder)
    (frame,) = asked.frames
    found = asked.read(task.wordings.texts["ask"], {"order": "the (?:nearest|farthest) first"})
    words = listed(found["things"], things.words)
    metres = {word: _depth(things, things.named(word), frame) for word in words}
    near = sorted(words, key=metres.__getitem__, reverse="farthest" in found["order"])
    yield from wrong_order(asked, words, {word: near.index(word) for word in words}, len(words), task.num_options)
    ordered = sorted(metres.values())
    if not all(
        b - a >= task.min_gap_metres - _METRES and b >= a * task.min_ratio - _METRES for a, b in pairwise(ordered)
    ):
        yield f"two of {', '.join(words)!r:.80} are about as far: {', '.join(f'{one:.2f}' for one in ordered)} m"
    if not all(things.is_clear(things.named(word), frame) for word in words):
        yield "a thing that is asked about is not clearly seen"


def _depth(things: TrackedObjects, name: str, frame: int) -> float:
    track = things.asked.clip.objects[name]
    if track.depths_metres is not None:
        return float(track.depths_metres[frame])
    return math.nan if track.centres_metres is None else float(track.centres_metres[frame] @ [0.0, 0.0, 1.0])


def check_camera_movement(asked: AskedPrompt) -> Iterator[str]:
    """The second camera's place as the first one sees it, in the complex plane: ahead is 1, to the left i."""
    task, camera = asked.settings(CameraMovement), asked.clip.camera
    asked.read(task.wordings.texts["ask"])
    assert camera is not None
    first, second = (camera.camera_to_world[frame] for frame in asked.frames)
    right, down, ahead, _ = np.linalg.inv(first) @ second @ [0.0, 0.0, 0.0, 1.0]
    way = complex(ahead, -right)
    quarters = round(math.degrees(cmath.phase(way)) / 90)
    should = ("forward", "left", "backward", "right")[quarters % 4]
    askew = abs(math.degrees(cmath.phase(way)) - 90 * quarters)
    if not set(asked.options().values()) <= {"forward", "left", "backward", "right"}:
        yield "an option is none of forward, backward, left and right"
    elif asked.chosen() != should:
        yield f"the camera is said to go {asked.chosen()}, should be {should} ({way:.2f} m)"
    rise = math.degrees(math.atan2(abs(down), abs(way)))
    if max(askew, rise) > 45 - task.margin_degrees + _DEGREES or not camera.is_metric:
        yield f"the way is {askew:.1f} degrees off and rises by {rise:.1f}, which is not clear"
    if max(abs(way.real), abs(way.imag)) < task.min_metres - _METRES:
        yield f"the camera moves by {abs(way):.2f} m, which is too little to be asked about"
    cosine = (np.trace(first[:3, :3].T @ second[:3, :3]) - 1) / 2
    turned = math.degrees(math.acos(min(1.0, max(-1.0, cosine))))
    if turned > task.max_turn_degrees + 1e-3:
        yield f"the camera turns by {turned:.1f} degrees between the views"


def check_correspondence(asked: AskedPrompt) -> Iterator[str]:
    """Which of the points that the second image shows is the one that the first image shows, from their pixels."""
    task = asked.settings(PointCorrespondence)
    found = asked.read(task.wordings.texts["ask"], {"colour": r"\w+", "what": "thing|place"})
    points = [{colour: at.mean(axis=0) for colour, at in drawn_places(asked, shown).items()} for shown in (0, 1)]
    if list(points[0]) != [found["colour"]] or set(points[1]) != set(asked.options().values()):
        yield f"the images show points in {', '.join([*points[0], *points[1]])}, the text speaks of others"
        return
    diagonal = math.hypot(*asked.image_size)
    right, at = asked.chosen(), points[1][asked.chosen()]
    near = [name for name, one in points[1].items() if name != right]
    if any(math.dist(points[1][name], at) < task.min_distance * diagonal - 2 * _PIXELS for name in near):
        yield "a wrong point lies beside the right one"
    check = _wrong_things if task.points == "things" else _wrong_surfaces
    yield from check(asked, points[0][found["colour"]], points[1], right)


def _wrong_things(
    asked: AskedPrompt, point: FloatArray, options: Mapping[str, FloatArray], right: str
) -> Iterator[str]:
    """Whether the chosen point alone is in the middle of a box whose middle the first image shows."""
    meant = _things_at(asked, asked.frames[0], point)
    same = [colour for colour, at in options.items() if meant & _things_at(asked, asked.frames[1], at)]
    marked = [(asked.frames[0], point), *((asked.frames[1], at) for at in options.values())]
    if not all(_is_in_front(asked, frame, at) for frame, at in marked):
        yield "a point lies on a thing that another one may hide"
    if same != [right]:
        yield f"the point lies on {', '.join(sorted(meant))!r:.60}, which has {', '.join(same)!r}, not {right!r}"


def _things_at(asked: AskedPrompt, frame: int, point: FloatArray) -> set[str]:
    """Things whose boxes in a frame have their middle at a point; discs are drawn to whole pixels."""
    boxes = {name: track.boxes_xyxy[frame].reshape(2, 2) for name, track in asked.clip.objects.items()}
    return {name for name, box in boxes.items() if math.dist(box.mean(axis=0), point) <= _PIXELS}


def _is_in_front(asked: AskedPrompt, frame: int, point: FloatArray) -> bool:
    """Whether a thing in the middle of whose box a point lies is known to be nearer than all others around it."""
    things, marked = TrackedObjects(asked), _things_at(asked, frame, point)
    boxes = {name: track.boxes_xyxy[frame] for name, track in asked.clip.objects.items()}
    around = {
        name for name, box in boxes.items() if (box[:2] < point - _PIXELS).all() and (box[2:] > point + _PIXELS).all()
    }
    ends = {name: _depth(things, name, frame) for name in marked | around}
    clear = {name for name in around if things.is_clear(name, frame)}
    return any(all(other in clear and ends[name] < ends[other] for other in around - {name}) for name in marked & clear)


def _wrong_surfaces(
    asked: AskedPrompt, point: FloatArray, options: Mapping[str, FloatArray], right: str
) -> Iterator[str]:
    """Whether the ray through the first point ends where those through the options do, nearest to the chosen one."""
    camera = asked.clip.camera
    assert camera is not None
    assert camera.intrinsics is not None
    poses = [camera.camera_to_world[frame] for frame in asked.frames]
    hit = first_on_ray(asked.clip.layout, poses[0], camera.intrinsics, point)
    if hit is None:
        yield "the point of the first image lies on no box"
        return
    seen = camera.intrinsics @ (np.linalg.inv(poses[1]) @ np.append(hit, 1.0))[:3]
    distances = {colour: math.dist(seen[:2] / seen[2], at) for colour, at in options.items()}
    if min(distances, key=distances.__getitem__) != right:
        yield f"the point lies nearest to {min(distances, key=distances.__getitem__)!r}, not to {right!r}"
    other = first_on_ray(asked.clip.layout, poses[1], camera.intrinsics, options[right])
    metres_a_pixel = float(seen[2]) / min(camera.intrinsics[0, 0], camera.intrinsics[1, 1])
    if other is None or math.dist(hit, other) > 12 * _PIXELS * metres_a_pixel:
        yield "the two points lie on different places"
