"""Lightning callbacks: what a person sees of a run, and what the run leaves behind."""

from remot.callbacks.checkpoint import RunCheckpoint
from remot.callbacks.faults import FaultRecord
from remot.callbacks.held_out import HeldOutEvaluation
from remot.callbacks.interrupt import InterruptCheckpoint, StoppedBySignal
from remot.callbacks.predictions import PredictionFile
from remot.callbacks.progress import PhaseProgressBar, StepClock
from remot.callbacks.samples import CompletionSamples
from remot.callbacks.summary import RUN_KEY, RunSummary
from remot.callbacks.weights import WeightsReport

__all__ = [
    "RUN_KEY",
    "CompletionSamples",
    "FaultRecord",
    "HeldOutEvaluation",
    "InterruptCheckpoint",
    "PhaseProgressBar",
    "PredictionFile",
    "RunCheckpoint",
    "RunSummary",
    "StepClock",
    "StoppedBySignal",
    "WeightsReport",
]
