"""Lightning callbacks: what a person sees of a run, and what the run leaves behind."""

from remot.callbacks.best import BestPolicy
from remot.callbacks.checkpoint import RunCheckpoint
from remot.callbacks.held_out import HeldOutEvaluation
from remot.callbacks.interrupt import InterruptCheckpoint
from remot.callbacks.progress import PhaseProgressBar, StepClock
from remot.callbacks.resumed import ResumedCallbacks
from remot.callbacks.run_record import RunRecord
from remot.callbacks.samples import CompletionSamples, PredictionFile
from remot.callbacks.summary import RUN_KEY, FaultRecord, RunSummary, WeightsReport
from remot.callbacks.vision_guard import VisionGuard
from remot.stopping import StoppedBySignal

__all__ = [
    "RUN_KEY",
    "BestPolicy",
    "CompletionSamples",
    "FaultRecord",
    "HeldOutEvaluation",
    "InterruptCheckpoint",
    "PhaseProgressBar",
    "PredictionFile",
    "ResumedCallbacks",
    "RunCheckpoint",
    "RunRecord",
    "RunSummary",
    "StepClock",
    "StoppedBySignal",
    "VisionGuard",
    "WeightsReport",
]
