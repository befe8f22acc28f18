"""The prompts of a run: clips, tasks and splits, or finished prompts from disk. Needs no trainer, and no Lightning."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from remot.data.annotations.base import AnnotationReader, ClipSource
from remot.data.annotations.native.reader import NativeReader
from remot.data.clips.bundled import clips_root
from remot.data.clips.catalogue import Catalogue, ClipStore
from remot.data.clips.catalogue_cache import cache_folder, catalogue_of, collector_paused
from remot.data.clips.exclusions import Exclusions
from remot.data.clips.loading import OnBadClip
from remot.data.data_record import clips_record, prompts_record
from remot.data.datasets.bad_clips import BadClips
from remot.data.datasets.clip_frames import AnnotatedFrames
from remot.data.datasets.distinct import count_first
from remot.data.datasets.factory import (
    OnUnservedTask,
    SplitSettings,
    datasets_of_clips,
    datasets_of_records,
    describe_tasks,
    require_served,
)
from remot.data.datasets.loaders import collate_prompts, require_loadable
from remot.data.datasets.mixed import MixedDataset
from remot.data.datasets.prompts import PromptDataset
from remot.data.datasets.revisits import Revisits
from remot.data.datasets.selection import PromptSelection
from remot.data.records.benchmark_items import benchmark_items, named_benchmark
from remot.data.records.reading import RecordSettings
from remot.data.remote import RemoteFolder, is_url
from remot.data.tasks.base import Task
from remot.data.tasks.motion_contrast import MotionContrast
from remot.errors import AnnotationError, ConfigError, DecodeError, require_type, require_types
from remot.files import expanded
from remot.structures import PromptBatch, ResampleRequest, interval_note


@dataclass(frozen=True)
class DataOptions:
    """Settings of the data that seldom change.

    Args:
        seed: Seed of the training prompts. The command line sets it from ``seed_everything``.
        held_out_seed: Seed of the split and of the validation and test prompts: apart from ``seed``, so that runs that
            differ in their seed are asked the same held-out questions.
        on_bad_clip: ``raise`` stops at a bad clip, ``skip`` leaves it out with a warning. Where a clip is deleted, cut
            off or changed under a run, ``raise`` ends the run, and ``skip`` replaces its prompts by others.
        max_wait_seconds: Longest time for a batch to be read; then the run ends, or starts new data workers under
            ``on_bad_clip: skip``. Without workers a thread reads.
        exclude: Clips and scenes to leave out: a file with one name a line, or a benchmark and its file, such as
            ``vsi-bench=VSI/test.jsonl``, whose scenes and videos are left out; or a list of these.
        require_splits: Refuse to start where there are too few scenes for the wanted splits; false goes on without.
        on_unserved_task: Refuse a task that can ask about none of the clips, or ``skip`` it with a warning.
        images_root: Folder of the records' images and videos, if it is not the one they lie in. Of the paths in a
            file that was not built here the longest end that exists below it counts.
        num_frames: Frames shown of a video at most, spread evenly, for records that name video files.
        selection: Which training prompts are used, by scores of ``remot data score``; all if None.
        revisits: Which training prompts are asked again because their completions differed; none if None.
        cache_dir: Where files of a root that is a URL are kept; None for ``remote`` beside kept catalogues.
        cache_bytes: Most bytes of them that are kept; those not used for longest go first.
    """

    seed: int = 0
    held_out_seed: int = 0
    on_bad_clip: OnBadClip = "raise"
    exclude: Path | list[Path] | None = None
    require_splits: bool = True
    on_unserved_task: OnUnservedTask = "raise"
    images_root: Path | None = None
    num_frames: int = 32
    max_wait_seconds: float = 600.0
    selection: PromptSelection | None = None
    revisits: Revisits | None = None
    cache_dir: Path | None = None
    cache_bytes: int = 50 * 10**9

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            msg = f"data.options.num_frames: {self.num_frames} frames of a video, ask for at least 1"
            raise ConfigError(msg)


class PromptData:
    """The settings of a configuration's ``data`` section, and the prompts they stand for.

    Args:
        root: Folder of the annotated clips, or a URL that fsspec opens, such as ``s3://bucket/clips``; None for the
            clips that come with the library, ``embedded/tasks`` for those with events, tracks and layouts.
        reader: Annotation format; the native one by default.
        tasks: What to ask, interleaved round-robin; motion-contrast triplets by default.
        batch_size: Prompts in a step (of one process).
        num_train_prompts_per_epoch: Training prompts in an epoch, rounded down to whole steps.
        num_val_prompts: Validation prompts.
        num_test_prompts: Test prompts.
        num_workers: Processes that decode; the prompts do not depend on it.
        val_fraction: Share of the scenes to validate on; 0 for no validation.
        test_fraction: Share of the scenes to test on; 0 for no test.
        records: Finished prompts to use instead of clips: a folder that ``remot data build`` wrote, with the splits it
            has, a file of one's own questions, divided by scenes, or one in the public ReMoT layout, divided by
            prompts. ``tasks`` then has no effect, and ``num_val_prompts`` and ``num_test_prompts`` take the first ones.
        options: Seeds, bad clips, exclusions.
    """

    def __init__(  # noqa: PLR0913 - the settings of the configuration file's `data` section
        self,
        root: str | None = None,
        reader: AnnotationReader | None = None,
        tasks: list[Task] | None = None,
        batch_size: int = 8,
        num_train_prompts_per_epoch: int = 1024,
        num_val_prompts: int = 128,
        num_test_prompts: int = 256,
        num_workers: int = 0,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        records: Path | None = None,
        options: DataOptions = DataOptions(),
    ) -> None:
        super().__init__()
        if reader is not None:
            require_type("reader", reader, AnnotationReader)
        if tasks is not None:
            require_types("tasks", tasks, Task)
        require_type("options", options, DataOptions)
        held_out = {"num_val_prompts": num_val_prompts, "num_test_prompts": num_test_prompts}
        require_loadable(batch_size, num_train_prompts_per_epoch, num_workers, held_out)
        if options.revisits is not None:
            options.revisits.require_known_in_time(num_workers)
        self.remote: RemoteFolder | None = None
        self._root = Path()
        if is_url(root):
            cache_dir = expanded(options.cache_dir or cache_folder() / "remote")
            self.remote = RemoteFolder(root, cache_dir, options.cache_bytes)
        else:
            self._root = clips_root(root)
        self.reader = reader or NativeReader()
        self.tasks: tuple[Task, ...] = tuple(tasks or [MotionContrast()])
        self.batch_size = batch_size
        self.num_train_prompts_per_epoch = num_train_prompts_per_epoch
        self.num_val_prompts = num_val_prompts
        self.num_test_prompts = num_test_prompts
        self.num_workers = num_workers
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.records = records and expanded(records)
        self.options = options
        self.exclusions = _exclusions(options.exclude)
        self.bad_clips = BadClips(options.on_bad_clip, options.max_wait_seconds)
        self.left_out_tasks: list[str] = []
        self.mixed: dict[str, MixedDataset] = {}
        self.recorded: dict[str, PromptDataset] = {}
        self.catalogue = Catalogue(())
        self.num_scenes: dict[str, int] = {}  # of each split

    @cached_property
    def root(self) -> Path:
        """Folder of the clips; files below a URL are listed when it is asked for first.

        Raises:
            AnnotationError: If there is no file below the URL, or a name of its listing cannot be used.
            ConfigError: If the storage cannot be reached.
        """
        if self.remote is None:
            return self._root
        self.remote.refresh()
        return self.remote.root

    @cached_property
    def sources(self) -> list[ClipSource]:
        """Where each clip is described; none for finished prompts.

        Raises:
            AnnotationError: If there is no clip, or the list cannot be read.
        """
        return self.reader.sources(self.root) if self.records is None else []

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002 - all splits are checked before any is used
        """Read and split the clips and survey what can be asked, so that bad data stop a run before it starts.

        Raises:
            AnnotationError: If the annotations are malformed.
            DecodeError: If media are missing or too short.
            EmptySplitError: If a wanted split has no clip or no prompt.
            ConfigError: If no clip can serve one of the tasks, or scores are of other prompts.
        """
        if self.prompts:
            return
        self._read_prompts()
        if (selection := self.options.selection) is not None:
            names = {one.address: self.prompts["train"].prompt_id(one.address) for one in selection.kept}
            selection.require_same(self.fingerprint, self.options.seed, names)

    def _read_prompts(self) -> None:
        """The datasets of all splits."""
        if self.records is not None:
            settings = self._split_settings(time.time_ns())
            images_root = self.options.images_root and expanded(self.options.images_root)
            shown = RecordSettings(images_root, self.options.num_frames, exclusions=self.exclusions)
            self.recorded = dict(datasets_of_records(self.records, shown, settings))
            self.num_scenes = {name: len(one.scenes()) for name, one in self.recorded.items()}
            return
        store = ClipStore(self.reader, self.root, self.sources, self.remote)
        self.catalogue = catalogue_of(store, self.tasks, self.options.on_bad_clip, self._run_folder)
        entries = self.exclusions.remaining(self.catalogue.entries)
        self.left_out_tasks = require_served(store.root, entries, self.tasks, self.options.on_unserved_task)
        with collector_paused():
            self.mixed = datasets_of_clips(store, entries, self.tasks, self._split_settings(store.surveyed_ns))
        self.num_scenes = {name: len(one.scenes()) for name, one in self.mixed.items()}

    @property
    def _run_folder(self) -> Path | None:
        """Where a run keeps what a continued run needs; None outside of runs."""
        return None

    def _split_settings(self, surveyed_ns: int) -> SplitSettings:
        sizes = {"train": self.num_train_prompts_per_epoch, "val": self.num_val_prompts, "test": self.num_test_prompts}
        options = self.options
        return SplitSettings(
            self.val_fraction,
            self.test_fraction,
            sizes,
            options.seed,
            options.held_out_seed,
            options.require_splits,
            surveyed_ns,
        )

    @property
    def prompts(self) -> Mapping[str, PromptDataset]:
        """The prompts of each split, once :meth:`setup` has been called."""
        return self.recorded or self.mixed

    def data_record(self) -> dict[str, Any]:
        """What the prompts are made from: sources and splits with their numbers and hashes, JSON-ready."""
        if self.records is not None:
            return prompts_record(self.records, self.prompts)
        return clips_record(self.reader, self.root, self.tasks, self.prompts)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what the prompts are made from, wherever it lies: the clips of each split, and what is known of them.

        Prompts are a function of it, the seed and the tasks, but for the content of media.
        """
        digest = hashlib.blake2b(digest_size=16)
        for split, dataset in sorted(self.prompts.items()):
            digest.update(f"{split}\n".encode())
            for part in dataset.facts():
                digest.update(f"{part}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def describe(self) -> list[str]:
        """What to know before a run: what is left out, prompts of each task, repeated prompts, too few test scenes."""
        kind = "clips" if self.records is None else "prompts"
        excluded = [f"excluded: {self.exclusions.num_excluded} {kind}"] if self.options.exclude else []
        left_out = [f"left out, no clip serves them: {', '.join(self.left_out_tasks)}"] if self.left_out_tasks else []
        distinct = [line for one in self.prompts.values() for line in count_first(one)]
        note = interval_note(self.num_scenes["test"]) if "test" in self.num_scenes else ""
        few = [f"test split: {note}; add scenes, or raise data.test_fraction"] if note else []
        selected = [] if self.options.selection is None else [self.options.selection.describe()]
        again = [] if self.options.revisits is None else [self.options.revisits.describe()]
        return [*describe_tasks(self.mixed), *excluded, *left_out, *selected, *again, *distinct, *few]

    def require_clips(self, otherwise: str) -> None:
        """Refuse finished prompts where those of clips are needed.

        Args:
            otherwise: What follows from there being none, or what to do instead.

        Raises:
            ConfigError: If :attr:`records` is set.
        """
        if self.records is not None:
            msg = f"data.records: {self.records} holds finished prompts and no clips, {otherwise}"
            raise ConfigError(msg)

    @property
    def resampler(self) -> Callable[[str, ResampleRequest], PromptBatch | None] | None:
        """Shows a prompt, found by its name, again with other frames; None if no task's answers name times.

        It returns a batch of one prompt, or None for a prompt that keeps its frames.
        """
        names_times = self.records is None and any(task.key_times for task in self.tasks)
        return self._resample_frames if names_times else None

    def _resample_frames(self, prompt_id: str, look: ResampleRequest) -> PromptBatch | None:
        """As described above; a prompt whose other frames cannot be read keeps its own under ``on_bad_clip: skip``."""
        split = prompt_id.partition("/")[0].partition("~")[0]
        try:
            sample = self.mixed[split].resample_frames(prompt_id, look)
        except (AnnotationError, DecodeError):
            if self.options.on_bad_clip == "raise":
                raise
            return None
        return None if sample is None else collate_prompts([sample])

    def clip_frames(self, prompt_id: str) -> AnnotatedFrames | None:
        """The frames of the clip that a prompt, found by its name, is about; None for a finished prompt from disk."""
        if self.records is not None:
            return None
        split = prompt_id.partition("/")[0].partition("~")[0]
        dataset = self.mixed.get(split) or self.mixed["train"]  # prompts that are drawn again have a name of their own
        surveyed_ns = dataset.parts[0].surveyed_ns
        return AnnotatedFrames(dataset.clip_of(prompt_id), self.options.on_bad_clip, surveyed_ns)


def _exclusions(given: Path | list[Path] | None) -> Exclusions:
    """What lists of names and benchmarks leave out."""
    names: tuple[str, ...] = ()
    items: frozenset[str] = frozenset()
    file = None
    for one in [] if given is None else given if isinstance(given, list) else [given]:
        if (benchmark := named_benchmark(one)) is not None:
            items |= benchmark_items(*benchmark)
        else:
            listed = Exclusions.read(expanded(one))
            names, file = names + listed.names, listed.file
    return Exclusions(names, file, items)
