"""Which second computation a task has."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from remot.data.tasks import (
    AbsoluteDistance,
    AppearanceOrder,
    BoxLocalisation,
    Detection,
    Displacement,
    EventCaption,
    EventChoice,
    GroundedEventChoice,
    ImageGroundedChoice,
    ImageQuality,
    MotionDirection,
    ObjectCounting,
    ObjectMotion,
    ObjectSize,
    ObjectTracking,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    Task,
    TemporalGrounding,
    TemporalGroundingJson,
    TemporalGroundingSpans,
    TimeInView,
    TrackCounting,
    TrackDirection,
    TrackDistance,
    TrackNearest,
    TrackOrder,
    TrackSize,
)
from remot.datatools.audit.tasks.events import check_caption, check_choice, check_grounding, check_spans
from remot.datatools.audit.tasks.images import check_detection, check_image_choice, check_tracking
from remot.datatools.audit.tasks.motion import check_object_motion
from remot.datatools.audit.tasks.prompt import AskedPrompt, UnreadableError
from remot.datatools.audit.tasks.quality import check_quality
from remot.datatools.audit.tasks.responses import wrong_responses
from remot.datatools.audit.tasks.rooms import (
    check_direction,
    check_distance,
    check_nearest,
    check_object_count,
    check_object_size,
    check_room_order,
    check_room_size,
)
from remot.datatools.audit.tasks.tracks import (
    check_displacement,
    check_localisation,
    check_motion,
    check_time_in_view,
    check_track_count,
    check_track_direction,
    check_track_distance,
    check_track_nearest,
    check_track_order,
    check_track_size,
)

#: What is wrong with a prompt, one clause each.
Check = Callable[[AskedPrompt], Iterator[str]]

#: By exact class: a subclass may mean something else, and is not checked.
CHECKS: Mapping[type[Task], Check] = MappingProxyType(
    {
        TemporalGrounding: check_grounding,
        TemporalGroundingJson: check_grounding,
        TemporalGroundingSpans: check_spans,
        EventChoice: check_choice,
        GroundedEventChoice: check_choice,
        EventCaption: check_caption,
        ObjectTracking: check_tracking,
        Detection: check_detection,
        ImageGroundedChoice: check_image_choice,
        ImageQuality: check_quality,
        ObjectMotion: check_object_motion,
        ObjectCounting: check_object_count,
        ObjectSize: check_object_size,
        RoomSize: check_room_size,
        AbsoluteDistance: check_distance,
        RelativeDistance: check_nearest,
        RelativeDirection: check_direction,
        AppearanceOrder: check_room_order,
        TrackCounting: check_track_count,
        TrackDirection: check_track_direction,
        TrackDistance: check_track_distance,
        TrackNearest: check_track_nearest,
        MotionDirection: check_motion,
        Displacement: check_displacement,
        TrackOrder: check_track_order,
        TimeInView: check_time_in_view,
        BoxLocalisation: check_localisation,
        TrackSize: check_track_size,
    }
)


def is_checked(task: Task) -> bool:
    """Whether there is a second computation for a task."""
    return type(task) in CHECKS


def wrong_references(asked: AskedPrompt) -> list[str]:
    """What is wrong with a prompt of a task that :func:`is_checked`, one sentence each.

    Raises:
        DecodeError: If an image is needed and cannot be decoded.
    """
    try:
        faults = [*wrong_responses(asked), *CHECKS[type(asked.task)](asked)]
    except UnreadableError as error:
        faults = [str(error)]
    return [f"{asked.question.prompt_id} ({asked.task.name}, clip {asked.clip.clip_id}): {fault}" for fault in faults]
