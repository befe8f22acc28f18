"""How many of some prompts differ: few frames that are asked about many times teach the frames, not motion."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Literal

from remot.data.dataset import TripletDataset
from remot.data.record_dataset import RecordDataset
from remot.data.tasks.mixed import MixedDataset
from remot.structures import MotionLabel, ReferencedQuestion

#: What has to be distinct: the frames of triplets, or the questions of tasks that always show a clip's same frames.
Counted = Literal["frames", "questions"]
#: Prompts for each distinct one from which on there is a warning.
MAX_PROMPTS_PER_DISTINCT = 2.0
#: Triplets of a split that are drawn and counted before a run, and how many where drawing decodes images.
MAX_COUNTED, MAX_DECODED = 512, 32


class DistinctCounts:
    """Counts prompts one by one, by split."""

    def __init__(self) -> None:
        self._prompts: Counter[str] = Counter()
        self._frames: dict[str, set[Hashable]] = defaultdict(set)
        self._questions: dict[str, set[Hashable]] = defaultdict(set)

    def add(self, split: str, frames: Hashable, asked: Hashable) -> None:
        """Count one prompt.

        Args:
            split: Its split.
            frames: What tells the frames it shows from others, such as the clip and their indices.
            asked: What is asked about them.
        """
        self._prompts[split] += 1
        self._frames[split].add(frames)
        self._questions[split].add((frames, asked))

    def record(self) -> dict[str, dict[str, int]]:
        """For each split its prompts, the distinct sets of frames and the distinct questions about them, JSON-ready."""
        return {
            split: {"prompts": prompts, "frames": len(self._frames[split]), "questions": len(self._questions[split])}
            for split, prompts in self._prompts.items()
        }


def distinct_lines(record: Mapping[str, Mapping[str, int]], counted: Counted = "frames") -> Iterator[str]:
    """What :meth:`DistinctCounts.record` says of each split, in words, with a warning where prompts repeat.

    Args:
        record: Counts by split.
        counted: What has to be distinct.
    """
    shown = "frame triples" if counted == "frames" else "sets of frames"
    for split, counts in record.items():
        line = f"{split}: {counts['prompts']} prompts, {counts['frames']} distinct {shown}, "
        line += f"{counts['questions']} distinct questions"
        if counts["prompts"] >= MAX_PROMPTS_PER_DISTINCT * counts[counted]:
            line += " (warning: they repeat; add clips, ask for fewer prompts, or loosen what is asked)"
        yield line


def asked_of(labels: Sequence[MotionLabel]) -> Hashable:
    """What a triplet asks about its frames, whatever the wording."""
    return labels[0].attribute, labels[0].subject


def count_triplets(counts: DistinctCounts, dataset: TripletDataset) -> None:
    """Count the first prompts of a split, at most :data:`MAX_COUNTED`, or few where drawing decodes images."""
    decodes = any(negative.num_draws > 1 for negative in dataset.sampler.negatives)
    for address in range(min(len(dataset), MAX_DECODED if decodes else MAX_COUNTED)):
        triplet = dataset.triplet(address)
        counts.add(dataset.split, (triplet.clip.clip_id, triplet.frame_indices), asked_of(triplet.labels))


def count_first(dataset: TripletDataset | MixedDataset | RecordDataset) -> Iterator[str]:
    """Lines about the first prompts of one split: its triplets, and finished prompts of tasks."""
    triplets, tasks = DistinctCounts(), DistinctCounts()
    if isinstance(dataset, TripletDataset):
        count_triplets(triplets, dataset)
    elif isinstance(dataset, MixedDataset):
        for _, part in dataset.parts:
            if isinstance(part, TripletDataset):
                count_triplets(triplets, part)
    else:
        for prompt in dataset.prompts:
            counts = tasks if isinstance(prompt.question, ReferencedQuestion) else triplets
            counts.add(dataset.split, prompt.pictures, prompt.question.text)
    for line in (*distinct_lines(triplets.record()), *distinct_lines(tasks.record(), "questions")):
        yield f"of the first prompts, {line}"
