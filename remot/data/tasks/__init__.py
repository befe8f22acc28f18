"""Kinds of questions about annotated clips, see ``docs/tasks.md``."""

from remot.data.tasks.base import PictureEdit, Task, TaskPlan
from remot.data.tasks.dataset import TaskDataset
from remot.data.tasks.frames import FrameSampling
from remot.data.tasks.mixed import MixedDataset
from remot.data.tasks.motion_contrast import MotionContrast

__all__ = ["FrameSampling", "MixedDataset", "MotionContrast", "PictureEdit", "Task", "TaskDataset", "TaskPlan"]
