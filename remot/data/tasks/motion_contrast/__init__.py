"""Motion-contrast triplets (ReMoT, arXiv 2603.00461): the task, its triplets and their balance."""

from remot.data.tasks.motion_contrast.task import MotionContrast, Sampling

__all__ = ["MotionContrast", "Sampling"]
