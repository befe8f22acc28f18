"""Lightning callbacks: what a person sees of a run, and what the run leaves behind."""

from remot.callbacks.clock import StepClock
from remot.callbacks.held_out import HeldOutEvaluation
from remot.callbacks.interrupt import InterruptCheckpoint, StoppedBySignal
from remot.callbacks.predictions import PredictionFile
from remot.callbacks.progress import PhaseProgressBar
from remot.callbacks.samples import CompletionSamples
from remot.callbacks.summary import RUN_KEY, RunSummary

__all__ = [
    "RUN_KEY",
    "CompletionSamples",
    "HeldOutEvaluation",
    "InterruptCheckpoint",
    "PhaseProgressBar",
    "PredictionFile",
    "RunSummary",
    "StepClock",
    "StoppedBySignal",
]
