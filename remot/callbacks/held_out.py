"""Evaluates the policy on held-out scenes before the first and after the last step, and shows what changed."""

from typing import Any

import lightning
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from rich.progress import Progress

from remot.callbacks.interrupt import run_folder
from remot.distributed import all_gather_objects, interleave
from remot.errors import ConfigError
from remot.evaluation.answer_table import ANSWERS_FILE
from remot.evaluation.benchmark import AnsweredBatch, BenchmarkScores, run_benchmark
from remot.evaluation.model_card import RESULTS_FILE
from remot.evaluation.pages import compared_html, sample_records
from remot.evaluation.question_scores import answer_lines, question_digests
from remot.evaluation.report import (
    as_metrics,
    comparison_record,
    notes,
    render_comparison,
    render_scores,
    scores_record,
    table_text,
    wide_console,
)
from remot.evaluation.viewer import SampleRecord, completions_html
from remot.strategies.module import PostTrainingModule
from remot.strategies.objective import clips_of, prompt_source
from remot.strict_json import json_text
from remot.structures import PromptBatch
from remot.terminal import console
from remot.tracking import log_file, log_samples_html, log_table


class HeldOutEvaluation(lightning.Callback):
    """Answers the test split before and after training, by sampling and greedily, and logs the comparison.

    Metrics: ``eval/base/…`` and ``eval/final/…``. Artifacts: the table as text and JSON, the scores per question, by
    which ``remot compare`` pairs runs, and pages of answers with their
    images, the last one with those of the base model and the trained one side by side.

    Args:
        enabled: Turn off for runs that are not to be compared.
        num_pages: Held-out prompts shown on the page of answers.
    """

    def __init__(self, enabled: bool = True, num_pages: int = 12) -> None:  # noqa: FBT001, FBT002 (a config key)
        if num_pages < 0:
            msg = f"held_out.num_pages is {num_pages}, give a number from 0"
            raise ConfigError(msg)
        self.enabled = enabled
        self.num_pages = num_pages
        self.base: BenchmarkScores | None = None
        self._digests: dict[str, str] = {}  # of the questions, by address

    def state_dict(self) -> dict[str, Any]:
        """Answers of the base model, so that a continued run can show what changed."""
        return {} if self.base is None else {"base": self.base.as_record()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what the base model said."""
        self.base = BenchmarkScores.from_record(state_dict["base"]) if "base" in state_dict else None

    def on_fit_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Evaluate the base model, unless the run continues from a checkpoint."""
        if not self.enabled or trainer.sanity_checking:
            return
        assert isinstance(pl_module, PostTrainingModule)
        if trainer.ckpt_path is None:
            self.base = None
            self.base = self._evaluate(trainer, pl_module, "base")

    def on_fit_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Evaluate the trained policy and print the table."""
        if not self.enabled or trainer.interrupted:
            return
        assert isinstance(pl_module, PostTrainingModule)
        final = self._evaluate(trainer, pl_module, "final")
        if not trainer.is_global_zero:
            return
        self._keep_answers(trainer, final)
        if self.base is None:
            return
        pair, greedy = (self.base.sampled, final.sampled), (self.base.greedy, final.greedy)
        budget = pl_module.evaluation.max_new_tokens
        table = render_comparison(*pair, greedy=greedy, max_new_tokens=budget)
        wide_console().print(table)
        record = comparison_record(*pair, greedy=greedy, max_new_tokens=budget)
        log_table(trainer.loggers, table_text(table), record, folder=run_folder(trainer))
        if (folder := run_folder(trainer)) is not None:
            table_of_step = record | {"step": pl_module.held_step}
            (folder / RESULTS_FILE).write_text(json_text(table_of_step, indent=2) + "\n", encoding="utf-8")

    def _keep_answers(self, trainer: Trainer, final: BenchmarkScores) -> None:
        """Write the scores per question, from which runs are compared on the same questions."""
        sides = {"base": self.base, "final": final}
        judged = {name: (one.judged, one.judged_greedy) for name, one in sides.items() if one is not None}
        text = "".join(answer_lines(self._digests, judged))
        folder = run_folder(trainer)
        log_file(trainer.loggers, text, ANSWERS_FILE, folder)
        if folder is not None:
            (folder / ANSWERS_FILE).write_text(text, encoding="utf-8")

    def on_validation_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Print the table of ``remot validate`` or ``remot test``: the rows that a fit ends with, of one policy.

        Validation within a fit has none.
        """
        if trainer.state.fn == TrainerFn.FITTING:
            return
        assert isinstance(pl_module, PostTrainingModule)
        scores = pl_module.last_scores
        if scores is None or not trainer.is_global_zero:
            return
        split = "test" if trainer.testing else "validation"
        greedy = scores.greedy if scores.judged_greedy else None
        budget = pl_module.evaluation.max_new_tokens
        table = render_scores(scores.sampled, f"{split} split", greedy=greedy, max_new_tokens=budget)
        wide_console().print(table)
        record = scores_record(scores.sampled, greedy=greedy, max_new_tokens=budget)
        log_table(trainer.loggers, table_text(table), record, f"{split}_table", run_folder(trainer))

    on_test_end = on_validation_end

    def _evaluate(self, trainer: Trainer, module: PostTrainingModule, name: str) -> BenchmarkScores:
        batches, source = trainer.datamodule.test_dataloader(), prompt_source(trainer)  # type: ignore[attr-defined]
        pages: list[list[SampleRecord]] = []  # by batch
        digests: list[list[tuple[str, str]]] = []  # likewise
        num_replaced: list[int] = []  # likewise
        with Progress(console=console(stderr=True), transient=True, disable=not trainer.is_global_zero) as progress:
            task = progress.add_task(f"evaluating the {name} policy on held-out scenes", total=len(batches))

            def on_batch(batch: PromptBatch, answered: AnsweredBatch) -> None:
                progress.advance(task)
                num_replaced.append(len(batch.replaced))
                digests.append(question_digests(batch))
                if sum(map(len, pages)) < self.num_pages:
                    pages.append(sample_records(batch, answered))

            with module.loaded_policy.gathered(), trainer.precision_plugin.test_step_context():
                scores = run_benchmark(
                    module.loaded_policy,
                    batches,
                    module.evaluation,
                    on_batch,
                    module.rollout_engine,
                    None if source is None else source.resampler,
                    clips_of(source),
                )
        self._digests = dict(one for batch in interleave(all_gather_objects(digests)) for one in batch)
        metrics = as_metrics(scores.sampled, f"eval/{name}") | as_metrics(
            scores.greedy, f"eval/{name}", suffix="_greedy"
        )
        replaced = sum(all_gather_objects(sum(num_replaced)))
        metrics |= {f"eval/{name}/replaced_prompts": float(replaced)} if replaced else {}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)
        shown = [record for batch in interleave(all_gather_objects(pages)) for record in batch][: self.num_pages]
        if trainer.is_global_zero:
            cut_off = f"cut off: {scores.sampled.cut_off.mean:.1%} sampled, {scores.greedy.cut_off.mean:.1%} greedy"
            budget = f"at most {module.evaluation.max_new_tokens} new tokens"
            lines = [f"{budget}; {cut_off}", *notes((scores.greedy, scores.sampled))]
            title = "policy on held-out scenes"
            page = (
                completions_html(shown, f"{name} {title}", lines)
                if self.base is None
                else compared_html(shown, self.base.judged, f"base and trained {title}", lines)
            )
            log_samples_html(trainer.loggers, page, f"held_out_{name}", run_folder(trainer))
        return scores
