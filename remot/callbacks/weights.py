"""Which weights a command computes with, printed before it begins."""

import lightning
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console

from remot.strategies.module import PostTrainingModule


class WeightsReport(lightning.Callback):
    """Prints the weights that fit, validate, test and predict begin with, and for fit what is trained of them.

    Without arguments. It has to come before callbacks that evaluate when a run begins.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Weights, trained part, and what KL is measured against."""
        assert isinstance(pl_module, PostTrainingModule)
        policy, reference = pl_module.loaded_policy, pl_module.describe_reference()
        trained = policy.adaptation.describe(policy.model)
        lines = [f"weights: {pl_module.describe_weights()}", f"trained: {trained}"]
        _show(trainer, [*lines, *([] if reference is None else [f"KL reference: {reference}"])])

    def on_validation_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Weights of ``remot validate``; validation within a run has been announced."""
        if trainer.state.fn is not TrainerFn.FITTING:
            assert isinstance(pl_module, PostTrainingModule)
            _show(trainer, [f"weights: {pl_module.describe_weights()}"])

    on_test_start = on_predict_start = on_validation_start


def _show(trainer: Trainer, lines: list[str]) -> None:
    if trainer.is_global_zero:
        console = Console(soft_wrap=True, highlight=False)
        for line in lines:
            console.print(line, markup=False)
