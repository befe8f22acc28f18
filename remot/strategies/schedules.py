"""Which objective is trained at which optimiser step: pure functions of the step, so that resuming needs no state."""

from abc import ABC, abstractmethod
from typing import Literal

from remot.errors import ConfigError

Phase = Literal["SFT", "GRPO"]


class Strategy(ABC):
    """Says for each optimiser step whether it is supervised or reinforced."""

    @abstractmethod
    def phase(self, step: int) -> Phase:
        """Phase of optimiser step ``step``, counted from 0."""

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


class GRPO(Strategy):
    """Group-relative policy optimisation only."""

    phases = ("GRPO",)

    def phase(self, step: int) -> Phase:  # noqa: ARG002
        """Always GRPO."""
        return "GRPO"


class SFTThenGRPO(Strategy):
    """A supervised warm-up, then reinforcement.

    Args:
        sft_steps: Optimiser steps of supervised fine-tuning before the first of GRPO.
    """

    phases = ("SFT", "GRPO")

    def __init__(self, sft_steps: int = 20) -> None:
        if sft_steps < 1:
            msg = f"sft_steps must be at least 1, got {sft_steps}; for no warm-up choose the strategy GRPO"
            raise ConfigError(msg)
        self.sft_steps = sft_steps

    def phase(self, step: int) -> Phase:
        """SFT for the first ``sft_steps`` steps."""
        return "SFT" if step < self.sft_steps else "GRPO"


class AlternatingSFTGRPO(Strategy):
    """SFT when ``t mod (k_sft + k_grpo) < k_sft``, else GRPO (ReMoT, arXiv 2603.00461).

    The paper gives the rule but not its two constants; the defaults are ours.

    Args:
        k_sft: Supervised steps in each cycle.
        k_grpo: Reinforced steps in each cycle.
    """

    phases = ("SFT", "GRPO")

    def __init__(self, k_sft: int = 1, k_grpo: int = 3) -> None:
        if k_sft < 1 or k_grpo < 1:
            msg = f"k_sft and k_grpo must be at least 1, got {k_sft} and {k_grpo}; for one phase choose SFT or GRPO"
            raise ConfigError(msg)
        self.k_sft = k_sft
        self.k_grpo = k_grpo

    def phase(self, step: int) -> Phase:
        """Position of ``step`` in its cycle."""
        return "SFT" if step % (self.k_sft + self.k_grpo) < self.k_sft else "GRPO"
