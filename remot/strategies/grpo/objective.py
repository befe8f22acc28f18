"""The reinforced objective: sample a group of completions for each prompt, score them, prefer the better ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from remot.errors import ConfigError
from remot.losses import (
    Advantages,
    GroupAdvantages,
    GRPOLoss,
    ImportanceCorrection,
    PolicyLoss,
    TruncatedImportance,
)
from remot.models.policy import VLMPolicy
from remot.rewards import ReMoTReward, Reward
from remot.rewards.base import require_applicable
from remot.rollout.sampling import SamplingSettings
from remot.rollout.servers.base import ExternalEngine
from remot.strategies.counterfactuals.base import Counterpart
from remot.strategies.grpo.dynamic_sampling import DynamicSampling, Selection, select_groups
from remot.strategies.grpo.groups import Draw, DrawSettings, draw_groups
from remot.strategies.grpo.metrics import frac_equal, reward_metrics, rollout_metrics, scored_samples
from remot.strategies.grpo.step import GroupStep, LossSettings, spread, trained_tokens
from remot.strategies.objective import (
    MicroBatchPrompts,
    Objective,
    PreparedStep,
    StepAddress,
    planned_micro_batch,
)
from remot.structures import PromptBatch


@dataclass(frozen=True)
class GRPOObjective(Objective):
    """Group-relative policy optimisation (arXiv 2402.03300) with a KL term to the reference policy, and its family.

    Args:
        num_completions: Completions G sampled for each prompt.
        max_new_tokens: Longest completion, end of turn included.
        sampling: How completions are drawn.
        reward: What they are scored with; ReMoT's with its defaults if None.
        loss: What is minimised, one of :mod:`remot.losses`; GRPO with the paper's numbers if None.
        updates_per_rollout: Optimiser updates made from one rollout, fewer where a phase of the schedule ends. The
            ratio of the first one is exactly 1.
        advantages: How completions are compared; z-scores within the group if None.
        mask_truncated: Do not train on completions that were cut off (overlong filtering of DAPO, arXiv 2503.14476).
            They still count in the mean of their group, and as sequences of a ``sequence_mean``.
        dynamic_sampling: What happens to groups without a difference; None trains on them, with advantage 0.
        correction: Importance weights for completions of an engine whose probabilities differ from the trainer's; None
            takes them as the trainer's own, or bounds the weights of tokens by 2 where there is an ``engine``.
        counterparts: Changes the input and has the policy answer again, for rewards that compare the answers, such as
            :class:`remot.strategies.ShuffledFrames`. Nothing of it is trained on. None for rewards that do not.
        engine: Who samples, if not the policy itself.
    """

    num_completions: int = 8
    max_new_tokens: int = 64
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    reward: Reward | None = None
    loss: GRPOLoss | PolicyLoss | None = None
    updates_per_rollout: int = 1
    advantages: Advantages | None = None
    mask_truncated: bool = False
    dynamic_sampling: DynamicSampling | None = None
    correction: ImportanceCorrection | None = None
    counterparts: Counterpart | None = None
    engine: ExternalEngine | None = None

    def __post_init__(self) -> None:
        if self.num_completions < 2:
            msg = f"grpo.num_completions must be at least 2 to compare completions, got {self.num_completions}"
            raise ConfigError(msg)
        if self.updates_per_rollout < 1 or self.max_new_tokens < 1:
            msg = "grpo.updates_per_rollout and grpo.max_new_tokens must be at least 1"
            raise ConfigError(msg)
        if self.sampling.is_greedy:
            msg = "grpo.sampling.temperature is 0: every completion of a group would be the same"
            raise ConfigError(msg)

    @cached_property
    def scorer(self) -> Reward:
        """What completions are scored with."""
        return self.reward if self.reward is not None else ReMoTReward()

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

    def check(self) -> None:
        """Refuse to start without the engine.

        Raises:
            EngineError: If it is not there.
        """
        if self.engine is not None:
            self.engine.check()

    def state_dict(self) -> dict[str, Any]:
        """What the counterparts have learnt."""
        state = {} if self.counterparts is None else self.counterparts.state_dict()
        return {"counterparts": state} if state else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        if self.counterparts is not None and "counterparts" in state:
            self.counterparts.load_state_dict(state["counterparts"])

    def prepare(
        self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress, micro_batch_prompts: MicroBatchPrompts
    ) -> PreparedStep:
        """Encode the prompts once, sample, score, and compare within each group.

        Raises:
            ConfigError: If prompts are to be drawn again and there is nowhere to get them.
            RewardError: If the reward returns something else than one number for each completion, or NaN for all.
        """
        settings = DrawSettings(
            self.num_completions,
            self.max_new_tokens,
            self.sampling,
            self.scorer,
            self.counterparts,
            address.engine,
            self.engine,
        )
        if self.engine is not None:
            self.engine.sync_weights(policy, address.step)
        with policy.gathered():
            first, scores = draw_groups(policy, batch, address.seed, address.step, settings)
            require_applicable(self.scorer, first.rewards)
            if self.counterparts is not None:
                self.counterparts.observe(first.questions, first.rollout.texts)
            selection = self._select(policy, first, address, settings)
        group_step = self._group_step(policy, selection, micro_batch_prompts)
        return PreparedStep(
            num_updates=self.updates_per_rollout,
            micro_losses=group_step.micro_losses,
            micro_batch_prompts=group_step.settings.micro_batch_prompts,
            num_micro_losses=lambda size: len(group_step.slices(size)),
            metrics={
                **reward_metrics(scores),
                "reward/frac_zero_std": frac_equal(first.rewards),
                **rollout_metrics(first.rollout, first.seconds),
                **self._extra_metrics(selection),
            },
            samples=scored_samples(batch.questions, first.rollout, scores, self.num_completions),
            late_metrics=group_step.late_metrics,
        )

    def _select(self, policy: VLMPolicy, first: Draw, address: StepAddress, settings: DrawSettings) -> Selection:
        """The groups to train on; all that were drawn unless dynamic sampling is on."""
        dynamic, more_prompts = self.dynamic_sampling, address.more_prompts
        if dynamic is None:
            everything = torch.ones(len(first.batch), dtype=torch.bool)
            return Selection(first, everything, 0, len(first.batch), first.seconds)
        if dynamic.max_redraws > 0 and more_prompts is None:
            msg = (
                "grpo.dynamic_sampling draws prompts again, and the data module has no redraw(step, attempt, "
                "num_prompts); set max_redraws to 0 to leave groups without a difference out"
            )
            raise ConfigError(msg)

        def draw_more(attempt: int, num_prompts: int) -> Draw:
            assert more_prompts is not None
            batch = more_prompts(address.step, attempt, num_prompts)
            return draw_groups(policy, batch, address.seed, address.step, settings)[0]

        return select_groups(policy, first, draw_more, dynamic)

    def _group_step(self, policy: VLMPolicy, selection: Selection, micro_batch_prompts: MicroBatchPrompts) -> GroupStep:
        draw, is_kept = selection.draw, selection.is_kept
        compared = self.comparison(draw.rewards[is_kept], draw.terms[:, is_kept], draw.weights)
        return GroupStep(
            LossSettings(
                self.criterion,
                self.importance,
                self.sampling.temperature,
                self._micro_batch(policy, draw, micro_batch_prompts),
            ),
            policy,
            draw.encoded,
            draw.rollout,
            spread(compared.advantages, is_kept).to(policy.device),
            is_kept,
            trained_tokens(draw.rollout, is_kept, mask_truncated=self.mask_truncated),
        )

    def _micro_batch(self, policy: VLMPolicy, draw: Draw, wanted: MicroBatchPrompts) -> int:
        num_prompts, num_completions, num_tokens = draw.rollout.token_ids.shape
        num_columns = draw.encoded.prompts.input_ids.shape[1]
        return planned_micro_batch(policy, wanted, num_columns, (num_prompts, num_completions, num_tokens))

    def _extra_metrics(self, selection: Selection) -> dict[str, float]:
        """Of what is off by default; the metrics of a plain run stay those of a plain run."""
        metrics: dict[str, float] = {}
        if self.mask_truncated:
            metrics["completion/frac_masked"] = 1 - float(selection.draw.rollout.finished.float().mean())
        if self.dynamic_sampling is not None:
            metrics |= {**selection.metrics, "rollout/seconds": selection.seconds}
        if self.counterparts is not None:
            metrics["rollout/counterpart_seconds"] = selection.draw.counterpart_seconds
            metrics |= self.counterparts.metrics()
        return metrics
