"""A continued run whose checkpoints and stopping rules have other settings than before."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from remot.callbacks.interrupt import print_line


class ResumedCallbacks(lightning.Callback):
    """Lets changed settings of ``ModelCheckpoint`` and ``EarlyStopping`` take effect when a run is continued.

    Lightning finds the state of a ``ModelCheckpoint`` by its settings, and forgets the best score and the files kept
    when an interval of saving is another one; with a lower ``save_top_k`` it goes on as before, and it restores the
    ``patience`` of an ``EarlyStopping``. Here the state is kept as long as monitor and mode are the same, else a line
    says that it begins anew.
    """

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Change the states that Lightning is about to give to the callbacks."""
        states = checkpoint.get("callbacks")
        if trainer.state.fn != TrainerFn.FITTING or not states:
            return
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        taken = {one.state_key for one in callbacks}
        for callback in callbacks:
            if isinstance(callback, ModelCheckpoint | EarlyStopping):
                for line in _adapted(callback, states, taken):
                    print_line(trainer, line)


def _adapted(callback: ModelCheckpoint | EarlyStopping, states: dict[str, Any], taken: set[str]) -> Iterator[str]:
    """Put the state for a callback into ``states`` in place; gives sentences about what is lost or left."""
    key = callback.state_key
    if key not in states:
        free = [one for one in states if one not in taken and _class_of(one) == _class_of(key)]
        alike = [one for one in free if _without_intervals(one) == _without_intervals(key)]
        if len(alike) != 1:
            if free:
                yield _begins_anew(callback)
            return
        states[key] = states.pop(alike[0])
    if isinstance(callback, EarlyStopping):
        states[key] = {**states[key], "patience": callback.patience}
    elif callback.monitor is not None and 0 < callback.save_top_k < len(states[key].get("best_k_models", {})):
        yield _files_left(callback, states[key])
        states[key] = _with_fewer(states[key], callback.save_top_k, is_highest_best=callback.mode == "max")


def _class_of(key: str) -> str:
    return key.partition("{")[0]


def _without_intervals(key: str) -> str:
    """Class, monitor and mode of a state: ``ModelCheckpoint{'monitor': …, 'mode': …, 'every_n_train_steps': …}``."""
    return key.partition(", 'every_n_train_steps'")[0]


def _begins_anew(callback: Callback) -> str:
    monitor = getattr(callback, "monitor", None)
    return (
        f"trainer.callbacks: {type(callback).__name__} with the monitor {monitor!r} begins anew, as the checkpoint has "
        "its state for another monitor or mode; earlier scores do not count, and files it has kept stay"
    )


def _files_left(callback: ModelCheckpoint, state: Mapping[str, Any]) -> str:
    surplus = len(state["best_k_models"]) - callback.save_top_k
    folder = Path(str(state.get("dirpath") or callback.dirpath))
    return (
        f"trainer.callbacks: ModelCheckpoint keeps {callback.save_top_k} from now on; {surplus} of the files that it "
        f"has kept in {folder} stay until you remove them"
    )


def _with_fewer(state: Mapping[str, Any], save_top_k: int, *, is_highest_best: bool) -> dict[str, Any]:
    """The state with the best ``save_top_k`` files alone."""
    held = state["best_k_models"]
    best = sorted(held, key=lambda path: float(held[path]), reverse=is_highest_best)[:save_top_k]
    kept = {path: held[path] for path in best}
    return {**state, "best_k_models": kept, "kth_best_model_path": best[-1], "kth_value": held[best[-1]]}
