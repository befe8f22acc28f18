"""The stretches of a first answer shown again, as a second turn (after VideoChat-R1.5, arXiv 2509.21100)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from remot.environments.base import Environment, Episode, Reply, require_whole
from remot.environments.frame_requests import clip_of, shrunk
from remot.errors import ConfigError
from remot.rewards.functional.intervals import merged
from remot.rewards.parsing.spans import stretches_in

#: Answers give times to two decimals, so a frame is inside a stretch up to half of the last one.
ROUNDING_SECONDS = 0.005


class SecondLook(Environment):
    """Shows frames of the stretches of time that the first answer names, and asks for another answer.

    For questions whose answers name times, such as those of :class:`remot.data.tasks.TemporalGrounding`; a first answer
    to any other, or without a stretch inside of the clip, is the last one. In VideoChat-R1.5 the second perception is
    a prompt of its own, see :class:`remot.evaluation.perception.IterativePerception`; that it follows the first answer
    in one conversation, so that both are trained, is ours.

    Args:
        num_frames: Most frames, evenly among the annotated ones in the stretches.
        max_stretches: An answer that lists more of them is not followed.
        side_pixels: Frames are shrunk to this longest side.
    """

    counters = ("looks", "unreadable")

    def __init__(self, num_frames: int = 8, max_stretches: int = 3, side_pixels: int = 336) -> None:
        numbers = {"num_frames": num_frames, "max_stretches": max_stretches, "side_pixels": side_pixels}
        require_whole("SecondLook", 1, **numbers)
        self.num_frames = num_frames
        self.max_stretches = max_stretches
        self.side_pixels = side_pixels

    def instructions(self, episode: Episode) -> str:
        """None; but a question whose answers name times needs a clip.

        Raises:
            ConfigError: If there is none, or no image may be shown.
        """
        if not episode.question.key_times:
            return ""
        if not episode.images_left:
            msg = "SecondLook shows frames: set turns.max_images to the number of a look's, such as 8"
            raise ConfigError(msg)
        clip_of(episode, "SecondLook")
        return ""

    def demonstrate(self, episode: Episode) -> Sequence[str]:
        """The right response, and the same again after a look; once where there is nothing to look at."""
        right = episode.question.response
        return [right, right] if self._wanted(replace(episode, response=right)) else [right]

    def respond(self, episode: Episode) -> Reply | None:
        """The frames, once."""
        frames = self._wanted(episode)
        if not frames:
            return None
        clip = clip_of(episode, "SecondLook")
        images = clip.read(frames)
        if images is None:
            text = "These frames cannot be read. Answer again, in the same form."
            return Reply(text, counts={"unreadable": 1}, is_refused=True)
        words = ", ".join(f"{clip.pts_seconds[frame]:.2f}" for frame in frames)
        text = f"Frames at {words} s. Answer again, in the same form."
        return Reply(text, [shrunk(image, self.side_pixels) for image in images], {"looks": 1})

    def _wanted(self, episode: Episode) -> list[int]:
        """Numbers of the frames to show after a response."""
        if episode.turns or not episode.question.key_times or episode.clip is None:
            return []
        stretches = stretches_in(episode.response, episode.question.key_times, self.max_stretches) or []
        times = np.asarray(episode.clip.pts_seconds)
        inside = np.zeros(len(times), dtype=bool)
        for start, end in merged(stretches):
            inside |= (times >= start - ROUNDING_SECONDS) & (times <= end + ROUNDING_SECONDS)
        held = inside.nonzero()[0]
        count = min(self.num_frames, len(held), episode.images_left)
        return [int(held[place]) for place in np.linspace(0, len(held) - 1, count).round().astype(int)]
