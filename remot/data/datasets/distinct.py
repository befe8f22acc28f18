"""How many of some prompts differ: few frames that are asked about many times teach the frames, not motion."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from remot.data.datasets.mixed import MixedDataset
from remot.data.datasets.prompts import PromptDataset
from remot.data.datasets.recorded import RecordDataset
from remot.structures import MotionLabel

#: What has to be distinct: the frames of triplets, or the questions of tasks that always show a clip's same frames.
Counted = Literal["frames", "questions"]
#: Prompts for each distinct one from which on there is a warning.
MAX_PROMPTS_PER_DISTINCT = 2.0


@dataclass(eq=False)
class DistinctCounts:
    """Counts prompts one by one, by split."""

    _prompts: Counter[str] = field(default_factory=Counter, init=False)
    _frames: dict[str, set[Hashable]] = field(default_factory=lambda: defaultdict(set), init=False)
    _questions: dict[str, set[Hashable]] = field(default_factory=lambda: defaultdict(set), init=False)

    def add(self, split: str, frames: Hashable, asked: Hashable) -> None:
        """Count one prompt.

        Args:
            split: Its split.
            frames: Key of the frames it shows, such as the clip and their indices.
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


def asked_of(labels: Sequence[MotionLabel], text: str) -> Hashable:
    """What is asked about frames: attribute and subject of their labels whatever the wording, else the text."""
    return (labels[0].attribute, labels[0].subject) if labels else text


def count_first(dataset: PromptDataset) -> Iterator[str]:
    """Lines about the first prompts of one split: of tasks whose frames vary, and finished prompts."""
    frames, questions = DistinctCounts(), DistinctCounts()
    if isinstance(dataset, MixedDataset):
        for part in dataset.parts:
            for address in range(min(len(part), part.task.num_counted)):
                clip, plan = part.plan(address)
                frames.add(dataset.split, (clip.clip_id, plan.frame_indices), asked_of(plan.labels, plan.text))
    elif isinstance(dataset, RecordDataset):
        for prompt in dataset.prompts:
            counts = frames if prompt.question.slots else questions
            counts.add(dataset.split, prompt.image_files, prompt.question.text)
    for line in (*distinct_lines(frames.record()), *distinct_lines(questions.record(), "questions")):
        yield f"of the first prompts, {line}"
