"""Objectives: a batch of prompts in, micro-batch losses to back-propagate out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from remot.distributed import least_over_processes
from remot.errors import ConfigError
from remot.evaluation.perception import Resampler
from remot.models.policy import VLMPolicy
from remot.rollout.decoding.engine import RolloutEngine
from remot.rollout.decoding.memory import free_bytes, plan_micro_batch
from remot.rollout.sources import ClipSource
from remot.structures import ClipFrames, LossOutput, PromptBatch, Question

#: Prompts of one forward and backward pass, or ``auto`` for what fits into the memory that is free.
MicroBatchPrompts = Literal["auto"] | int


@runtime_checkable
class PromptSource(Protocol):
    """A data module that describes its prompts, draws others, and shows them again with other frames."""

    def describe(self) -> list[str]:
        """Lines to print before a run, such as the prompts of each task."""

    @property
    def resampler(self) -> Resampler | None:
        """From the id of a prompt and the frames that are wanted to a batch of it; None if no answers name times."""

    def redraw(self, step: int, attempt: int, num_prompts: int) -> PromptBatch:
        """More training prompts; the same arguments give the same ones, so that a resumed run is exact.

        Args:
            step: Optimizer step.
            attempt: Which draw of this step, from 1 to :data:`remot.structures.training.MAX_REDRAWS`.
            num_prompts: How many.
        """


@runtime_checkable
class UpcomingPrompts(Protocol):
    """A data module that knows the next batch before the trainer asks for it."""

    def upcoming(self) -> PromptBatch:
        """The batch that follows the one that is being trained on."""


@runtime_checkable
class ClipFrameSource(Protocol):
    """A data module that knows the clips of its prompts."""

    def clip_frames(self, prompt_id: str) -> ClipFrames | None:
        """The frames of the clip that a prompt, found by its name, is about; None if there is no clip."""


@runtime_checkable
class GroupObserver(Protocol):
    """A data module that chooses prompts by what their completions earned before."""

    def observe_groups(self, differed: Sequence[bool]) -> None:
        """For each prompt of the loader's batch, whether its completions had different rewards; all processes call."""


def observe_groups(source: object, has_signal: Sequence[bool]) -> None:
    """Tell a data module that wants to know which groups of a step had a difference."""
    if has_signal and isinstance(source, GroupObserver):
        source.observe_groups(has_signal)


def clips_of(source: object) -> ClipSource:
    """From the name of a prompt to the frames of its clip; None for each if ``source`` knows no clips."""
    return source.clip_frames if isinstance(source, ClipFrameSource) else lambda _: None


def require_whole_weights(policy: VLMPolicy, key: str) -> None:
    """Refuse sharded weights: all processes have to make the same passes, and their conversations differ.

    Raises:
        ConfigError: Naming the ``key`` of the configuration.
    """
    if policy.sharding is not None:
        msg = f"{key} needs whole weights in each process; use trainer.strategy ddp, or leave {key} out"
        raise ConfigError(msg)


def prompt_source(trainer: object) -> PromptSource | None:
    """The trainer's data module if it is a source of prompts; loaders without a data module are none."""
    data_module = getattr(trainer, "datamodule", None)
    return data_module if isinstance(data_module, PromptSource) else None


@dataclass(frozen=True)
class StepAddress:
    """Names the randomness of one training step."""

    seed: int  # of the run
    step: int  # optimiser step, counted from 0
    #: Draws prompts again; None if the data module cannot.
    prompt_source: PromptSource | None = field(default=None, compare=False, repr=False)
    #: What decodes completions, which depend on seed and step alone.
    engine: RolloutEngine = field(default_factory=RolloutEngine, compare=False, repr=False)
    #: Whether this objective is due at a step of the run.
    is_due: Callable[[int], bool] = field(default=lambda _: True, compare=False, repr=False)


@dataclass(frozen=True, eq=False)
class ScoredCompletions:
    """Completions of one prompt, for the page of samples."""

    prompt_index: int  # which prompt of the batch
    question: Question
    completions: Sequence[str]
    rewards: Sequence[Mapping[str, float]]  # for each completion its reward parts, ``total`` among them


class MicroLosses(Protocol):
    """Yields the loss of one micro-batch after another; they add up to the loss of the batch."""

    def __call__(self, micro_batch_prompts: int | None = None) -> Iterator[LossOutput]:
        """Losses of micro-batches of this many prompts, of as many as the step was prepared for if None."""


@dataclass(frozen=True, eq=False)
class PreparedStep:
    """Everything of a training step that needs no gradient, and how to compute the rest."""

    num_updates: int  # optimiser updates to make from it
    micro_losses: MicroLosses
    micro_batch_prompts: int  # prompts of a micro-batch that it was prepared for
    shape: tuple[int, int, int, int]  # P prompts of L columns with G completions of T tokens, padding included
    shares_prompts: bool = field(default=True, kw_only=True)  # completions do; otherwise each has a copy of its prompt
    #: How many losses it yields for a size; processes exchange gradients with the last one.
    num_micro_losses: Callable[[int], int]
    #: Prompts of the losses of micro-batches of one; empty where they are those of the batch.
    prompt_ids: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)  # numbers to log
    samples: Sequence[ScoredCompletions] = ()  # completions to show; empty for objectives that sample none
    #: For each prompt of the batch whether its completions had different rewards; empty for objectives without rewards.
    has_signal: Sequence[bool] = ()
    late_metrics: Callable[[], Mapping[str, float]] = dict  # gives numbers to log that are known after the updates only


class Objective(ABC):
    """Turns prompts into losses. What outlives a step is in :meth:`state_dict`; a checkpoint between steps is whole."""

    @property
    @abstractmethod
    def needs_reference(self) -> bool:
        """True if the policy must keep a reference."""

    @property
    def average_rate(self) -> float:
        """How far an average of the policy moves in a step; 0 if the policy need not keep one."""
        return 0.0

    def check(self) -> None:  # noqa: B027 (most objectives need nothing)
        """Before anything is loaded: refuse to start if something outside of the trainer is missing."""

    def require_source(self, source: PromptSource | None) -> None:  # noqa: B027 (most objectives take any)
        """Before anything is loaded: refuse a data module that cannot give what a step will ask of it.

        Raises:
            ConfigError: If it cannot.
        """

    def state_dict(self) -> dict[str, Any]:
        """What outlives a step, as plain numbers and tensors; nothing for most objectives."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Continue from :meth:`state_dict`."""

    @abstractmethod
    def prepare(
        self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress, micro_batch_prompts: MicroBatchPrompts
    ) -> PreparedStep:
        """Do the part of the step that needs no gradient; ``micro_batch_prompts`` changes memory, never results."""


def planned_micro_batch(
    policy: VLMPolicy, wanted: MicroBatchPrompts, shape: tuple[int, int, int, int], *, shares_prompts: bool = True
) -> int:
    """Prompts of a micro-batch: the number ``wanted``, or what fits.

    Args:
        policy: The policy being trained.
        wanted: A number, or ``auto``.
        shape: P prompts of L columns with G completions of T tokens.
        shares_prompts: Completions share their prompt, rather than each having a copy of it.
    """
    if wanted != "auto":
        return min(wanted, shape[0])  # half of more than there are would be no less
    planned = plan_micro_batch(policy.footprint, free_bytes(policy.device), shape, shares_prompts=shares_prompts)
    return least_over_processes(planned, policy.device)  # all must make the same number of backward passes


def micro_slices(num_prompts: int, micro_batch_prompts: int) -> Iterator[slice]:
    """Consecutive slices of at most ``micro_batch_prompts`` prompts."""
    for start in range(0, num_prompts, micro_batch_prompts):
        yield slice(start, min(start + micro_batch_prompts, num_prompts))
