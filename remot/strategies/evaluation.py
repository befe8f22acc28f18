"""The part of the LightningModule that answers held-out prompts: validate, test and predict."""

import contextlib
from abc import abstractmethod
from dataclasses import asdict
from typing import Any

import lightning

from remot.evaluation.benchmark import BenchmarkScores, EvaluationSettings, answer_batch, judged_by_all
from remot.evaluation.report import as_metrics
from remot.evaluation.scores import JudgedCompletion
from remot.models.policy import VLMPolicy
from remot.rollout.decoding.engine import RolloutEngine
from remot.rollout.sampling import GREEDY, SamplingSettings
from remot.structures import PromptBatch


class AnsweringModule(lightning.LightningModule):
    """Answers held-out prompts and logs how well.

    Args:
        evaluation: How validate, test and predict decode.
        rollout_engine: What decodes.
    """

    def __init__(self, evaluation: EvaluationSettings, rollout_engine: RolloutEngine) -> None:
        super().__init__()
        self.evaluation = evaluation
        self.rollout_engine = rollout_engine
        self._evaluating = contextlib.ExitStack()
        self._judged: list[list[JudgedCompletion]] = []  # by batch
        self._judged_greedy: list[list[JudgedCompletion]] = []  # likewise
        #: What came of the last evaluation over a whole split.
        self.last_scores: BenchmarkScores | None = None

    @property
    @abstractmethod
    def loaded_policy(self) -> VLMPolicy:
        """Who answers."""

    def on_validation_start(self) -> None:
        """Gather sharded weights once: processes may have different numbers of batches."""
        self._evaluating.enter_context(self.loaded_policy.gathered())

    def on_validation_end(self) -> None:
        """Divide them again."""
        self._evaluating.close()

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end

    def _evaluation_step(self, batch: PromptBatch, sampling: SamplingSettings) -> list[JudgedCompletion]:
        again = getattr(getattr(self.trainer, "datamodule", None), "resampler", None)
        return answer_batch(self.loaded_policy, batch, self.evaluation, sampling, self.rollout_engine, again).judged

    def validation_step(self, batch: PromptBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Answer a batch of held-out prompts by sampling."""
        self._judged.append(self._evaluation_step(batch, self.evaluation.drawn_by(self.loaded_policy)))

    def test_step(self, batch: PromptBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Answer a batch of held-out prompts by sampling and greedily, as the evaluation of a fit does."""
        self._judged.append(self._evaluation_step(batch, self.evaluation.drawn_by(self.loaded_policy)))
        self._judged_greedy.append(self._evaluation_step(batch, GREEDY))

    def predict_step(self, batch: PromptBatch, batch_idx: int) -> list[dict[str, Any]]:  # noqa: ARG002
        """Answers with their scores, as dicts: Lightning does not collect frozen records."""
        return [asdict(judged) for judged in self._evaluation_step(batch, self.evaluation.drawn_by(self.loaded_policy))]

    def on_validation_epoch_end(self) -> None:
        """Log the scores."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the scores."""
        self._log_scores("test")

    def _log_scores(self, prefix: str) -> None:
        scores = BenchmarkScores(judged_by_all(self._judged), judged_by_all(self._judged_greedy))
        self._judged, self._judged_greedy, self.last_scores = [], [], scores
        metrics = as_metrics(scores.sampled, prefix)
        if scores.judged_greedy:
            metrics |= as_metrics(scores.greedy, prefix, suffix="_greedy")
        self.log_dict(metrics, batch_size=len(scores.judged), sync_dist=True)
