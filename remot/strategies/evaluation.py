"""The part of the LightningModule that needs no training: the policy, and validate, test and predict with it."""

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy
from lightning.pytorch.strategies import Strategy as TrainerStrategy

from remot.distributed import all_gather_objects, is_first_process
from remot.errors import ConfigError
from remot.evaluation.benchmark import BenchmarkScores, EvaluationSettings, answer_in_ways, judged_by_all
from remot.evaluation.report import as_metrics
from remot.evaluation.scores import JudgedCompletion
from remot.models.export import save_trained
from remot.models.loading import describe_source, describe_weights
from remot.models.policy import VLMPolicy
from remot.rollout.decoding.engine import RolloutEngine
from remot.rollout.sampling import GREEDY, SamplingSettings
from remot.strategies.distributed import data_mesh
from remot.strategies.objective import clips_of, prompt_source
from remot.strategies.settings import PolicySettings
from remot.structures import PromptBatch


class AnsweringModule(lightning.LightningModule):
    """Holds a policy, answers held-out prompts and logs how well.

    Args:
        policy: What is loaded and what of it is trained.
        evaluation: How validate, test and predict decode.
        rollout_engine: What decodes.
    """

    def __init__(self, policy: PolicySettings, evaluation: EvaluationSettings, rollout_engine: RolloutEngine) -> None:
        super().__init__()
        self.policy_settings = policy
        self.policy: VLMPolicy | None = None
        self.checkpoint_step: int | None = None
        #: Step of the weights that are held, where it is not the last one.
        self.weights_step: int | None = None
        self.evaluation = evaluation
        self.rollout_engine = rollout_engine
        self._evaluating = contextlib.ExitStack()
        self._judged: list[list[JudgedCompletion]] = []  # by batch
        self._judged_greedy: list[list[JudgedCompletion]] = []  # likewise
        self._num_replaced = 0  # prompts of this evaluation that took the place of others, which could not be read
        #: Scores of the last evaluation over a whole split.
        self.last_scores: BenchmarkScores | None = None

    # -- the policy ----------------------------------------------------------------------------------------------

    @property
    def base_model(self) -> str:
        """Name of the base model for tags."""
        return describe_source(self.policy_settings.source)

    @property
    def loaded_policy(self) -> VLMPolicy:
        """The policy, once loaded."""
        if self.policy is None:
            msg = "the policy is loaded by configure_model(), which the trainer calls; call it first"
            raise RuntimeError(msg)
        return self.policy

    def describe_weights(self) -> str:
        """What the policy has been loaded from, such as ``remot-tiny + adapter runs/…/adapter, step 60``."""
        if self._trainer is None or self.trainer.ckpt_path is None:
            return describe_weights(self.policy_settings.source)
        return f"{self.base_model} + checkpoint {self.trainer.ckpt_path}, step {self.checkpoint_step}"

    @property
    def held_step(self) -> int:
        """Step of the weights that are held: the last one, or the best one at the end of a run."""
        return self.global_step if self.weights_step is None else self.weights_step

    def divide_policy(self) -> None:
        """Shard the weights if the trainer's strategy made a mesh of processes for it."""
        if self.device_mesh is not None:
            self.loaded_policy.shard(data_mesh(self.device_mesh))

    def save_policy(self, folder: Path) -> Path:
        """Write adapters or weights for use outside this library; all processes call it and the first one writes."""
        return save_trained(self.loaded_policy, folder, step=self.held_step, is_writer=is_first_process())

    # -- held-out prompts ----------------------------------------------------------------------------------------

    def on_validation_start(self) -> None:
        """Gather sharded weights once: processes may have different numbers of batches."""
        self._evaluating.enter_context(self.loaded_policy.gathered())

    def on_validation_end(self) -> None:
        """Divide them again."""
        self._evaluating.close()

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end

    def _evaluation_step(self, batch: PromptBatch, *others: SamplingSettings) -> list[list[JudgedCompletion]]:
        """The answers drawn as the settings say, and those drawn in other ways."""
        source, policy = prompt_source(self.trainer), self.loaded_policy
        resample = None if source is None else source.resampler
        ways = self.evaluation.drawn_by(policy), *others
        engine, clips = self.rollout_engine, clips_of(source)
        return [one.judged for one in answer_in_ways(policy, batch, self.evaluation, ways, engine, resample, clips)]

    def validation_step(self, batch: PromptBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Answer a batch of held-out prompts by sampling."""
        self._num_replaced += len(batch.replaced)
        self._judged += self._evaluation_step(batch)

    def test_step(self, batch: PromptBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Answer a batch of held-out prompts by sampling and greedily, as the evaluation of a fit does."""
        self._num_replaced += len(batch.replaced)
        sampled, greedy = self._evaluation_step(batch, GREEDY)
        self._judged.append(sampled)
        self._judged_greedy.append(greedy)

    def predict_step(self, batch: PromptBatch, batch_idx: int) -> list[dict[str, Any]]:  # noqa: ARG002
        """Answers with their scores, as dicts: Lightning does not collect frozen records."""
        return [asdict(judged) for judged in self._evaluation_step(batch)[0]]

    def on_validation_epoch_end(self) -> None:
        """Log the scores."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the scores."""
        self._log_scores("test")

    def _log_scores(self, prefix: str) -> None:
        scores = BenchmarkScores(judged_by_all(self._judged), judged_by_all(self._judged_greedy))
        replaced = sum(all_gather_objects(self._num_replaced))
        self._judged, self._judged_greedy, self._num_replaced, self.last_scores = [], [], 0, scores
        metrics = as_metrics(scores.sampled, prefix)
        metrics |= {f"{prefix}/replaced_prompts": float(replaced)} if replaced else {}
        if scores.judged_greedy:
            metrics |= as_metrics(scores.greedy, prefix, suffix="_greedy")
        self.log_dict(metrics, batch_size=len(scores.judged), sync_dist=True)


def require_supported(strategy: TrainerStrategy) -> None:
    """Refuse strategies that gather weights in ``forward`` only, which a rollout does not call.

    Raises:
        ConfigError: For the older FSDP and for ZeRO stage 3.
    """
    is_stage_3 = isinstance(strategy, DeepSpeedStrategy) and strategy.zero_stage_3
    if isinstance(strategy, FSDPStrategy) or is_stage_3:
        msg = (
            f"trainer.strategy {type(strategy).__name__}{' at stage 3' if is_stage_3 else ''} cannot sample: use "
            "lightning.pytorch.strategies.ModelParallelStrategy, as configs/devices/fsdp2.yaml does"
        )
        raise ConfigError(msg)
