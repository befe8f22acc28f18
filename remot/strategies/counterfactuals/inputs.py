"""Ways to change an input: shuffled or frozen frames, mirrored images."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from remot.errors import ConfigError
from remot.rewards.counterfactual.consistency import MIRRORED
from remot.strategies.counterfactuals.base import Counterfactual, PromptInput
from remot.structures import reference_of


class ShuffledFrames(Counterfactual):
    """Frames in another order at the same times (T-GRPO: Video-R1, arXiv 2503.21776; SpaceR, arXiv 2504.01805).

    For :class:`remot.rewards.ShuffledFramesReward`. A prompt without a video has its images shuffled; one with
    neither two frames nor two images has no counterfactuals.

    Args:
        num_completions: Completions for each changed prompt; the papers draw half as many as the group has.
    """

    name = "shuffled"

    def __init__(self, num_completions: int = 4) -> None:
        super().__init__(num_completions)

    def change(self, shown: PromptInput, generator: np.random.Generator) -> PromptInput | None:
        """See :meth:`Counterfactual.change`."""
        if any(len(video) > 1 for video in shown.videos):
            videos = [replace(video, frames=video.frames[other_order(len(video), generator)]) for video in shown.videos]
            return replace(shown, videos=videos)
        if not shown.videos and len(shown.images) > 1:
            return replace(shown, images=[shown.images[k] for k in other_order(len(shown.images), generator)])
        return None


class FrozenFrames(Counterfactual):
    """One frame of a video over and over, at the same times (Motion-o, arXiv 2603.18856), answered greedily, once.

    For :class:`remot.rewards.MotionPerturbationReward`. As released (``grpo_trainer_v3.py``), the first frame is
    frozen, or, of a question with key frames, the first of these: frames before it stay, all after it are replaced by
    it. Key frames are the times of the reference's tracks. A prompt without a video shows its first image throughout.

    Args:
        position: A single frame or image to show throughout instead, from 0 for the first to 1 for the last.
        num_completions: Completions for each changed prompt.
        greedy: Take the most likely tokens.
    """

    name = "frozen"

    def __init__(self, position: float | None = None, num_completions: int = 1, *, greedy: bool = True) -> None:
        super().__init__(num_completions, greedy=greedy)
        if position is not None and not 0 <= position <= 1:
            msg = f"counterfactuals.position is from 0 to 1, got {position}"
            raise ConfigError(msg)
        self.position = position

    def change(self, shown: PromptInput, generator: np.random.Generator) -> PromptInput | None:  # noqa: ARG002
        """See :meth:`Counterfactual.change`."""
        if any(len(video) > 1 for video in shown.videos):
            tracks = (None if shown.question is None else reference_of(shown.question).tracks) or ()
            key_seconds = min((track.pts_seconds[0] for track in tracks), default=0.0)
            videos = []
            for video in shown.videos:
                # The last frame at or before the key time; the first one if the key time lies before it.
                first_key = max(0, sum(seconds <= key_seconds for seconds in video.pts_seconds) - 1)
                videos.append(replace(video, frames=video.frames[self._order(len(video), first_key)]))
            return replace(shown, videos=videos)
        if not shown.videos and len(shown.images) > 1:
            return replace(shown, images=[shown.images[k] for k in self._order(len(shown.images), 0)])
        return None

    def _order(self, count: int, first_key: int) -> list[int]:
        """Which of ``count`` frames is shown at each of their times."""
        if self.position is not None:
            return [round(self.position * (count - 1))] * count
        return [min(frame, first_key) for frame in range(count)]


class MirroredImages(Counterfactual):
    """Images and frames flipped left to right, with left and right exchanged in the question (SVQA-R1, 2506.01371).

    For :class:`remot.rewards.ViewConsistencyReward`; for :class:`remot.rewards.DualityReward`, whose reference holds
    how the answer changes, leave the words as they are.

    Args:
        exchanged: Pairs of words of the question that are exchanged; none leave it as it is.
        num_completions: Completions for each changed prompt.
        greedy: Take the most likely tokens.
    """

    name = "mirrored"

    def __init__(
        self, exchanged: tuple[tuple[str, str], ...] = MIRRORED, num_completions: int = 1, *, greedy: bool = False
    ) -> None:
        super().__init__(num_completions, greedy=greedy)
        words = [word for pair in exchanged for word in pair]
        if len(set(words)) != len(words) or any(word != word.lower() or not word for word in words):
            msg = f"counterfactuals.exchanged needs different words in lower case, got {', '.join(words)}"
            raise ConfigError(msg)
        self.exchanged = exchanged

    def change(self, shown: PromptInput, generator: np.random.Generator) -> PromptInput | None:  # noqa: ARG002
        """See :meth:`Counterfactual.change`."""
        if not shown.images and not shown.videos:
            return None
        images = [image.flip(-1) for image in shown.images]
        videos = [replace(video, frames=video.frames.flip(-1)) for video in shown.videos]
        return PromptInput(images, videos, exchanged_words(shown.text, self.exchanged))


def other_order(count: int, generator: np.random.Generator) -> torch.Tensor:
    """A random order [count] that is not the order itself, unless there is only one."""
    order = generator.permutation(count)
    return torch.from_numpy(np.roll(order, 1) if (order == np.arange(count)).all() else order)


def exchanged_words(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """``text`` with the words of each pair exchanged; capitals stay where they were, and everything else as it was.

    >>> exchanged_words("Left of the upper-left box: RIGHT?", [("left", "right")])
    'Right of the upper-right box: LEFT?'
    """
    other = {word: partner for pair in pairs for word, partner in (pair, pair[::-1])}
    if not other:
        return text
    pattern = r"(?<![^\W_])(" + "|".join(map(re.escape, other)) + r")(?![^\W_])"
    return re.sub(pattern, lambda found: _in_case_of(found[0], other[found[0].lower()]), text, flags=re.IGNORECASE)


def _in_case_of(word: str, partner: str) -> str:
    if word.isupper():
        return partner.upper()
    return partner.capitalize() if word[0].isupper() else partner
