"""Loaders of prompts by address."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from remot.data.datasets.prompts import PromptDataset, Sample
from remot.errors import ConfigError
from remot.structures import PromptBatch


class AddressLoader(DataLoader[Sample]):
    """A loader that Lightning may resume within an epoch: its position is part of the data module's state."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing of its own."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to restore."""


def address_loader(dataset: PromptDataset, batches: Iterable[list[int]], num_workers: int) -> AddressLoader:
    """Batches of prompts.

    Args:
        dataset: The prompts.
        batches: Which addresses make which batch.
        num_workers: Processes that decode; the prompts do not depend on it.
    """
    return AddressLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate_prompts,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        worker_init_fn=_use_one_thread,
    )


def require_loadable(batch_size: int, num_prompts: int, num_workers: int) -> None:
    """Refuse batches that an epoch cannot hold, and a number of processes that there cannot be."""
    if not 1 <= batch_size <= num_prompts:
        msg = (
            f"batch_size is {batch_size} and num_train_prompts_per_epoch {num_prompts}; "
            "choose a batch of at least 1 and no more than an epoch"
        )
        raise ConfigError(msg)
    if num_workers < 0:
        msg = f"num_workers is {num_workers}; choose 0 to decode in the training process, or how many processes decode"
        raise ConfigError(msg)


def _use_one_thread(worker: int) -> None:  # noqa: ARG001 - the signature torch calls
    """Keep several workers from using more threads than there are cores."""
    torch.set_num_threads(1)


def collate_prompts(samples: Sequence[Sample]) -> PromptBatch:
    """One batch of P samples, whose images and videos may differ in number and size."""
    return PromptBatch(
        images=[sample.images for sample in samples],
        questions=[sample.question for sample in samples],
        clip_ids=[sample.clip_id for sample in samples],
        videos=[sample.videos for sample in samples],
    )
