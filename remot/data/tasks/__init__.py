"""Kinds of questions about annotated clips, see ``docs/tasks.md``."""

from remot.data.tasks.base import PictureEdit, Task, TaskPlan
from remot.data.tasks.caption import EventCaption
from remot.data.tasks.dataset import TaskDataset
from remot.data.tasks.detection import Detection
from remot.data.tasks.event_choice import EventChoice, GroundedEventChoice
from remot.data.tasks.frames import FrameSampling
from remot.data.tasks.grounding import TemporalGrounding, TemporalGroundingSpans
from remot.data.tasks.image_choice import ImageGroundedChoice
from remot.data.tasks.mixed import MixedDataset
from remot.data.tasks.motion_contrast import MotionContrast
from remot.data.tasks.quality import PictureQuality
from remot.data.tasks.tracking import ObjectTracking

__all__ = [
    "Detection",
    "EventCaption",
    "EventChoice",
    "FrameSampling",
    "GroundedEventChoice",
    "ImageGroundedChoice",
    "MixedDataset",
    "MotionContrast",
    "ObjectTracking",
    "PictureEdit",
    "PictureQuality",
    "Task",
    "TaskDataset",
    "TaskPlan",
    "TemporalGrounding",
    "TemporalGroundingSpans",
]
