"""The prompts of a run for a Lightning trainer: loaders, division among processes, resuming."""

import warnings
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from remot.data.datasets.loaders import address_loader, collate_prompts
from remot.data.datasets.prompts import Sample
from remot.data.datasets.revisits import RevisitedPrompts
from remot.data.datasets.samplers import AddressSampler
from remot.data.prompt_data import DataOptions, PromptData
from remot.distributed import all_gather_objects
from remot.errors import CheckpointError
from remot.structures import PromptBatch
from remot.structures.training import MAX_REDRAWS

__all__ = ["DataOptions", "MotionDataModule"]


class MotionDataModule(PromptData, LightningDataModule):
    """Prompts about annotated clips, or prompts from disk; the arguments are those of :class:`PromptData`.

    Training prompts repeat only as ``options`` say: every epoch continues where the last one ended, and a resumed run
    continues with the very prompts it would have seen. Validation and test prompts are the same every time. With
    several processes use ``Trainer(use_distributed_sampler=False)``: the loaders already divide the prompts.
    """

    _restored_batch = 0  # the training batch that a resumed run starts with

    @property
    def next_train_batch(self) -> int:
        """Number of the training batch that comes next, counted over all epochs and resumed runs."""
        if self.trainer is None:
            return self._restored_batch
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.state_dict()
        return max(self._restored_batch, int(progress["total"]["processed"]))

    def state_dict(self) -> dict[str, Any]:
        """Where the training data stand, for the checkpoint."""
        _, world_size = self._place()
        prompts = {
            "prompts_in_a_batch": self.batch_size * world_size,
            "fingerprint": self.fingerprint if self.prompts else None,
        }
        revisited = {} if self.revisited is None else {"revisited": self.revisited.state_dict()}
        return {"next_train_batch": self.next_train_batch} | prompts | revisited

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue training where :meth:`state_dict` was taken, and warn if other clips or prompts are there now.

        Raises:
            CheckpointError: If a batch of all processes has another number of prompts, so that the place does not fit.
        """
        if self.trainer is not None and self.trainer.state.fn != TrainerFn.FITTING:
            return  # an evaluation has no place in the training data
        _, world_size = self._place()
        before, now = state_dict.get("prompts_in_a_batch"), self.batch_size * world_size
        if before not in (None, now):
            msg = (
                f"the checkpoint was made with {before} prompts in a batch of all processes, here are {world_size} "
                f"processes with data.batch_size {self.batch_size}, so that its place in the data does not fit; choose "
                f"them so that their product is {before}"
            )
            raise CheckpointError(msg)
        if self.prompts and state_dict.get("fingerprint") not in (None, self.fingerprint):
            warnings.warn(
                f"{self.root if self.records is None else self.records}: the clips or prompts are not those that the "
                "checkpoint was made with, so that other prompts follow than without the interruption",
                stacklevel=2,
            )
        self._restored_batch = int(state_dict["next_train_batch"])
        if self.revisited is not None:
            self.revisited.load_state_dict(state_dict.get("revisited", {}))

    @cached_property
    def revisited(self) -> RevisitedPrompts | None:
        """The groups that were seen, for ``options.revisits``."""
        settings = self.options.revisits
        return None if settings is None else RevisitedPrompts(settings, self.options.seed)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Batches from :attr:`next_train_batch` on."""
        return self._loader("train", self._train_batches())

    def _train_batches(self) -> AddressSampler:
        rank, world_size = self._place()
        num_batches = max(1, self.num_train_prompts_per_epoch // (self.batch_size * world_size))
        selection = self.options.selection
        choose = None if selection is None else partial(selection.address, seed=self.options.seed)
        place = (lambda: self.next_train_batch, rank, world_size)
        return AddressSampler(self.batch_size, num_batches, *place, choose, self.revisited)

    def observe_groups(self, differed: Sequence[bool]) -> None:
        """Remember the groups of the batch that is being trained on, for prompts that come again.

        Args:
            differed: For each prompt of this process's batch whether its completions had different rewards.
        """
        if self.revisited is not None:
            of_all = [one for part in all_gather_objects(list(differed)) for one in part]
            number = self.next_train_batch
            self.revisited.observe(number, self._train_batches().addresses(number), of_all)

    def val_dataloader(self) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        """The same validation prompts every time; no loader if there is no such split."""
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        """The same test prompts every time; no loader if there is no such split."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        """The test prompts."""
        return self._evaluation_loader("test")

    def transfer_batch_to_device(
        self,
        batch: PromptBatch,
        device: torch.device,  # noqa: ARG002
        dataloader_idx: int,  # noqa: ARG002
    ) -> PromptBatch:
        """Leave images on the CPU, where they are turned into what the policy takes."""
        return batch

    def upcoming(self) -> PromptBatch:
        """The batch of this process that follows the one that is being trained on, read once more when it is due.

        With ``options.revisits`` other prompts may have taken the place of some by then.
        """
        rank, _ = self._place()
        start = rank * self.batch_size
        addresses = self._train_batches().addresses(self.next_train_batch + 1)[start : start + self.batch_size]
        return collate_prompts([self.bad_clips.prompt(self.prompts["train"], address) for address in addresses])

    def redraw(self, step: int, attempt: int, num_prompts: int) -> PromptBatch:
        """Training prompts besides those of the loader, for objectives that draw some of a step again.

        They are a function of (seed, step, attempt, process), so a resumed run is given the same ones.

        Args:
            step: Optimiser step.
            attempt: Which draw of this step, from 1.
            num_prompts: How many, at most :attr:`batch_size`.

        Raises:
            ValueError: If more prompts or attempts are asked for than have addresses of their own.
        """
        if not (1 <= attempt <= MAX_REDRAWS and num_prompts <= self.batch_size):
            msg = f"attempt {attempt} of {MAX_REDRAWS} asks for {num_prompts} prompts, a batch has {self.batch_size}"
            raise ValueError(msg)
        rank, world_size = self._place()
        place = (step * MAX_REDRAWS + attempt - 1) * world_size + rank
        drawn = self.prompts["train"].with_split("redrawn")
        addresses = range(place * self.batch_size, place * self.batch_size + num_prompts)
        batch = collate_prompts([self.bad_clips.prompt(drawn, address) for address in addresses])
        self.bad_clips.report(batch)
        return batch

    def _place(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    @property
    def _run_folder(self) -> Path | None:
        """Folder of the checkpoint that is continued, else of those that will be written."""
        if self.trainer is None or self.trainer.state.fn != TrainerFn.FITTING:
            return None
        folders = [getattr(callback, "dirpath", None) for callback in self.trainer.checkpoint_callbacks]
        if path := self.trainer.ckpt_path:
            return Path(path).parent
        folder = next((Path(folder) for folder in folders if folder), None)
        # other processes than the first learn the folder's name later; theirs may be of the second after it
        return folder if folder is None or self.trainer.global_rank == 0 or folder.is_dir() else None

    def _evaluation_loader(self, split: str) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        if split not in self.prompts:
            return []
        rank, world_size = self._place()
        num_prompts = len(self.prompts[split])
        starts = range(0, num_prompts, self.batch_size)
        batches = [list(range(start, min(start + self.batch_size, num_prompts))) for start in starts]
        return self._loader(split, batches[rank::world_size])

    def _loader(self, split: str, batches: AddressSampler | list[list[int]]) -> DataLoader[Sample]:
        return address_loader(self.prompts[split], batches, self.num_workers, self.bad_clips)
