"""Kinds of questions about annotated clips, see ``docs/tasks.md``."""

from remot.data.tasks.base import Task, TaskPlan
from remot.data.tasks.events.event_choice import EventChoice, GroundedEventChoice
from remot.data.tasks.events.grounding import (
    EventCaption,
    TemporalGrounding,
    TemporalGroundingJson,
    TemporalGroundingSpans,
)
from remot.data.tasks.images.detection import Detection, ImageGroundedChoice
from remot.data.tasks.images.object_motion import ObjectMotion
from remot.data.tasks.images.quality import ImageQuality
from remot.data.tasks.images.tracking import ObjectTracking
from remot.data.tasks.motion_contrast.task import MotionContrast
from remot.data.tasks.rooms.amounts import ObjectCounting, ObjectSize, RoomSize
from remot.data.tasks.rooms.order import AppearanceOrder
from remot.data.tasks.rooms.relations import AbsoluteDistance, RelativeDirection, RelativeDistance
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.tracks.appearing import BoxLocalisation, TimeInView, TrackCounting, TrackOrder, TrackSize
from remot.data.tasks.tracks.moving import Displacement, MotionDirection
from remot.data.tasks.tracks.relations import TrackDirection, TrackDistance, TrackNearest
from remot.data.tasks.views.camera import CameraMovement
from remot.data.tasks.views.correspondence import PointCorrespondence
from remot.data.tasks.views.depth import DepthOrder
from remot.structures import ImageEdit

__all__ = [
    "AbsoluteDistance",
    "AppearanceOrder",
    "BoxLocalisation",
    "CameraMovement",
    "DepthOrder",
    "Detection",
    "Displacement",
    "EventCaption",
    "EventChoice",
    "FrameSampling",
    "GroundedEventChoice",
    "ImageEdit",
    "ImageGroundedChoice",
    "ImageQuality",
    "MotionContrast",
    "MotionDirection",
    "ObjectCounting",
    "ObjectMotion",
    "ObjectSize",
    "ObjectTracking",
    "PointCorrespondence",
    "RelativeDirection",
    "RelativeDistance",
    "RoomSize",
    "Task",
    "TaskPlan",
    "TemporalGrounding",
    "TemporalGroundingJson",
    "TemporalGroundingSpans",
    "TimeInView",
    "TrackCounting",
    "TrackDirection",
    "TrackDistance",
    "TrackNearest",
    "TrackOrder",
    "TrackSize",
]
