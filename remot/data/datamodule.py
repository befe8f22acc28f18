"""The data of a run: clips, splits, prompts and loaders, ready for a Lightning trainer."""

import copy
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from remot.data.annotations.base import AnnotationReader
from remot.data.annotations.native import NativeReader
from remot.data.bars import counting_bar
from remot.data.catalogue import Catalogue, ClipEntry, ClipStore, StoredClips, report_faults, take_stock
from remot.data.catalogue_file import MIN_KEPT_CLIPS, catalogue_path, load_catalogue, save_catalogue
from remot.data.collate import collate_prompts
from remot.data.dataset import Sample, TripletDataset
from remot.data.embedded import embedded_clips_root
from remot.data.exclusion import Exclusions
from remot.data.experts import Expert, default_experts
from remot.data.formats import QuestionFormat
from remot.data.index import BalanceBy
from remot.data.loading import OnBadClip
from remot.data.negatives import Negative
from remot.data.questions import OptionOrder, QuestionWriter
from remot.data.samplers import AddressSampler, ListedBatches
from remot.data.splits import split_by_scene
from remot.data.triplets import TripletSampler
from remot.errors import ConfigError
from remot.structures import PromptBatch

#: Attempts of one step that :meth:`TripletDataModule.redraw` tells apart.
MAX_REDRAWS = 100


class TripletDataModule(LightningDataModule):
    """Motion-contrast prompts from a folder of annotated clips.

    Training prompts never repeat: every epoch continues where the last one ended, and a resumed run continues with the
    very prompts it would have seen. Validation and test prompts are the same every time. With several processes use
    ``Trainer(use_distributed_sampler=False)``: the loaders already divide the prompts.

    Args:
        root: Folder of the annotated clips; None for the clips that come with the library.
        reader: Annotation format; the native one by default.
        experts: Attributes to ask about; all seven by default.
        batch_size: Prompts in a step (of one process).
        num_train_prompts_per_epoch: Training prompts in an epoch, rounded down to whole steps.
        num_val_prompts: Validation prompts.
        num_test_prompts: Test prompts.
        num_workers: Processes that decode; the prompts do not depend on it.
        seed: Names the training prompts. The command line sets it from ``seed_everything``.
        held_out_seed: Names the split and the validation and test prompts: apart from ``seed``, so that runs that
            differ in their seed are asked the same held-out questions.
        val_fraction: Share of the scenes to validate on; 0 for no validation.
        test_fraction: Share of the scenes to test on; 0 for no test.
        binary: Ask about anchor and positive only, two pictures and one answer.
        num_wordings: Wordings to choose from for each attribute.
        option_order: Shuffle the options of each question, or once for all questions of a prompt.
        max_candidate_frames: Clips with more frames are thinned to this many.
        min_gap_frames: Frames of a triplet are at least this many annotated frames apart.
        on_bad_clip: Stop at a bad clip, or leave it out with a warning.
        negatives: Ways to find or make the third picture, all used; other frames of the clip by default.
        formats: Ways to ask, all used; multiple choice by default.
        wordings: File of the questions' texts; None for the English ones that come with the library.
        balance_by: ``attribute`` balances answers over all subjects, ``subject`` over each by its name.
        exclude: File of clips and scenes to leave out, one name a line, such as the items of an external benchmark.
        require_splits: Refuse to start where there are too few scenes for the wanted splits; false goes on without.
    """

    def __init__(  # noqa: PLR0913 - the settings of the configuration file's `data` section, kept flat
        self,
        root: str | None = None,
        reader: AnnotationReader | None = None,
        experts: list[Expert] | None = None,
        batch_size: int = 8,
        num_train_prompts_per_epoch: int = 1024,
        num_val_prompts: int = 128,
        num_test_prompts: int = 256,
        num_workers: int = 0,
        seed: int = 0,
        held_out_seed: int = 0,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        binary: bool = False,  # noqa: FBT001, FBT002 - a setting
        num_wordings: int = 3,
        option_order: OptionOrder = "question",
        max_candidate_frames: int = 64,
        min_gap_frames: int = 1,
        on_bad_clip: OnBadClip = "raise",
        negatives: list[Negative] | None = None,
        formats: list[QuestionFormat] | None = None,
        wordings: Path | None = None,
        balance_by: BalanceBy = "attribute",
        exclude: Path | None = None,
        require_splits: bool = True,  # noqa: FBT001, FBT002 - a setting
    ) -> None:
        super().__init__()
        if not 1 <= batch_size <= num_train_prompts_per_epoch:
            msg = (
                f"batch_size is {batch_size} and num_train_prompts_per_epoch {num_train_prompts_per_epoch}; "
                "choose a batch of at least 1 and no more than an epoch"
            )
            raise ConfigError(msg)
        self.root = embedded_clips_root() if root is None else Path(root).expanduser()
        self.reader = reader or NativeReader()
        self.sampler = TripletSampler(
            experts or default_experts(), max_candidate_frames, min_gap_frames, negatives=negatives
        )
        self.writer = QuestionWriter(num_wordings, binary, option_order, formats, wordings)
        self.balance_by: BalanceBy = balance_by
        self.exclusions = Exclusions.read(exclude)
        self.require_splits = require_splits
        self.batch_size = batch_size
        self.num_train_prompts_per_epoch = num_train_prompts_per_epoch
        self.num_val_prompts = num_val_prompts
        self.num_test_prompts = num_test_prompts
        self.num_workers = num_workers
        self.seed = seed
        self.held_out_seed = held_out_seed
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.on_bad_clip: OnBadClip = on_bad_clip
        self.datasets: dict[str, TripletDataset] = {}
        self.catalogue = Catalogue(())
        self._restored_batch = 0

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002 - all splits are checked before any is used
        """Read and split the clips and find their triplets, so that bad data stop a run before it starts.

        Raises:
            AnnotationError: If the annotations are malformed.
            DecodeError: If media are missing or too short.
            EmptySplitError: If a wanted split has no clip or no triplet.
        """
        if self.datasets:
            return
        store = ClipStore(self.reader, self.root, self.reader.sources(self.root))
        self.catalogue = self._catalogue(store)
        entries = self.exclusions.remaining(self.catalogue.entries)
        fractions = self.val_fraction, self.test_fraction
        splits = split_by_scene(entries, *fractions, self.held_out_seed, self._stratum, required=self.require_splits)
        sizes = {
            "train": (splits.train, self.num_train_prompts_per_epoch, self.seed),
            "val": (splits.val, self.num_val_prompts, self.held_out_seed),
            "test": (splits.test, self.num_test_prompts, self.held_out_seed),
        }
        self.datasets = {
            name: self._dataset(name, StoredClips(store, part), num_prompts, seed)
            for name, (part, num_prompts, seed) in sizes.items()
            if part
        }

    def _catalogue(self, store: ClipStore) -> Catalogue:
        """What can be asked about each clip: found now, or kept from the last time where there are many clips."""
        kept = len(store.sources) >= MIN_KEPT_CLIPS
        file = catalogue_path(self.reader, self.root, store.sources, self.sampler, self.on_bad_clip) if kept else None
        catalogue = load_catalogue(file) if file else None
        if catalogue is None:
            with counting_bar("reading clips", shown=kept) as progress:
                catalogue = take_stock(store, self.sampler, self.on_bad_clip, progress)
            if file:
                save_catalogue(catalogue, file)
        report_faults(catalogue, self.root)
        return catalogue

    def _dataset(self, name: str, clips: StoredClips, num_prompts: int, seed: int) -> TripletDataset:
        askables = [entry.askables for entry in clips.entries]
        return TripletDataset(clips, self.sampler, self.writer, name, num_prompts, seed, self.balance_by, askables)

    def _stratum(self, entry: ClipEntry) -> tuple[str, ...]:
        """Domain and askable attributes, so that every split asks about the same things."""
        experts = self.sampler.experts
        return entry.domain, *sorted({experts[one.expert_index].attribute.name for one in entry.askables})

    @property
    def next_train_batch(self) -> int:
        """Number of the training batch that comes next, counted over all epochs and resumed runs."""
        if self.trainer is None:
            return self._restored_batch
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.state_dict()
        return max(self._restored_batch, int(progress["total"]["processed"]))

    def state_dict(self) -> dict[str, Any]:
        """Where the training data stand, for the checkpoint."""
        return {"next_train_batch": self.next_train_batch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        self._restored_batch = int(state_dict["next_train_batch"])

    def train_dataloader(self) -> DataLoader[Sample]:
        """Batches from :attr:`next_train_batch` on."""
        rank, world_size = self._place()
        num_batches = max(1, self.num_train_prompts_per_epoch // (self.batch_size * world_size))
        batches = AddressSampler(self.batch_size, num_batches, lambda: self.next_train_batch, rank, world_size)
        return self._loader("train", batches)

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
        """Leave pictures on the CPU, where they are turned into what the policy takes."""
        return batch

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
        drawn = copy.copy(self.datasets["train"])  # the same clips, under a name with random streams of its own
        drawn.split = "redrawn"
        return collate_prompts([drawn[place * self.batch_size + number] for number in range(num_prompts)])

    def _place(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _evaluation_loader(self, split: str) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        if split not in self.datasets:
            return []
        rank, world_size = self._place()
        num_prompts = len(self.datasets[split])
        starts = range(0, num_prompts, self.batch_size)
        batches = [list(range(start, min(start + self.batch_size, num_prompts))) for start in starts]
        return self._loader(split, ListedBatches(batches[rank::world_size]))

    def _loader(self, split: str, batches: AddressSampler | ListedBatches) -> DataLoader[Sample]:
        return AddressLoader(
            self.datasets[split],
            batch_sampler=batches,
            collate_fn=collate_prompts,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            worker_init_fn=_use_one_thread,
        )


class AddressLoader(DataLoader[Sample]):
    """A loader that Lightning may resume within an epoch: its position is part of the data module's state."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing of its own."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to restore."""


def _use_one_thread(worker: int) -> None:  # noqa: ARG001 - the signature torch calls
    """Keep the workers from fighting over the cores."""
    torch.set_num_threads(1)
