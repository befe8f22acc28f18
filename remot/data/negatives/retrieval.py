"""Negatives that are other frames of the same clip."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from remot.data.experts.base import IntArray
from remot.data.media import read_frames
from remot.data.media.warps import small_copy
from remot.data.negatives.base import Case, Negative, View, plain_view
from remot.errors import ConfigError
from remot.structures import Clip


class Retrieval(Negative):
    """Any frame of the clip whose motion fits the wanted answers: opposite, different, or none."""

    name = "retrieval"

    def view(self, clip: Clip, frames: IntArray) -> View:
        """All candidates, in any order."""
        return plain_view(clip, frames)


class TimeReversal(Negative):
    """The anchor lies between the other two in time: one of them is later, the other earlier."""

    name = "time_reversal"

    def view(self, clip: Clip, frames: IntArray) -> View:
        """Candidates with the positive after the anchor and the negative before it, or the other way round."""
        later = frames[None, :] > frames[:, None]
        anywhere = np.ones_like(later)
        return plain_view(clip, frames, (Case(later, later.T, anywhere), Case(later.T, later, anywhere)))


class SimilarFrame(Negative):
    """Of several triplets with the wanted answers, the one whose positive and negative look most alike.

    A policy that compares appearance and not motion is misled by it. Images are compared as small copies; those of a
    clip are decoded once and kept for the last ``num_clips`` clips.

    Args:
        num_draws: Triplets to choose from.
        num_clips: Clips whose small copies are kept.
    """

    name = "similar_frame"

    def __init__(self, num_draws: int = 8, num_clips: int = 64) -> None:
        if num_draws < 2 or num_clips < 1:
            msg = f"SimilarFrame: num_draws is {num_draws} and num_clips {num_clips}; choose at least 2 and 1"
            raise ConfigError(msg)
        self.num_draws = num_draws
        self.num_clips = num_clips
        self._copies: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def view(self, clip: Clip, frames: IntArray) -> View | None:
        """All candidates; None for a clip without images."""
        return None if clip.media is None else plain_view(clip, frames)

    def choose(self, view: View, drawn: Sequence[IntArray]) -> IntArray:
        """The triplet with the smallest mean difference between its second and third image."""
        key = view.clip.clip_id
        if key not in self._copies:
            images = read_frames(view.clip, view.source_frames.tolist())
            self._copies[key] = np.stack([small_copy(image).ravel() for image in images])  # [M, 3 · S · S]
            if len(self._copies) > self.num_clips:
                self._copies.popitem(last=False)
        self._copies.move_to_end(key)
        copies = self._copies[key]
        differences = [float(np.abs(copies[second] - copies[third]).mean()) for _, second, third in drawn]
        return drawn[int(np.argmin(differences))]
