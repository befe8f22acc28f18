"""Kinds of questions about annotated clips, see ``docs/tasks.md``."""

from remot.data.tasks.base import PictureEdit, Task, TaskPlan
from remot.data.tasks.dataset import TaskDataset
from remot.data.tasks.frames import FrameSampling
from remot.data.tasks.mixed import MixedDataset
from remot.data.tasks.motion_contrast import MotionContrast
from remot.data.tasks.rooms.counting import ObjectCounting
from remot.data.tasks.rooms.direction import RelativeDirection
from remot.data.tasks.rooms.distance import AbsoluteDistance, RelativeDistance
from remot.data.tasks.rooms.order import AppearanceOrder
from remot.data.tasks.rooms.size import ObjectSize, RoomSize

__all__ = [
    "AbsoluteDistance",
    "AppearanceOrder",
    "FrameSampling",
    "MixedDataset",
    "MotionContrast",
    "ObjectCounting",
    "ObjectSize",
    "PictureEdit",
    "RelativeDirection",
    "RelativeDistance",
    "RoomSize",
    "Task",
    "TaskDataset",
    "TaskPlan",
]
