"""The reinforced objective: sample a group of completions for each prompt, score them, prefer the better ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from remot.deadline import require_seconds
from remot.environments import TurnSettings
from remot.errors import ConfigError
from remot.losses import (
    Advantages,
    Entropy,
    GroupAdvantages,
    GRPOLoss,
    ImportanceCorrection,
    PolicyLoss,
    TruncatedImportance,
)
from remot.models.policy import VLMPolicy
from remot.rewards import IsolatedReward, ReMoTReward, Reward
from remot.rollout.sampling import SamplingSettings, require_lengths
from remot.rollout.servers.base import EngineRollouts, ExternalEngine
from remot.rollout.sources import PolicyRollouts, RolloutSource
from remot.rollout.turns import ConversationRollouts
from remot.strategies.counterfactuals.base import Counterfactual
from remot.strategies.grpo.dynamic_sampling import DynamicSampling, source_that_redraws
from remot.strategies.grpo.step import StepSettings, prepare_step, source_that_looks_ahead
from remot.strategies.grpo.teacher import PrivilegedTeacher
from remot.strategies.objective import (
    MicroBatchPrompts,
    Objective,
    PreparedStep,
    PromptSource,
    StepAddress,
    require_whole_weights,
)
from remot.structures import PromptBatch

#: Completion tokens of a backward pass on a CPU; more at once are no faster there and take memory.
TOKENS_ON_CPU = 2048


@dataclass(frozen=True)
class GRPOObjective(Objective):
    """Group-relative policy optimisation (arXiv 2402.03300) with a KL term to the reference policy, and its family.

    Args:
        num_completions: Completions G sampled for each prompt.
        max_new_tokens: Longest completion, end of turn included.
        sampling: How completions are drawn.
        reward: What they are scored with; ReMoT's with its defaults if None.
        isolate: Compute the reward in a process of its own, see :class:`remot.rewards.IsolatedReward`: one that hangs,
            crashes or takes memory ends the step and not the run's process.
        reward_seconds: Longest time for the completions of a step, with ``isolate``.
        loss: What is minimised, one of :mod:`remot.losses`; GRPO with the paper's numbers if None.
        updates_per_rollout: Optimiser updates made from one rollout, fewer where a phase or the run ends. The
            ratio of the first one is exactly 1.
        advantages: How completions are compared; z-scores within the group if None.
        mask_truncated: Do not train on completions that were cut off (overlong filtering of DAPO, arXiv 2503.14476).
            They still count in the mean of their group, and as sequences of a ``sequence_mean``.
        entropy: What the policy's entropy is used for beside the metric ``entropy``, see
            :class:`remot.losses.Entropy`; None computes none.
        dynamic_sampling: What happens to groups without a difference; None trains on them, with advantage 0.
        correction: Importance weights for completions of an engine whose probabilities differ from the trainer's; None
            takes them as the trainer's own, or bounds the weights of tokens by 2 where there is an ``engine``.
        counterfactuals: Changes the input and has the policy answer again, for rewards that compare the answers, such
            as :class:`remot.strategies.ShuffledFrames`. Nothing of it is trained on. None for rewards that do not.
        engine: The engine that samples, if not the policy itself.
        teacher: Teaches the tokens of a completion by the policy with the right answer in its prompt: weighs them,
            or pulls their distributions towards it; None weighs all tokens of a completion alike.
        turns: An environment that replies to completions, such as :class:`remot.environments.FrameRequests`, and its
            bounds; ``max_new_tokens`` is then that of a turn. None for completions of one turn.
        micro_batch_tokens: Completion tokens of a backward pass at most, for long completions: those of a prompt are
            taken in parts, each behind the prompt again. Changes memory and time, no result. None is 2,048 on a CPU
            and no limit elsewhere. ``entropy.top_share`` and losses of one's own that do not set
            ``adds_up_over_completions`` take a group as a whole.
    """

    num_completions: int = 8
    max_new_tokens: int = 64
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    reward: Reward | None = None
    isolate: bool = False
    reward_seconds: float = 60.0
    loss: GRPOLoss | PolicyLoss | None = None
    updates_per_rollout: int = 1
    advantages: Advantages | None = None
    mask_truncated: bool = False
    entropy: Entropy | None = None
    dynamic_sampling: DynamicSampling | None = None
    correction: ImportanceCorrection | None = None
    counterfactuals: Counterfactual | None = None
    engine: ExternalEngine | None = None
    teacher: PrivilegedTeacher | None = None
    turns: TurnSettings | None = None
    micro_batch_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.num_completions < 2:
            msg = f"grpo.num_completions must be at least 2 to compare completions, got {self.num_completions}"
            raise ConfigError(msg)
        given = (self.updates_per_rollout, self.max_new_tokens, self.micro_batch_tokens)
        if any(number is not None and number < 1 for number in given):
            msg = "grpo.updates_per_rollout, grpo.max_new_tokens and grpo.micro_batch_tokens must be at least 1"
            raise ConfigError(msg)
        require_lengths("model.grpo", self.num_completions, self.max_new_tokens)
        require_seconds("grpo.reward_seconds", self.reward_seconds)
        if self.sampling.is_greedy:
            msg = "grpo.sampling.temperature is 0: every completion of a group would be the same"
            raise ConfigError(msg)
        distils = self.teacher is not None and self.teacher.distillation is not None
        if distils and self.entropy is not None:
            msg = "grpo.entropy does not go with grpo.teacher.distillation, which moves entropies itself; leave one out"
            raise ConfigError(msg)
        if self.turns is not None:
            self._require_turns()

    def _require_turns(self) -> None:
        """Refuse with conversations what knows completions of one turn only."""
        given = {
            "engine": self.engine is not None,
            "teacher": self.teacher is not None,
            "counterfactuals": self.counterfactuals is not None,
            "dynamic_sampling.max_redraws": self.dynamic_sampling is not None and self.dynamic_sampling.max_redraws > 0,
        }
        if named := [name for name, is_given in given.items() if is_given]:
            msg = f"grpo.turns does not go with grpo.{named[0]}, which knows completions of one turn; leave one out"
            raise ConfigError(msg)

    @cached_property
    def scorer(self) -> Reward:
        """What completions are scored with."""
        reward = self.reward if self.reward is not None else ReMoTReward()
        return IsolatedReward(reward, self.reward_seconds) if self.isolate else reward

    @cached_property
    def rollouts(self) -> RolloutSource:
        """Where completions come from."""
        if self.turns is not None:
            return ConversationRollouts(self.turns)
        return PolicyRollouts() if self.engine is None else EngineRollouts(self.engine)

    @cached_property
    def criterion(self) -> PolicyLoss:
        """The loss to minimise."""
        return self.loss if self.loss is not None else GRPOLoss()

    @cached_property
    def comparison(self) -> Advantages:
        """How completions are compared."""
        return self.advantages if self.advantages is not None else GroupAdvantages()

    @cached_property
    def importance(self) -> ImportanceCorrection | None:
        """Weights for what the engine samples with other probabilities than the trainer's."""
        is_default = self.correction is None and self.engine is not None
        return TruncatedImportance() if is_default else self.correction

    @property
    def needs_reference(self) -> bool:
        """True unless beta is 0."""
        return self.criterion.needs_reference

    @property
    def average_rate(self) -> float:
        """That of the teacher."""
        return 0.0 if self.teacher is None else self.teacher.average or 0.0

    def check(self) -> None:
        """Refuse to start without the engine.

        Raises:
            EngineError: If it is not there.
        """
        if self.engine is not None:
            self.engine.check()

    def require_source(self, source: PromptSource | None) -> None:
        """Refuse a data module that cannot draw prompts again, or knows no next batch, where that is asked for.

        Raises:
            ConfigError: If it cannot.
        """
        if self.dynamic_sampling is not None and self.dynamic_sampling.max_redraws > 0:
            source_that_redraws(source)
        if self.rollouts.one_step_ahead:
            source_that_looks_ahead(source)

    def state_dict(self) -> dict[str, Any]:
        """What the counterfactuals and the comparison have learnt."""
        parts = {"counterfactuals": self.counterfactuals, "advantages": self.comparison}
        states = {name: part.state_dict() for name, part in parts.items() if part is not None}
        return {name: state for name, state in states.items() if state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        learnt = state.get("counterfactuals", state.get("counterparts"))  # as earlier versions called them
        if self.counterfactuals is not None and learnt is not None:
            self.counterfactuals.load_state_dict(learnt)
        if "advantages" in state:
            self.comparison.load_state_dict(state["advantages"])

    def prepare(
        self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress, micro_batch_prompts: MicroBatchPrompts
    ) -> PreparedStep:
        """Sample, score and compare; see :func:`remot.strategies.grpo.step.prepare_step`."""
        if self.turns is not None:
            require_whole_weights(policy, "grpo.turns")
        if self.teacher is not None and self.teacher.distillation is not None:
            require_whole_weights(policy, "grpo.teacher.distillation")
        settings = StepSettings(
            num_completions=self.num_completions,
            max_new_tokens=self.max_new_tokens,
            sampling=self.sampling,
            reward=self.scorer,
            rollouts=self.rollouts,
            counterfactuals=self.counterfactuals,
            comparison=self.comparison,
            criterion=self.criterion,
            correction=self.importance,
            entropy=self.entropy,
            dynamic_sampling=self.dynamic_sampling,
            mask_truncated=self.mask_truncated,
            teacher=self.teacher,
            num_updates=self.updates_per_rollout,
            micro_batch_tokens=self.micro_batch_tokens or (TOKENS_ON_CPU if policy.device.type == "cpu" else None),
        )
        return prepare_step(settings, policy, batch, address, micro_batch_prompts)
