"""What every motion expert does: measure, then call a motion none, directed or too close to call."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from remot.errors import ConfigError
from remot.motion import Attribute, Sign
from remot.structures import Clip, FloatArray, MotionLabel

IntArray = NDArray[np.int64]
SignMatrix = NDArray[np.int8]

#: Entry of a sign matrix for a pair of frames that must not be asked about.
AMBIGUOUS = 2

#: Thresholds reach this much further, so that a motion of exactly a threshold's size is on its near side whatever the
#: rounding.
_SLACK = 1e-9


class MotionExpert(ABC):
    """Tells one attribute of the motion between any two frames of a clip.

    A magnitude of at most ``still`` is no motion, one in ``[salient_min, salient_max]`` is a motion, and anything else
    is ambiguous: two careful people could answer differently, so no question is made of it.

    Args:
        still: Largest magnitude that counts as no motion, in the attribute's unit.
        salient_min: Smallest magnitude that counts as a motion.
        salient_max: Largest magnitude that is asked about.
    """

    attribute: ClassVar[Attribute]

    def __init__(self, still: float, salient_min: float, salient_max: float = float("inf")) -> None:
        if not 0 <= still < salient_min <= salient_max:
            msg = (
                f"{type(self).__name__}: still={still}, salient_min={salient_min}, salient_max={salient_max}; "
                "choose 0 <= still < salient_min <= salient_max"
            )
            raise ConfigError(msg)
        self.still = still
        self.salient_min = salient_min
        self.salient_max = salient_max

    @abstractmethod
    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        """Signed magnitudes for every subject of ``clip`` this expert can judge.

        Args:
            clip: The annotated clip.
            frame_indices: [K] annotated frames.

        Returns:
            For each subject ("" is the camera) an array [K, K] in the attribute's unit: entry (i, j) says where frame
            j lies from frame i. NaN marks pairs that cannot be measured.
        """

    def signs(self, clip: Clip, frame_indices: IntArray) -> dict[str, SignMatrix]:
        """Signs [K, K] in -1, 0, +1 for every subject, with :data:`AMBIGUOUS` where no question may be asked.

        A pair is also ambiguous if its two readings, forwards and backwards, do not mirror each other.
        """
        return {subject: self._classify(m) for subject, m in self.measure(clip, frame_indices).items()}

    def label(self, clip: Clip, i: int, j: int, subject: str, pair: tuple[int, int] = (1, 2)) -> MotionLabel | None:
        """The motion from annotated frame ``i`` to ``j``, or None if it is ambiguous or not measurable.

        Args:
            clip: The annotated clip.
            i: Earlier picture's frame.
            j: Later picture's frame.
            subject: A key of :meth:`measure`.
            pair: Picture numbers to write into the label.
        """
        magnitudes = self.measure(clip, np.array([i, j], dtype=np.int64)).get(subject)
        if magnitudes is None:
            return None
        sign = int(self._classify(magnitudes)[0, 1])
        if sign == AMBIGUOUS:
            return None
        directions: dict[int, Sign] = {-1: -1, 0: 0, 1: 1}
        return MotionLabel(
            pair=pair,
            attribute=self.attribute.name,
            value=self.attribute.value_of(directions[sign]),
            magnitude=abs(float(magnitudes[0, 1])),
            unit=self.attribute.unit,
            subject=subject,
        )

    def _classify(self, magnitudes: FloatArray) -> SignMatrix:
        size = np.abs(magnitudes)
        directed = (size >= self.salient_min - _SLACK) & (size <= self.salient_max + _SLACK)
        signs = np.full(magnitudes.shape, AMBIGUOUS, dtype=np.int8)
        signs[size <= self.still + _SLACK] = 0
        signs[directed] = np.sign(magnitudes[directed]).astype(np.int8)
        signs[signs != -signs.T] = AMBIGUOUS
        return signs


def differences(values: FloatArray) -> FloatArray:
    """Pairwise ``values[j] - values[i]`` [K, K] of ``values`` [K]."""
    return values[None, :] - values[:, None]
