"""A run that ends with the weights of its best step instead of its last."""

from pathlib import Path

import lightning
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from remot.callbacks.interrupt import is_sharded, print_line
from remot.errors import CheckpointError, ConfigError
from remot.strategies.checkpoint_io import read_checkpoint
from remot.strategies.module import PostTrainingModule


class BestPolicy(lightning.Callback):
    """After the last step, take the weights of the best one: they are evaluated and exported.

    A ``ModelCheckpoint`` with a ``monitor`` has to keep the best step. ``last.ckpt`` stays that of the last step, so
    that a continued run goes on from there. Without arguments. It has to come before callbacks that evaluate or export
    when a run ends, as those of ``trainer.callbacks`` do.
    """

    def __init__(self) -> None:
        self._last_weights: dict[str, Tensor] = {}

    def setup(self, trainer: Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Look for the checkpoint that keeps the best step, before the model is loaded.

        Raises:
            ConfigError: If there is none, or several.
        """
        if stage == "fit":
            _best_of(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Forget the best step of an earlier run.

        Raises:
            ConfigError: If no process has all weights.
        """
        assert isinstance(pl_module, PostTrainingModule)
        pl_module.weights_step, self._last_weights = None, {}
        if is_sharded(trainer, pl_module):
            msg = "BestPolicy cannot exchange weights divided over processes; use: remot export --ckpt_path best.ckpt"
            raise ConfigError(msg)

    def on_fit_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the best weights, unless they are the last ones."""
        best = _best_of(trainer)
        if trainer.interrupted or not best.best_model_path:
            return
        path = Path(best.best_model_path)
        try:
            held = read_checkpoint(path)
        except CheckpointError as error:
            print_line(trainer, f"{error}; evaluating and exporting the weights of the last step")
            return
        found = f"the best {best.monitor} is {float(best.best_model_score or 0):.4g}, of step {held['global_step']}"
        print_line(trainer, f"{found}: evaluating and exporting its weights, {path}")
        if held["global_step"] == trainer.global_step:
            return
        assert isinstance(pl_module, PostTrainingModule)
        weights = pl_module.state_dict()
        self._last_weights = {name: weights[name].detach().cpu().clone() for name in held["state_dict"]}
        pl_module.load_state_dict(held["state_dict"], strict=False)
        pl_module.weights_step = held["global_step"]

    def on_exception(self, trainer: Trainer, pl_module: lightning.LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Put the last step's weights back, for a checkpoint that is saved now is one of that step."""
        assert isinstance(pl_module, PostTrainingModule)
        pl_module.load_state_dict(self._last_weights, strict=False)
        pl_module.weights_step, self._last_weights = None, {}


def _best_of(trainer: Trainer) -> ModelCheckpoint:
    """The callback that keeps the best step by a score.

    Raises:
        ConfigError: If there is none, or several.
    """
    kept = [one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint) and one.save_top_k]
    found = [one for one in kept if one.monitor]
    require_one(len(found))
    return found[0]


def require_one(num_found: int) -> None:
    """Refuse another number of checkpoints of a best step than one.

    Raises:
        ConfigError: If it is another.
    """
    if num_found != 1:
        msg = (
            "BestPolicy takes the weights that a ModelCheckpoint with a monitor and a save_top_k keeps, and there are "
            f"{num_found} such callbacks; name one in trainer.callbacks, as configs/quickstart_best.yaml does"
        )
        raise ConfigError(msg)
