"""From annotated clips to prompts: annotation readers, exact frames, tasks and questions, data sets and loaders.

The kinds of each are in the packages below: ``remot.data.annotations``, ``tasks``, ``experts``, ``negatives`` and
``questions.formats``.
"""

from typing import TYPE_CHECKING

from remot.lazy import lazy_names

if TYPE_CHECKING:
    from remot.data.annotations import AnnotationReader, ClipSource, FileReader, NativeReader, write_clip
    from remot.data.datamodule import DataOptions, MotionDataModule
    from remot.data.experts import MotionExpert, default_experts
    from remot.data.negatives import Negative
    from remot.data.questions.formats import QuestionFormat
    from remot.data.tasks import FrameSampling, MotionContrast, Task, TaskPlan

#: Module of each public name, imported on first use. The imports above are the same for type checkers.
HOMES = {
    "AnnotationReader": "remot.data.annotations",
    "ClipSource": "remot.data.annotations",
    "FileReader": "remot.data.annotations",
    "NativeReader": "remot.data.annotations",
    "write_clip": "remot.data.annotations",
    "DataOptions": "remot.data.datamodule",
    "MotionDataModule": "remot.data.datamodule",
    "MotionExpert": "remot.data.experts",
    "default_experts": "remot.data.experts",
    "Negative": "remot.data.negatives",
    "QuestionFormat": "remot.data.questions.formats",
    "FrameSampling": "remot.data.tasks",
    "MotionContrast": "remot.data.tasks",
    "Task": "remot.data.tasks",
    "TaskPlan": "remot.data.tasks",
}

if not TYPE_CHECKING:  # a type checker would take any name for one that __getattr__ knows
    __getattr__, __dir__ = lazy_names(__name__, HOMES)

__all__ = [
    "AnnotationReader",
    "ClipSource",
    "DataOptions",
    "FileReader",
    "FrameSampling",
    "MotionContrast",
    "MotionDataModule",
    "MotionExpert",
    "NativeReader",
    "Negative",
    "QuestionFormat",
    "Task",
    "TaskPlan",
    "default_experts",
    "write_clip",
]
