"""What every label should say, worked out from the annotations a second time.

Nothing here is shared with the experts or with :mod:`remot.motion`, words and signs included: an error there must not
hide itself. Only the experts' thresholds are taken over, as numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from remot.data.experts.base import Expert
from remot.datatools.audit.triplets.measures import (
    TURNS,
    ShownPair,
    agent_measure,
    camera_turn,
    measured,
    overlap,
    pair_of,
    rotation_between,
    smallest_box,
)
from remot.datatools.audit.triplets.tuples import COMPOSITE, CORNERS, MASK_FRAME, NO_MOTION, WORDS
from remot.structures import FloatArray, MaskOf, Triplet

#: What a label should say where the annotations do not allow any answer.
NOT_ASKED = "not asked"

#: How far a measurement may lie beyond a threshold. Poses count as rigid up to 1e-3, which two ways of measuring a turn
#: may see as different angles of 0.06 degrees; the other magnitudes are plain differences.
TOLERANCE_DEGREES = 0.1
TOLERANCE = 1e-6


@dataclass(frozen=True)
class ExpertLimits:
    """An expert's settings as numbers, by their names and in their units; those it does not have are unlimited."""

    still: float = math.inf
    salient_min: float = math.inf
    salient_max: float = math.inf
    max_other_degrees: float = math.inf
    max_camera_degrees: float = math.inf
    max_camera_metres: float = math.inf
    max_turn_degrees: float = math.inf
    max_overlap: float = math.inf
    min_size_pixels: float = 0.0
    require_visible: str = "never"

    @classmethod
    def of(cls, expert: Expert) -> "ExpertLimits":
        """The settings of ``expert``."""
        found: dict[str, Any] = {one.name: getattr(expert, one.name, one.default) for one in fields(cls)}
        return cls(**found)


@dataclass(frozen=True)
class WrongLabel:
    """A label that the annotations contradict.

    ``pair`` are the image numbers, ``said`` the label's value, ``should_be`` that by the annotations or
    :data:`NOT_ASKED`, ``measured`` the signed magnitude in the attribute's unit, NaN if it cannot be measured.
    """

    clip_id: str
    frames: tuple[int, int]
    pair: tuple[int, int]
    attribute: str
    subject: str
    said: str
    should_be: str
    measured: float


def wrong_labels(triplet: Triplet, limits: Sequence[ExpertLimits]) -> list[WrongLabel]:
    """The labels that the annotations contradict; one is right if it is right by one expert for its attribute."""
    if triplet.labels[0].attribute == MASK_FRAME:
        return wrong_masks(triplet, limits)
    found = []
    for label in triplet.labels:
        pair = pair_of(triplet, label)
        allowed = [expected_value(label.attribute, pair, one) for one in limits]
        size = measured(label.attribute, pair)
        slack = TOLERANCE_DEGREES if label.unit == "degrees" else TOLERANCE * max(1.0, label.magnitude)
        if label.value not in allowed or not abs(label.magnitude - abs(size)) <= slack:  # NaN is no measured size
            should_be = allowed[0] if allowed else NOT_ASKED
            names = (label.pair, label.attribute, label.subject, label.value, should_be, size)
            found.append(WrongLabel(triplet.clip.clip_id, pair.frames, *names))
    return found


def expected_value(attribute: str, pair: ShownPair, limits: ExpertLimits) -> str:
    """What a label should say about ``pair``: a value, or :data:`NOT_ASKED`."""
    if not _is_allowed(attribute, pair, limits):
        return NOT_ASKED
    if attribute == COMPOSITE:
        sideways = _direction(measured("effector_horizontal", pair), limits, TOLERANCE)
        upward = _direction(measured("effector_vertical", pair), limits, TOLERANCE)
        return NO_MOTION if sideways == upward == 0 else CORNERS.get((sideways or 0, upward or 0), NOT_ASKED)
    slack = TOLERANCE_DEGREES if attribute in TURNS else TOLERANCE
    direction = _direction(measured(attribute, pair), limits, slack)
    if direction is None:
        return NOT_ASKED
    return NO_MOTION if direction == 0 else WORDS[attribute][0 if direction > 0 else 1]


def _direction(magnitude: float, limits: ExpertLimits, slack: float) -> int | None:
    """-1, 0 or 1, or None between the thresholds or where nothing is known."""
    if math.isnan(magnitude):
        return None
    size = abs(magnitude)
    if size <= limits.still + slack:
        return 0
    if limits.salient_min - slack <= size <= limits.salient_max + slack:
        return 1 if magnitude > 0 else -1
    return None


def _is_allowed(attribute: str, pair: ShownPair, limits: ExpertLimits) -> bool:
    """Whether everything that is not asked about is as quiet as it has to be."""
    first, second = (view.pose for view in pair.views)
    if attribute.startswith("object"):
        track = pair.clip.objects.get(pair.subject)
        if track is None or pair.subject in pair.clip.effectors:
            return False
        if not smallest_box(track, pair.frames) >= limits.min_size_pixels - TOLERANCE:  # NaN where it is not seen
            return False
        if attribute == "object_depth":
            return True
        if pair.clip.camera_moves and pair.clip.camera is None:
            return False
        return not track.is_landmark and (first is None or second is None or _rests(first, second, limits))
    if attribute.startswith(("effector", "gripper")):
        return _effector_is_seen(attribute, pair, limits)
    if attribute == "agent_advance":
        return abs(agent_measure("agent_turn", pair)) <= limits.max_turn_degrees + TOLERANCE_DEGREES
    if attribute.startswith("camera") and first is not None and second is not None:
        if attribute not in TURNS:
            return rotation_between(first, second) <= limits.max_turn_degrees + TOLERANCE_DEGREES
        turns = dict(zip(TURNS, camera_turn(first, second), strict=True))
        others = [abs(turn) for name, turn in turns.items() if name != attribute]
        return max(others) <= limits.max_other_degrees + TOLERANCE_DEGREES
    return True


def _effector_is_seen(attribute: str, pair: ShownPair, limits: ExpertLimits) -> bool:
    """Whether both images show an effector, and its direction if that is asked about."""
    track = pair.clip.effectors.get(pair.subject)
    if track is None:
        return False
    # whether both images show it, by its annotation or by boxes of its name; None if neither is annotated
    boxes, shown = pair.clip.objects.get(pair.subject), None
    if track.visible is not None:
        shown = bool(track.visible[list(pair.frames)].all())
    elif boxes is not None:
        shown = not math.isnan(float(boxes.boxes_xyxy[list(pair.frames)].sum()))
    if limits.require_visible != "never" and (shown is False or (shown is None and limits.require_visible == "always")):
        return False
    if attribute == "gripper" or track.frame == "camera":
        return True
    first, second = (view.pose for view in pair.views)
    if first is None or second is None:
        return pair.clip.camera_moves is False
    return _rests(first, second, limits)


def _rests(pose_first: FloatArray, pose_second: FloatArray, limits: ExpertLimits) -> bool:
    """Whether a camera with these poses [4, 4] counts as standing still."""
    turned = rotation_between(pose_first, pose_second)
    travelled = math.dist(pose_first[:3, 3], pose_second[:3, 3])
    within_turn = turned <= limits.max_camera_degrees + TOLERANCE_DEGREES
    return within_turn and travelled <= limits.max_camera_metres + TOLERANCE


def wrong_masks(triplet: Triplet, limits: Sequence[ExpertLimits]) -> list[WrongLabel]:
    """The label of a masked frame, if the annotations contradict it.

    The mask belongs to the image whose frame it is taken from; the boxes of different frames must be far apart.
    """
    (label,), (a, b, c) = triplet.labels, triplet.frame_indices
    track = triplet.clip.objects.get(label.subject)
    overlaps = (
        [math.nan] * 3 if track is None else [overlap(track.boxes_xyxy[[i, j]]) for i, j in ((a, b), (a, c), (b, c))]
    )
    distinct = [i != j for i, j in ((a, b), (a, c), (b, c))]
    should_be = "first" if c == a else "second" if c == b else "neither"
    shown = triplet.transforms == (None, None, MaskOf(label.subject)) and track is not None and not track.is_landmark
    size = math.nan if track is None else smallest_box(track, (a, b, c))
    clear = any(
        size >= one.min_size_pixels - TOLERANCE
        and all(share <= one.max_overlap + TOLERANCE for share, apart in zip(overlaps, distinct, strict=True) if apart)
        for one in limits
    )
    if shown and clear and a != b and label.value == should_be and abs(label.magnitude - overlaps[0]) <= TOLERANCE:
        return []
    names = (label.pair, label.attribute, label.subject, label.value, should_be if clear else NOT_ASKED, overlaps[0])
    return [WrongLabel(triplet.clip.clip_id, (a, b), *names)]
