"""From annotated clips to prompts: annotation readers, exact frames, tasks and questions, data sets and loaders.

The kinds of each are in the packages below: ``remot.data.annotations``, ``tasks``, ``experts``, ``negatives`` and
``questions.formats``.
"""

from typing import TYPE_CHECKING

from remot.lazy import lazy_names

if TYPE_CHECKING:
    from remot.data.annotations import AnnotationReader, ClipSource, FileReader, NativeReader, write_clip
    from remot.data.datamodule import MotionDataModule
    from remot.data.experts import MotionExpert, default_experts
    from remot.data.negatives import Negative
    from remot.data.prompt_data import DataOptions, PromptData
    from remot.data.questions.formats import QuestionFormat
    from remot.data.tasks import FrameSampling, MotionContrast, Task, TaskPlan

#: Public names of each module, imported on first use. The imports above are the same for type checkers.
HOMES = {
    "remot.data.annotations": ("AnnotationReader", "ClipSource", "FileReader", "NativeReader", "write_clip"),
    "remot.data.datamodule": ("MotionDataModule",),
    "remot.data.prompt_data": ("DataOptions", "PromptData"),
    "remot.data.experts": ("MotionExpert", "default_experts"),
    "remot.data.negatives": ("Negative",),
    "remot.data.questions.formats": ("QuestionFormat",),
    "remot.data.tasks": ("FrameSampling", "MotionContrast", "Task", "TaskPlan"),
}

if not TYPE_CHECKING:  # a type checker would take any name for one that __getattr__ knows
    __getattr__ = lazy_names(__name__, HOMES)

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
    "PromptData",
    "QuestionFormat",
    "Task",
    "TaskPlan",
    "default_experts",
    "write_clip",
]
