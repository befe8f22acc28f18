"""The data of a run: clips, splits, prompts and loaders, ready for a Lightning trainer."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from remot.data.annotations.base import AnnotationReader
from remot.data.annotations.native import NativeReader
from remot.data.catalogue import Catalogue, ClipStore
from remot.data.catalogue_file import catalogue_of
from remot.data.collate import collate_prompts
from remot.data.dataset import Sample, TripletDataset
from remot.data.datasets import Asking, SplitSettings, datasets_of_clips, datasets_of_records, entries_by_split
from remot.data.embedded import clips_root
from remot.data.exclusion import Exclusions
from remot.data.experts import Expert, default_experts
from remot.data.formats import QuestionFormat
from remot.data.index import BalanceBy
from remot.data.loaders import address_loader, require_batch, require_workers
from remot.data.loading import OnBadClip
from remot.data.negatives import Negative
from remot.data.questions import OptionOrder, QuestionWriter
from remot.data.record_dataset import RecordDataset
from remot.data.recorded import holds_tasks
from remot.data.samplers import AddressSampler, ListedBatches
from remot.data.tasks.base import Task
from remot.data.tasks.datasets import datasets_of_tasks, describe_tasks
from remot.data.tasks.mixed import MixedDataset
from remot.data.tasks.motion_contrast import MotionContrast
from remot.data.triplets import TripletSampler
from remot.errors import ConfigError
from remot.structures import CloserLook, PromptBatch, interval_note

#: Attempts of one step that :meth:`TripletDataModule.redraw` tells apart.
MAX_REDRAWS = 100


class TripletDataModule(LightningDataModule):
    """Motion-contrast prompts from a folder of annotated clips.

    Training prompts never repeat: every epoch continues where the last one ended, and a resumed run continues with the
    very prompts it would have seen. Validation and test prompts are the same every time. With several processes use
    ``Trainer(use_distributed_sampler=False)``: the loaders already divide the prompts.

    Args:
        root: Folder of the annotated clips; None for the clips that come with the library, ``embedded/tasks`` for those
            with events, tracks and layouts.
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
        records: Finished prompts to use instead of clips: a folder that ``remot data build`` wrote, with the splits it
            has, or a file in the public ReMoT layout, divided by prompts. The settings that say what to ask do nothing
            then; ``num_val_prompts`` and ``num_test_prompts`` take the first ones.
        images_root: Folder of the records' pictures, if it is not the one they lie in. Of the paths in a published
            file the longest end that exists below it counts.
        tasks: What to ask, each task as often; motion-contrast triplets alone by default. The settings about triplets
            are then those of :class:`remot.data.tasks.MotionContrast`, if it is among them.
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
        records: Path | None = None,
        images_root: Path | None = None,
        tasks: list[Task | MotionContrast] | None = None,
    ) -> None:
        super().__init__()
        require_batch(batch_size, num_train_prompts_per_epoch)
        require_workers(num_workers)
        self.root = clips_root(root)
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
        self.records, self.images_root = (path and path.expanduser() for path in (records, images_root))
        self.tasks = tuple(tasks or ())
        self.datasets: dict[str, TripletDataset] = {}
        self.mixed: dict[str, MixedDataset] = {}
        self.recorded: dict[str, RecordDataset] = {}
        self.catalogue = Catalogue(())
        self.num_scenes: dict[str, int] = {}  # of each split
        self._restored_batch = 0

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002 - all splits are checked before any is used
        """Read and split the clips and find their triplets, so that bad data stop a run before it starts.

        Raises:
            AnnotationError: If the annotations are malformed.
            DecodeError: If media are missing or too short.
            EmptySplitError: If a wanted split has no clip or no triplet.
            ConfigError: If no clip can serve one of the tasks, or there are finished triplets besides tasks.
        """
        if self.prompts:
            return
        settings = SplitSettings(
            self.val_fraction,
            self.test_fraction,
            {"train": self.num_train_prompts_per_epoch, "val": self.num_val_prompts, "test": self.num_test_prompts},
            self.seed,
            self.held_out_seed,
            self.require_splits,
        )
        if self.records is not None:
            if self.tasks and not holds_tasks(self.records):
                msg = "data.tasks asks about clips and data.records holds finished prompts; set one of them"
                raise ConfigError(msg)
            self.recorded = datasets_of_records(self.records, self.images_root, settings)
            self.num_scenes = {name: len(one.scenes()) for name, one in self.recorded.items()}
            return
        store = ClipStore(self.reader, self.root, self.reader.sources(self.root))
        self.catalogue = catalogue_of(store, self.sampler, self.on_bad_clip, self.tasks)
        entries = self.exclusions.remaining(self.catalogue.entries)
        asking = Asking(self.sampler, self.writer, self.balance_by, self.tasks)
        parts = entries_by_split(entries, asking, settings)
        self.num_scenes = {name: len({entry.scene_id for entry in part}) for name, part in parts.items()}
        if self.tasks:
            self.mixed = datasets_of_tasks(store, entries, asking, settings)
        else:
            self.datasets = datasets_of_clips(store, entries, asking, settings)

    @property
    def prompts(self) -> Mapping[str, TripletDataset | MixedDataset | RecordDataset]:
        """The prompts of each split, once :meth:`setup` has been called."""
        return self.recorded or self.mixed or self.datasets

    def describe(self) -> list[str]:
        """What to know before a run: prompts of each task and split, and a test split of too few scenes."""
        note = interval_note(self.num_scenes["test"]) if "test" in self.num_scenes else ""
        hint = f"test split: {note}; add scenes, or raise data.test_fraction"
        return [*describe_tasks(self.mixed), *([hint] if note else [])]

    def require_asked(self, otherwise: str) -> None:
        """Refuse finished prompts where those of clips are needed.

        Args:
            otherwise: What follows from there being none, or what to do instead.

        Raises:
            ConfigError: If :attr:`records` is set.
        """
        if self.records is not None:
            msg = f"data.records: {self.records} holds finished prompts and no clips, {otherwise}"
            raise ConfigError(msg)

    def require_clips(self, otherwise: str) -> None:
        """Refuse finished prompts and other tasks where triplets of clips are needed.

        Args:
            otherwise: What follows from there being none.

        Raises:
            ConfigError: If :attr:`records` or :attr:`tasks` are set.
        """
        self.require_asked(otherwise)
        if self.tasks:
            msg = f"data.tasks is set, so that more than triplets is asked, {otherwise}"
            raise ConfigError(msg)

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
        drawn = self.prompts["train"].renamed("redrawn")
        return collate_prompts([drawn[place * self.batch_size + number] for number in range(num_prompts)])

    @property
    def resampler(self) -> Callable[[str, CloserLook], PromptBatch | None] | None:
        """Shows a prompt, found by its name, again with other frames; None if no task's answers say where to look.

        What it gives is a batch of one prompt, or None for a prompt that keeps its frames.
        """
        tells = any(isinstance(task, Task) and task.key_times for task in self.tasks)
        return self._look_again if tells and self.records is None else None

    def _look_again(self, prompt_id: str, look: CloserLook) -> PromptBatch | None:
        sample = self.mixed[prompt_id.partition("/")[0]].look_again(prompt_id, look)
        return None if sample is None else collate_prompts([sample])

    def _place(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _evaluation_loader(self, split: str) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        if split not in self.prompts:
            return []
        rank, world_size = self._place()
        num_prompts = len(self.prompts[split])
        starts = range(0, num_prompts, self.batch_size)
        batches = [list(range(start, min(start + self.batch_size, num_prompts))) for start in starts]
        return self._loader(split, ListedBatches(batches[rank::world_size]))

    def _loader(self, split: str, batches: AddressSampler | ListedBatches) -> DataLoader[Sample]:
        return address_loader(self.prompts[split], batches, self.num_workers)
