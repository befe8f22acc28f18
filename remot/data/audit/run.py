"""The audit of triplets that a run would be trained on."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from remot.data.audit.blind import score_blind
from remot.data.audit.letters import wrong_letters
from remot.data.audit.overlap import SplitOverlap, overlap_of
from remot.data.audit.report import Audit
from remot.data.audit.truth import Limits, WrongLabel, wrong_labels
from remot.data.audit.tuples import answer_tuple, possible_tuples
from remot.data.datamodule import TripletDataModule
from remot.data.dataset import TripletDataset
from remot.data.experts import Expert
from remot.data.templates import Wordings
from remot.errors import ConfigError
from remot.structures import Clip, Question, Triplet

#: Told what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]
#: Size of the pictures in pixels given to the writer of questions. Only the reasoning depends on it, which is not
#: audited; the true size would take decoding.
_PICTURE_SIZE = (1, 1)


@dataclass
class Findings:
    """What the prompts show, gathered one by one.

    Args:
        limits: Settings of the experts, by attribute.
        wordings: The texts the prompts were written with.
    """

    limits: Mapping[str, Sequence[Limits]]
    wordings: Wordings
    questions: list[Question] = field(default_factory=list)
    wrong: list[WrongLabel] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    impossible: list[str] = field(default_factory=list)
    attributes: Counter[str] = field(default_factory=Counter)
    tuples: Counter[str] = field(default_factory=Counter)
    possible: set[str] = field(default_factory=set)
    pictures: list[str] = field(default_factory=list)
    num_pictures: int = 0
    num_wrong: int = 0
    facts: list[str] = field(default_factory=list)

    def take(self, triplet: Triplet, question: Question) -> None:
        """Check one prompt."""
        self.questions.append(question)
        before = self._num_faults
        attribute = triplet.labels[0].attribute
        self.wrong += wrong_labels(triplet, self.limits.get(attribute, []))
        self.letters += wrong_letters(question, triplet, self.wordings)
        self.attributes.update(label.attribute for label in triplet.labels)
        asked = triplet.labels if question.format == "comparative" else [slot.label for slot in question.slots]
        answers, possible = answer_tuple(asked), possible_tuples(attribute, len(asked))
        self.tuples[answers] += 1
        self.possible |= possible
        if answers not in possible:
            self.impossible.append(f"{question.prompt_id} has {answers}")
        self.num_wrong += self._num_faults > before

    @property
    def _num_faults(self) -> int:
        return len(self.wrong) + len(self.letters) + len(self.impossible)


def limits_of(experts: Sequence[Expert]) -> dict[str, list[Limits]]:
    """The settings of ``experts``, by attribute."""
    limits: dict[str, list[Limits]] = {}
    for expert in experts:
        limits.setdefault(expert.attribute.name, []).append(Limits.of(expert))
    return limits


def audit_data(
    data: TripletDataModule,
    num_triplets: int = 2000,
    split: str = "train",
    frames_per_clip: int = 4,
    progress: Progress = lambda *_: None,
) -> Audit:
    """Build prompts as a run would, and check them and the splits.

    Args:
        data: The data module of the run.
        num_triplets: Prompts to check, from the first one on.
        split: Where to take them from.
        frames_per_clip: Pictures of each clip to compare between the splits.
        progress: Told what is being done and how far it is.

    Raises:
        ConfigError: If there is no such split or nothing is to be checked.
        DecodeError: If a picture cannot be decoded.
    """
    data.require_clips("audit the folder of these prompts instead: remot data audit DIR")
    data.setup()
    if num_triplets < 1 or split not in data.datasets:
        msg = f"{num_triplets} triplets of the {split} split: ask for at least 1 of {', '.join(data.datasets)}"
        raise ConfigError(msg)

    def told(done: int) -> None:
        progress("checking labels", done, num_triplets)

    found = findings_of(data.datasets[split], range(num_triplets), told)
    splits = {name: one.clips for name, one in data.datasets.items()}
    return audit_of(found, split, compared(data, splits, frames_per_clip, progress), data.seed)


def compared(
    data: TripletDataModule, splits: Mapping[str, Sequence[Clip]], frames_per_clip: int, progress: Progress
) -> SplitOverlap:
    """What the splits have in common.

    Args:
        data: Its experts say whether two clips tell the same motion.
        splits: Clips of each split.
        frames_per_clip: Images of each clip to compare.
        progress: Called with what is done, how much of it is done and how much there is.
    """
    num_clips = sum(map(len, splits.values()))
    return overlap_of(
        splits, data.sampler.experts, frames_per_clip, lambda done: progress("comparing images", done, num_clips)
    )


def audit_of(found: Findings, split: str, overlap: SplitOverlap, seed: int) -> Audit:
    """The figures of prompts that have been checked, and of the splits.

    Args:
        found: What the prompts show.
        split: The split they are of.
        overlap: What the splits have in common.
        seed: Names the halves that blind models are fitted to.
    """
    return Audit(
        split=split,
        num_prompts=len(found.questions),
        wrong=found.wrong,
        letters=found.letters,
        impossible=found.impossible,
        attributes=dict(sorted(found.attributes.items())),
        tuples={answers: found.tuples[answers] for answers in sorted(found.possible | set(found.tuples))},
        num_possible=len(found.possible),
        blind=score_blind(found.questions, seed),
        overlap=overlap,
        pictures=found.pictures,
        num_pictures=found.num_pictures,
        facts=found.facts,
    )


def findings_of(
    dataset: TripletDataset, addresses: Iterable[int], told: Callable[[int], None] = lambda _: None
) -> Findings:
    """What some prompts of a split show.

    Args:
        dataset: Makes them.
        addresses: Which ones.
        told: Told after each how many are done.
    """
    found = Findings(limits_of(dataset.sampler.experts), dataset.writer.wordings)
    for done, address in enumerate(addresses, 1):
        triplet = dataset.triplet(address)
        found.take(triplet, dataset.question(address, triplet, _PICTURE_SIZE))
        told(done)
    return found
