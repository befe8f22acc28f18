"""Which objective is trained at which optimiser step: pure functions of the step, so that resuming needs no state."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from remot.errors import ConfigError

Phase = Literal["SFT", "GRPO", "DPO"]

#: The policy that KL is measured against: the model without adapters, or the policy when the phase began. Full
#: weights have no adapters, so that ``base`` is the model as it was loaded.
KLReference = Literal["base", "phase_start"]


class Strategy(ABC):
    """For each optimiser step its objective, and what the reference of its KL is."""

    reference: KLReference = "base"

    @abstractmethod
    def phase(self, step: int) -> Phase:
        """Phase of optimiser step ``step``, counted from 0."""

    def reference_step(self, step: int) -> int | None:
        """The step at whose start the reference of step ``step`` is taken; None for the base model and in SFT.

        Updates of a rollout end with its phase, so that a run comes to every step at which a phase begins.
        """
        phase = self.phase(step)
        if self.reference == "base" or phase == "SFT":
            return None
        start = step
        while start > 0 and self.phase(start - 1) == phase:
            start -= 1
        return start

    def due_steps(self, phase: Phase, max_steps: int) -> Callable[[int], bool]:
        """Whether a step is of a phase, and of a run of ``max_steps``; negative for a run without end."""

        def is_due(step: int) -> bool:
            return not 0 < max_steps <= step and self.phase(step) == phase

        return is_due

    @property
    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """The phases that occur at all."""

    @property
    def name(self) -> str:
        """Name in reports and MLflow."""
        return type(self).__name__


class SFT(Strategy):
    """Supervised fine-tuning only."""

    phases = ("SFT",)

    def phase(self, step: int) -> Phase:  # noqa: ARG002
        """Always SFT."""
        return "SFT"


@dataclass(frozen=True)
class GRPO(Strategy):
    """Group-relative policy optimisation only.

    Args:
        reference: What KL is measured against: the ``base`` model, without the adapters that a run may have begun with,
            or the policy as the run began with it (``phase_start``).
    """

    phases = ("GRPO",)

    reference: KLReference = "base"

    def phase(self, step: int) -> Phase:  # noqa: ARG002
        """Always GRPO."""
        return "GRPO"


class _SFTThen(Strategy):
    """A supervised warm-up, then another phase."""

    then: ClassVar[Phase]

    def __init__(self, sft_steps: int = 20, reference: KLReference = "phase_start") -> None:
        if sft_steps < 1:
            msg = f"sft_steps must be at least 1, got {sft_steps}; for no warm-up choose the strategy {self.then}"
            raise ConfigError(msg)
        self.sft_steps = sft_steps
        self.reference = reference

    def phase(self, step: int) -> Phase:
        """SFT for the first ``sft_steps`` steps."""
        return "SFT" if step < self.sft_steps else self.then


class SFTThenGRPO(_SFTThen):
    """A supervised warm-up, then reinforcement.

    Args:
        sft_steps: Optimiser steps of supervised fine-tuning before the first of GRPO.
        reference: What the KL of GRPO is measured against: the policy that SFT has made (``phase_start``), or the
            ``base`` model, which draws the policy back to what it was before SFT.
    """

    phases = ("SFT", "GRPO")
    then = "GRPO"


class SFTThenDPO(_SFTThen):
    """A supervised warm-up, then preference optimisation.

    Args:
        sft_steps: Optimiser steps of supervised fine-tuning before the first of DPO.
        reference: What DPO is tied to: the policy that SFT has made (``phase_start``, as in the paper), or the ``base``
            model.
    """

    phases = ("SFT", "DPO")
    then = "DPO"


@dataclass(frozen=True)
class DPO(Strategy):
    """Direct preference optimisation only (arXiv 2305.18290).

    Args:
        reference: What DPO is tied to: the ``base`` model, or the policy as the run began with it (``phase_start``).
    """

    phases = ("DPO",)

    reference: KLReference = "base"

    def phase(self, step: int) -> Phase:  # noqa: ARG002
        """Always DPO."""
        return "DPO"


class AlternatingSFTGRPO(Strategy):
    """SFT when ``t mod (k_sft + k_grpo) < k_sft``, else GRPO (ReMoT, arXiv 2603.00461).

    The paper gives the rule but not its two constants; the defaults are ours. Steps are those of the optimiser: of
    several updates per rollout those are made that fall into the phase.

    Args:
        k_sft: Supervised steps in each cycle.
        k_grpo: Reinforced steps in each cycle.
        reference: What the KL of GRPO is measured against: the ``base`` model, or the policy at the beginning of each
            phase of GRPO (``phase_start``). The paper does not say.
    """

    phases = ("SFT", "GRPO")

    def __init__(self, k_sft: int = 1, k_grpo: int = 3, reference: KLReference = "base") -> None:
        if k_sft < 1 or k_grpo < 1:
            msg = f"k_sft and k_grpo must be at least 1, got {k_sft} and {k_grpo}; for one phase choose SFT or GRPO"
            raise ConfigError(msg)
        self.k_sft = k_sft
        self.k_grpo = k_grpo
        self.reference = reference

    def phase(self, step: int) -> Phase:
        """Position of ``step`` in its cycle."""
        return "SFT" if step % (self.k_sft + self.k_grpo) < self.k_sft else "GRPO"
