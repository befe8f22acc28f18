"""Motion-contrast triplets as a task: its settings, and what it finds in a clip."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from remot.data.experts import AMBIGUOUS, Expert, default_experts
from remot.data.media.image_changes import ImageChanges
from remot.data.negatives import Negative
from remot.data.questions.formats import QuestionFormat
from remot.data.questions.writer import OptionOrder, QuestionWriter
from remot.data.tasks.base import PromptSeed, Survey, Task, TaskIndex, TaskPlan
from remot.data.tasks.motion_contrast.balancing import BalanceBy
from remot.data.tasks.motion_contrast.index import MotionContrastIndex
from remot.data.tasks.motion_contrast.sampler import TripletCandidate, TripletSampler
from remot.files import expanded
from remot.motion import Attribute, Pattern
from remot.structures import Clip

#: Frames of a clip whose pairs are counted, spread over it.
MAX_FRAMES = 32
#: What becomes of a pair.
VERDICTS = ("none", "moved", "unclear", "not_measurable")
#: Triplets of a split that are planned and counted before a run, and how many where planning decodes images.
MAX_COUNTED, MAX_DECODED = 512, 32


@dataclass(frozen=True)
class Sampling:
    """Which frames of a clip make triplets.

    Args:
        max_candidate_frames: Clips with more frames are thinned to this many, spread over the clip.
        min_gap_frames: Frames of a triplet are at least this many annotated frames apart.
    """

    max_candidate_frames: int = 64
    min_gap_frames: int = 1


class MotionContrast(Task):
    """Motion-contrast triplets (ReMoT, arXiv 2603.00461): anchor, positive and negative frame, one question a pair.

    Answers are balanced over all clips of a split: a pattern of answers is drawn before the clip that shows it.

    Args:
        experts: Attributes to ask about; the seven default ones if None.
        negatives: Ways to find or make the third image, each as often; other frames of the clip by default.
        formats: Ways to ask, each as often; multiple choice by default.
        binary: Ask about anchor and positive only, two images and one answer (the pair baseline of the paper).
        num_wordings: Wordings to choose from for each attribute.
        option_order: Shuffle the options of each question, or once for all questions of a prompt.
        wordings: File of the questions' texts; None for the English ones that come with the library.
        balance_by: ``attribute`` balances answers over all subjects, ``subject`` over each by its name.
        sampling: Which frames of a clip make triplets.
        thinks: Ask for reasoning before the answer, and include it in the response.
        narrates: Write the reasoning of responses as the one who moves would tell it (EgoMind, arXiv 2604.03318), with
            sizes; otherwise as places on a grid.
        as_pairs: Show each pair of images that is asked about as a video of two frames, in the order of the questions,
            instead of the images one by one. A vision tower that joins two frames in a patch then sees the motion
            itself, and not only the language model what each image became.
        image_changes: Change the images of training prompts about the camera alike, in window, light and colours; their
            responses name no places then. None for images as they are.
    """

    name = "motion_contrast"
    needs: ClassVar[str] = (
        "tracks in which something clearly rests or clearly moves under an expert (lower salient_min or raise still to "
        "accept more, see docs/conventions.md)"
    )

    def __init__(  # noqa: PLR0913 - settings of the configuration file
        self,
        experts: list[Expert] | None = None,
        negatives: list[Negative] | None = None,
        formats: list[QuestionFormat] | None = None,
        binary: bool = False,  # noqa: FBT001, FBT002 - a setting
        num_wordings: int = 3,
        option_order: OptionOrder = "question",
        wordings: Path | None = None,
        balance_by: BalanceBy = "attribute",
        sampling: Sampling = Sampling(),
        thinks: bool = True,  # noqa: FBT001, FBT002 - a setting
        narrates: bool = False,  # noqa: FBT001, FBT002 - a setting
        as_pairs: bool = False,  # noqa: FBT001, FBT002 - a setting
        image_changes: ImageChanges | None = None,
    ) -> None:
        self.as_pairs, self.image_changes = as_pairs, image_changes
        self.sampler = TripletSampler(
            experts or default_experts(), sampling.max_candidate_frames, sampling.min_gap_frames, negatives=negatives
        )
        file = wordings and expanded(wordings)
        self.writer = QuestionWriter(num_wordings, binary, option_order, formats, file, thinks, narrates)
        self.balance_by: BalanceBy = balance_by
        decodes = any(negative.num_draws > 1 for negative in self.sampler.negatives)
        self.num_counted = MAX_DECODED if decodes else MAX_COUNTED

    def serves(self, clip: Clip) -> bool:
        """Whether three frames of ``clip`` make a triplet under an expert."""
        return bool(self.sampler.candidates(clip))

    def survey(self, clip: Clip) -> Survey | None:
        """Rows (expert, subject, bits of the available patterns, negative) of what can be asked about ``clip``."""
        return self.survey_of(self.sampler.candidates(clip)) if clip.media is not None else None

    def survey_of(self, candidates: Sequence[TripletCandidate]) -> Survey | None:
        """The rows of such findings; None if there are none.

        Patterns are bits, in the order of the attribute's patterns: a survey of a large data set stays small.
        """
        rows = []
        for one in candidates:
            available, attribute = set(one.patterns), self.sampler.experts[one.expert_index].attribute
            bits = sum(1 << bit for bit, pattern in enumerate(attribute.patterns) if pattern in available)
            rows.append((one.expert_index, one.subject, bits, one.negative_index))
        return tuple(rows) or None

    def candidates(self, survey: Survey | None) -> list[TripletCandidate]:
        """The candidates that a survey lists."""
        found = []
        for expert_index, subject, bits, negative_index in survey or ():
            patterns = _patterns_of(self.sampler.experts[expert_index].attribute, bits)
            found.append(TripletCandidate(expert_index, subject, patterns, negative_index))
        return found

    def stratum(self, survey: Survey | None) -> Hashable:
        """The attributes that can be asked about, so that every split asks about the same ones."""
        return self.topics(survey or ())

    def topics(self, survey: Survey) -> tuple[str, ...]:
        """Names of the attributes that can be asked about."""
        return tuple(sorted({self.sampler.experts[row[0]].attribute.name for row in survey}))

    def num_frame_sets(self, clip: Clip) -> int:
        """How many distinct sets of three frames of ``clip`` can be asked about, whatever is asked."""
        return self.sampler.frame_triples(clip) if clip.media is not None else 0

    def index(self, clips: Sequence[Clip], surveys: Sequence[Survey | None], split: str) -> TaskIndex:
        """Draws patterns of answers before clips, so that every answer is equally likely over the split."""
        candidates = [self.candidates(survey) for survey in surveys]
        settings = (self.sampler, self.writer, clips, candidates, self.balance_by, split)
        return MotionContrastIndex(*settings, as_pairs=self.as_pairs, changes=self.image_changes)

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """A prompt about ``clip``, balanced over its own patterns alone."""
        survey = self.survey(clip)
        if survey is None:
            return None
        index = self.index([clip], [survey], clip.clip_id)
        return index.plan(PromptSeed(int(generator.integers(2**62)), clip.clip_id, 0))[1]

    def refusals(self, clips: Iterable[Clip], generator: np.random.Generator) -> Counter[str]:  # noqa: ARG002
        """For each attribute how many pairs of frames are none, moved, unclear or not measurable."""
        counts = pairs_by_verdict(clips, self.sampler.experts)
        return Counter(
            {f"{name}: {verdict}": count for name, kinds in counts.items() for verdict, count in kinds.items()}
        )

    def settings(self) -> tuple[object, ...]:
        """Experts and negatives, whose settings and code determine what is found."""
        return (*self.sampler.experts, *self.sampler.negatives)


@cache
def _patterns_of(attribute: Attribute, bits: int) -> tuple[Pattern, ...]:
    """The patterns of such bits; equal ones are one object."""
    return tuple(pattern for bit, pattern in enumerate(attribute.patterns) if bits >> bit & 1)


def pairs_by_verdict(clips: Iterable[Clip], experts: Sequence[Expert]) -> dict[str, dict[str, int]]:
    """For each attribute how many pairs of frames are asked about, and why others are not.

    Pairs of up to :data:`MAX_FRAMES` frames of each clip: ``none`` and ``moved`` are asked about; ``unclear`` lie
    between the thresholds or beyond the largest motion; ``not_measurable`` are not annotated, or something else moved.
    """
    counts = {expert.attribute.name: dict.fromkeys(VERDICTS, 0) for expert in experts}
    for clip in clips:
        frames = np.unique(np.linspace(0, clip.num_frames - 1, MAX_FRAMES).astype(np.int64))
        earlier = np.triu_indices(len(frames), k=1)
        for expert in experts:
            for verdicts in expert.judge(clip, frames).values():
                codes, unknown = verdicts.codes[earlier], np.isnan(verdicts.magnitudes[earlier])
                of_kind = (codes == 0, (codes != 0) & (codes != AMBIGUOUS), (codes == AMBIGUOUS) & ~unknown, unknown)
                for name, pairs in zip(VERDICTS, of_kind, strict=True):
                    counts[expert.attribute.name][name] += int(pairs.sum())
    return counts
