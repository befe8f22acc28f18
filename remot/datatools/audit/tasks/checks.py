"""Which second computation a task has."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from remot.data import tasks
from remot.data.tasks import Task
from remot.datatools.audit.tasks import events, images, quality, rooms, tracks, views
from remot.datatools.audit.tasks.prompt import AskedPrompt, UnreadableError
from remot.datatools.audit.tasks.responses import wrong_responses

#: What is wrong with a prompt, one clause each.
Check = Callable[[AskedPrompt], Iterator[str]]

#: By exact class: a subclass may mean something else, and is not checked.
CHECKS: Mapping[type[Task], Check] = MappingProxyType(
    {
        tasks.TemporalGrounding: events.check_grounding,
        tasks.TemporalGroundingJson: events.check_grounding,
        tasks.TemporalGroundingSpans: events.check_grounding,
        tasks.EventChoice: events.check_choice,
        tasks.GroundedEventChoice: events.check_choice,
        tasks.EventCaption: events.check_caption,
        tasks.ObjectTracking: images.check_tracking,
        tasks.Detection: images.check_detection,
        tasks.ImageGroundedChoice: images.check_image_choice,
        tasks.ImageQuality: quality.check_quality,
        tasks.ObjectMotion: images.check_object_motion,
        tasks.ObjectCounting: rooms.check_object_count,
        tasks.ObjectSize: rooms.check_object_size,
        tasks.RoomSize: rooms.check_room_size,
        tasks.AbsoluteDistance: rooms.check_distance,
        tasks.RelativeDistance: rooms.check_nearest,
        tasks.RelativeDirection: rooms.check_direction,
        tasks.AppearanceOrder: rooms.check_room_order,
        tasks.TrackCounting: tracks.check_track_count,
        tasks.TrackDirection: tracks.check_track_direction,
        tasks.TrackDistance: tracks.check_track_distance,
        tasks.TrackNearest: tracks.check_track_nearest,
        tasks.MotionDirection: tracks.check_motion,
        tasks.Displacement: tracks.check_displacement,
        tasks.TrackOrder: tracks.check_track_order,
        tasks.TimeInView: tracks.check_time_in_view,
        tasks.BoxLocalisation: tracks.check_localisation,
        tasks.TrackSize: tracks.check_track_size,
        tasks.DepthOrder: views.check_depth_order,
        tasks.CameraMovement: views.check_camera_movement,
        tasks.PointCorrespondence: views.check_correspondence,
    }
)


def is_checked(task: Task) -> bool:
    """Whether there is a second computation for a task."""
    return type(task) in CHECKS


def wrong_references(asked: AskedPrompt) -> list[str]:
    """What is wrong with a prompt of a task that :func:`is_checked`, one sentence each; may decode an image."""
    try:
        faults = [*wrong_responses(asked), *CHECKS[type(asked.task)](asked)]
    except UnreadableError as error:
        faults = [str(error)]
    return [f"{asked.question.prompt_id} ({asked.task.name}, clip {asked.clip.clip_id}): {fault}" for fault in faults]
