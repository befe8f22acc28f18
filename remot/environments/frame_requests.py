"""Frames of the clip on request: by time (FrameMind, arXiv 2509.24008), or by number (FrameThinker)."""

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from remot.environments.base import Environment, Episode, Reply, require_whole
from remot.errors import ConfigError
from remot.rewards.parsing.requests import (
    FrameLookUp,
    FrameRange,
    Request,
    TimeRequest,
    action_answer,
    action_in,
    calls_in,
)
from remot.rewards.parsing.tags import first_element, last_element
from remot.structures import ClipFrames, Interval, reference_of

#: Seconds by which a time may lie outside of the clip: times are stated with two decimals.
TIME_TOLERANCE_SECONDS = 0.01
#: Shortest distance of first and last frame of a range that FrameThinker's gate accepts.
MIN_RANGE_FRAMES = 9


class FrameRequests(Environment):
    """Shows annotated frames of the clip that the policy asks for.

    ``calls`` reads ``FrameAt(t)``, one frame, and ``VideoClip(t0, t1)``, evenly spaced ones, times in seconds, in
    ``<request>`` elements; the conversation ends with an ``<answer>`` element. The tools and their names are
    FrameMind's; how they are written was not published. ``frame_thinker`` reads FrameThinker's ``<action>`` elements:
    ``choose frames between a and b``, ``get frame number at time mm:ss`` and ``output answer: X``.

    A request that is malformed, outside of the clip, repeated, or for more images than are left gets a sentence
    instead of images and is counted. A response with neither a request nor an answer ends the conversation.

    Args:
        grammar: How requests are written.
        frames_per_clip: Frames of a clip or range, at most. FrameMind shows 8 to 20, FrameThinker 8.
        max_requests: Calls of one turn that are followed.
        frame_side_pixels: Single frames are shrunk to this longest side.
        clip_side_pixels: Frames of a clip or range are shrunk to this longest side.
        ladder: Numbers of frames and longest sides in place of ``frames_per_clip`` and ``clip_side_pixels``, from many
            small frames to few large ones: completion k of a group has rung k modulo their number (FrameMind's DRFS).
            Which rungs, and that they are those of the replies only, is a reconstruction. Empty for none.
    """

    counters = ("requests", "granted", "malformed", "out_of_range", "repeated", "too_many", "unreadable")

    def __init__(
        self,
        grammar: Literal["calls", "frame_thinker"] = "calls",
        frames_per_clip: int = 8,
        max_requests: int = 4,
        frame_side_pixels: int = 672,
        clip_side_pixels: int = 336,
        ladder: tuple[tuple[int, int], ...] = (),
    ) -> None:
        if grammar not in ("calls", "frame_thinker"):
            msg = f"FrameRequests: grammar is calls or frame_thinker, got {grammar!r:.40}"
            raise ConfigError(msg)
        require_whole("FrameRequests", 1, frames_per_clip=frames_per_clip, max_requests=max_requests)
        require_whole("FrameRequests", 1, frame_side_pixels=frame_side_pixels, clip_side_pixels=clip_side_pixels)
        _require_ladder(ladder)
        self.grammar = grammar
        self.frames_per_clip = frames_per_clip
        self.max_requests = max_requests
        self.frame_side_pixels = frame_side_pixels
        self.clip_side_pixels = clip_side_pixels
        self.ladder = tuple(ladder)

    def on_rung(self, completion: int) -> Self:
        """The same with the numbers of the ladder for a completion of a group."""
        if not self.ladder:
            return self
        one = copy.copy(self)
        one.frames_per_clip, one.clip_side_pixels = self.ladder[completion % len(self.ladder)]
        return one

    def instructions(self, episode: Episode) -> str:
        """How to ask, and the bounds of the clip."""
        clip = clip_of(episode, "FrameRequests")
        first, last = clip.pts_seconds[0], clip.pts_seconds[-1]
        if self.grammar == "frame_thinker":
            return (
                f"\nThe clip has frames 0 to {len(clip.pts_seconds) - 1} and lasts from {_clock(first)} to "
                f"{_clock(last)}. Think in <think></think>, then act in <action></action>: choose frames between a "
                "and b; get frame number at time mm:ss; output answer: X."
            )
        return (
            f"\nThe clip lasts from {first:.2f} to {last:.2f} s. To see more of it, write <request>FrameAt(t)</request>"
            " or <request>VideoClip(t0, t1)</request>."
        )

    def answer(self, response: str) -> str:
        """FrameThinker's last action as an answer element; any other response as it is."""
        written = action_answer(response) if self.grammar == "frame_thinker" else None
        if written is None:
            return response
        thought = last_element(response, "think")
        return f"{'' if thought is None else f'<think>{thought}</think>'}<answer>{written}</answer>"

    def demonstrate(self, episode: Episode) -> Sequence[str]:
        """Asks for the stretch of time of the reference, then answers; at once where no stretch is known.

        FrameThinker's ranges are those of its gate: more than 8 frames long and not the whole clip.
        """
        question, reference = episode.question, reference_of(episode.question)
        times = clip_of(episode, "FrameRequests").pts_seconds
        stretch = reference.intervals[0] if reference.intervals else None
        if self.grammar == "calls":
            if stretch is None:
                return [question.response]
            start, end = (min(max(seconds, times[0]), times[-1]) for seconds in stretch)
            return [f"<request>VideoClip({start:.2f}, {end:.2f})</request>", question.response]
        answered = f"<action>output answer: {question.solution or reference.answer}</action>"
        seen = None if stretch is None else _wide_range(stretch, times)
        if seen is None:
            return [f"<think>{question.reasoning}</think>{answered}"]
        asked = f"<think>It is between frames {seen[0]} and {seen[1]}</think>"
        return [f"{asked}<action>choose frames between {seen[0]} and {seen[1]}</action>", f"<think></think>{answered}"]

    def respond(self, episode: Episode) -> Reply | None:
        """The frames that are asked for, and a sentence for each request."""
        asked = self.requests(episode.response)
        return self.on_rung(episode.completion)._reply(asked, episode) if asked else None

    def _reply(self, asked: Sequence[Request], episode: Episode) -> Reply:
        clip = clip_of(episode, "FrameRequests")
        seen = {key for turn in episode.turns for one in self.requests(turn.response) for key in _keys(self, one, clip)}
        if self.grammar == "frame_thinker":
            seen.add(("range", 0, len(clip.pts_seconds) - 1))  # the first prompt shows the whole clip
        counts: Counter[str] = Counter(requests=len(asked))
        images: list[Tensor] = []
        sentences = []
        for request in asked[: self.max_requests]:
            outcome, sentence, shown = self._reply_to(request, clip, seen, episode.images_left - len(images))
            counts[outcome] += 1
            images += shown
            sentences.append(sentence)
            seen.update(_keys(self, request, clip))
        if (surplus := len(asked) - self.max_requests) > 0:
            counts["too_many"] += surplus
            sentences.append(f"At most {self.max_requests} requests of a turn are followed.")
        if episode.turns_left == 1:
            sentences.append("This is your last turn: answer now.")
        return Reply(" ".join(sentences), images, counts, is_refused=counts["granted"] < len(asked))

    def requests(self, response: str) -> list[Request]:
        """What a response asks for; nothing if it answers."""
        if self.grammar == "calls":
            return [] if first_element(response, "answer") is not None else calls_in(response, "request")
        if action_answer(response) is not None or last_element(response, "action") is None:
            return []
        return [action_in(response)]

    def _reply_to(
        self, request: Request, clip: ClipFrames, seen: set[tuple[object, ...]], images_left: int
    ) -> tuple[str, str, list[Tensor]]:
        """Counter, sentence and images for one request."""
        times = clip.pts_seconds
        if request is None:
            form = "FrameAt(t) or VideoClip(t0, t1)" if self.grammar == "calls" else "choose frames between a and b"
            return "malformed", f"This is no request; write {form}.", []
        frames = self.frames_of(request, times)
        if frames is None:
            bounds = f"from {times[0]:.2f} to {times[-1]:.2f} s, its frames from 0 to {len(times) - 1}"
            return "out_of_range", f"The clip lasts {bounds}.", []
        if _keys(self, request, clip)[0] in seen:
            return "repeated", "You have asked for this before.", []
        if isinstance(request, FrameLookUp):
            return "granted", f"The frame number at time {_clock(request.seconds)} is: {frames[0]}.", []
        if len(frames) > images_left:
            return "too_many", f"This needs {len(frames)} images, {max(0, images_left)} are left.", []
        shown = clip.read(frames)
        if shown is None:
            return "unreadable", "These frames cannot be read.", []
        is_single = isinstance(request, TimeRequest) and request.is_single
        side = self.frame_side_pixels if is_single else self.clip_side_pixels
        if isinstance(request, FrameRange):
            named = f"Frames {', '.join(str(frame) for frame in frames)}."
        else:
            named = f"Frames at {', '.join(f'{times[frame]:.2f}' for frame in frames)} s."
        return "granted", named, [shrunk(image, side) for image in shown]

    def frames_of(self, request: TimeRequest | FrameRange | FrameLookUp, times: Sequence[float]) -> list[int] | None:
        """Frame numbers that a request is for, increasing; None if it lies outside of the clip or ends too early."""
        if isinstance(request, FrameRange):
            if not 0 <= request.first < request.last < len(times):
                return None
            count = min(self.frames_per_clip, request.last - request.first + 1)
            return [int(one) for one in np.linspace(request.first, request.last, count).round()]
        if isinstance(request, FrameLookUp):
            start = end = float(request.seconds)
        else:
            start, end = request.start_seconds, request.end_seconds
        if not times[0] - TIME_TOLERANCE_SECONDS <= start <= end <= times[-1] + TIME_TOLERANCE_SECONDS:
            return None
        wanted = [start] if start == end else np.linspace(start, end, self.frames_per_clip)
        held = np.asarray(times)
        return sorted({int(np.abs(held - one).argmin()) for one in wanted})


def _require_ladder(ladder: object) -> None:
    """Refuse what is no sequence of pairs of whole numbers."""
    rungs = ladder if isinstance(ladder, list | tuple) else [ladder]
    for rung in rungs:
        if not isinstance(rung, list | tuple) or len(rung) != 2:
            msg = f"FrameRequests: ladder has {rung!r:.40}, give pairs of a number of frames and a side in pixels"
            raise ConfigError(msg)
        require_whole("FrameRequests: ladder", 1, frames=rung[0], side_pixels=rung[1])


def _keys(environment: FrameRequests, request: Request, clip: ClipFrames) -> list[tuple[object, ...]]:
    """What repeats ``request``, itself first: the same frames, or the same range and the one just within."""
    if isinstance(request, FrameLookUp):
        return [("time", request.seconds)]
    if isinstance(request, FrameRange):
        return [("range", request.first, request.last), ("range", request.first + 1, request.last - 1)]
    frames = None if request is None else environment.frames_of(request, clip.pts_seconds)
    return [] if frames is None else [("frames", *frames)]


def _wide_range(stretch: Interval, times: Sequence[float]) -> tuple[int, int] | None:
    """Frames [first, last] around a stretch, at least ``MIN_RANGE_FRAMES`` apart; None if that is the whole clip."""
    held = np.asarray(times)
    first, last = (int(np.abs(held - seconds).argmin()) for seconds in stretch)
    missing = max(0, MIN_RANGE_FRAMES - (last - first))
    first = max(0, min(first - missing // 2, len(times) - 1 - MIN_RANGE_FRAMES))
    last = max(last, first + MIN_RANGE_FRAMES)
    return None if last > len(times) - 1 or (first, last) == (0, len(times) - 1) else (first, last)


def clip_of(episode: Episode, environment: str) -> ClipFrames:
    """The clip of a prompt.

    Raises:
        ConfigError: If it has none, as one from disk.
    """
    if episode.clip is None:
        msg = (
            f"{environment} shows frames of clips, and prompt {episode.question.prompt_id!r:.80} has none: train from "
            "clips (data.root), not from finished prompts, with a data module that has clip_frames"
        )
        raise ConfigError(msg)
    return episode.clip


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"


def shrunk(image: Tensor, side_pixels: int) -> Tensor:
    """``image`` uint8 [3, H, W], its longest side at most ``side_pixels``, by averaging over areas."""
    longest = max(image.shape[-2:])
    if longest <= side_pixels:
        return image
    height, width = (max(1, round(side * side_pixels / longest)) for side in image.shape[-2:])
    small = interpolate(image[None].float(), size=(height, width), mode="area")[0]
    return small.round().to(torch.uint8)
