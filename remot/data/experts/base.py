"""Motion experts: measure, then call a motion none, directed or too close to call."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from remot.errors import ConfigError
from remot.motion import PAIRS, Attribute
from remot.structures import Clip, FloatArray, ImageTransform, MotionLabel

Frames = tuple[int, int, int]

IntArray = NDArray[np.int64]
CodeMatrix = NDArray[np.int8]

#: Entry of a code matrix for a pair of frames that must not be asked about.
AMBIGUOUS = 127

#: Thresholds reach this much further, so that a motion of exactly a threshold's size is on its near side whatever the
#: rounding.
_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Labels of one subject's motion between K frames.

    Args:
        codes: [K, K] codes of the attribute's values, entry (i, j) from frame i to frame j; :data:`AMBIGUOUS` where no
            question may be asked.
        magnitudes: [K, K] sizes of the motion in the attribute's unit, signed for an order; NaN where not measurable.
    """

    codes: CodeMatrix
    magnitudes: FloatArray


class Expert(ABC):
    """Judges one attribute of the motion between any two frames of a clip."""

    attribute: ClassVar[Attribute]
    #: False if the third image shows something else than a frame, so that a frame may be used twice.
    compares_images: ClassVar[bool] = True

    def third_transform(self, subject: str) -> ImageTransform | None:  # noqa: ARG002
        """What the third image shows of its frame, None for the frame itself."""
        return None

    @abstractmethod
    def judge(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, Verdicts]:
        """Verdicts for every subject of ``clip`` ("" is the camera or the agent) about annotated frames [K].

        The verdict about a pair must depend on the two frames of that pair only.
        """

    def labels(self, clip: Clip, frames: Frames, subject: str) -> tuple[MotionLabel, ...] | None:
        """One label for each of :data:`remot.motion.PAIRS`, or None if one of them must not be asked about."""
        verdicts = self.judge(clip, np.array(frames, dtype=np.int64)).get(subject)
        if verdicts is None:
            return None
        found = [self._label_of(verdicts, (first - 1, second - 1), (first, second), subject) for first, second in PAIRS]
        labels = tuple(label for label in found if label is not None)
        return labels if len(labels) == len(PAIRS) else None

    def label(self, clip: Clip, i: int, j: int, subject: str, pair: tuple[int, int] = (1, 2)) -> MotionLabel | None:
        """The motion from annotated frame ``i`` to ``j``, or None if it is ambiguous or not measurable.

        ``pair`` are the image numbers to write into the label.
        """
        verdicts = self.judge(clip, np.array([i, j], dtype=np.int64)).get(subject)
        return None if verdicts is None else self._label_of(verdicts, (0, 1), pair, subject)

    def _label_of(
        self, verdicts: Verdicts, indices: tuple[int, int], pair: tuple[int, int], subject: str
    ) -> MotionLabel | None:
        code, size = int(verdicts.codes[indices]), abs(float(verdicts.magnitudes[indices]))
        if code == AMBIGUOUS:
            return None
        attribute = self.attribute
        return MotionLabel(pair, attribute.name, attribute.value_of(code), size, attribute.unit, subject)


@dataclass(eq=False)
class MotionExpert(Expert):
    """Judges a motion that has one direction, its opposite, or none.

    A magnitude of at most ``still`` is no motion, one in ``[salient_min, salient_max]`` is a motion, and anything else
    is ambiguous: two careful people could answer differently, so no question is made of it.

    Args:
        still: Largest magnitude that counts as no motion, in the attribute's unit.
        salient_min: Smallest magnitude that counts as a motion.
        salient_max: Largest magnitude that is asked about.
    """

    still: float
    salient_min: float
    salient_max: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.still < self.salient_min <= self.salient_max:
            msg = (
                f"{type(self).__name__}: still={self.still}, salient_min={self.salient_min}, "
                f"salient_max={self.salient_max}; choose 0 <= still < salient_min <= salient_max"
            )
            raise ConfigError(msg)

    @abstractmethod
    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        """Signed magnitudes for every subject of ``clip`` this expert can judge.

        Args:
            clip: The annotated clip.
            frame_indices: [K] annotated frames.

        Returns:
            For each subject ("" is the camera) an array [K, K] in the attribute's unit: entry (i, j) is the motion from
            frame i to frame j. NaN marks pairs that cannot be measured.
        """

    def judge(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, Verdicts]:
        """Codes -1, 0 and +1. A pair whose readings forwards and backwards do not mirror each other is ambiguous."""
        measured = self.measure(clip, frame_indices)
        return {subject: Verdicts(self._classify(values), values) for subject, values in measured.items()}

    def _classify(self, magnitudes: FloatArray) -> CodeMatrix:
        size = np.abs(magnitudes)
        directed = (size >= self.salient_min - _SLACK) & (size <= self.salient_max + _SLACK)
        codes = np.full(magnitudes.shape, AMBIGUOUS, dtype=np.int8)
        codes[size <= self.still + _SLACK] = 0
        codes[directed] = np.sign(magnitudes[directed]).astype(np.int8)
        codes[codes != -codes.T] = AMBIGUOUS
        return codes


def differences(values: FloatArray) -> FloatArray:
    """Pairwise ``values[j] - values[i]`` [K, K] of ``values`` [K]."""
    return values[None, :] - values[:, None]
