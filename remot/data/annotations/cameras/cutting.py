"""Long clips cut into consecutive shorter ones, so that thinning of candidate frames keeps short-range pairs."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from remot.errors import AnnotationError
from remot.structures import (
    AgentTrack,
    CameraTrack,
    Clip,
    EffectorTrack,
    Event,
    FloatArray,
    LayoutBox,
    Media,
    ObjectTrack,
)

TrackT = TypeVar("TrackT", CameraTrack, EffectorTrack, ObjectTrack, AgentTrack, LayoutBox)
#: What tracks hold for each frame.
PER_FRAME = frozenset(
    {"camera_to_world", "positions", "opening", "visible", "boxes_xyxy", "depths_metres", "centres_metres"}
    | {"masks", "hidden", "positions_metres", "headings_degrees", "image_shares"}
)


def num_parts(num_frames: int, max_clip_frames: int | None) -> int:
    """How many parts of at most ``max_clip_frames`` frames a clip makes; None never cuts."""
    return 1 if max_clip_frames is None else max(1, math.ceil(num_frames / max_clip_frames))


def cut(clip: Clip, part: int, parts: int) -> Clip:
    """The ``part``-th of ``parts`` consecutive clips of nearly equal length.

    It is called ``<clip id>-0000`` and so on, keeps the scene, so that no two parts fall in different splits, and
    counts its time from its own first frame. Events are cut to its stretch of time; a folder of masks or images
    that belong to frames by their order cannot be cut.

    Args:
        clip: The long clip.
        part: From 0.
        parts: Number of parts; 1 returns ``clip`` itself.

    Raises:
        AnnotationError: If its images or masks are not named one by one.
    """
    if parts == 1:
        return clip
    edges = np.linspace(0, clip.num_frames, parts + 1).round().astype(int)
    chosen = slice(int(edges[part]), int(edges[part + 1]))
    times = clip.pts_seconds[chosen]
    is_video = clip.media is not None and not isinstance(clip.media, tuple)
    has_own_times = is_video or clip.media_pts_seconds is not None
    return replace(
        clip,
        clip_id=f"{clip.clip_id}-{part:04d}",
        media=_media(clip, chosen),
        pts_seconds=times - times[0],
        media_pts_seconds=clip.frame_times_in_media[chosen] if has_own_times else None,
        camera=None if clip.camera is None else _part(clip, clip.camera, chosen),
        effectors={name: _part(clip, track, chosen) for name, track in clip.effectors.items()},
        objects={name: _part(clip, track, chosen) for name, track in clip.objects.items()},
        agent=None if clip.agent is None else _part(clip, clip.agent, chosen),
        events=_events(clip.events, times),
        layout=tuple(_part(clip, box, chosen) for box in clip.layout),
    )


def _media(clip: Clip, chosen: slice) -> Media:
    if clip.media is None:
        return None
    if isinstance(clip.media, tuple):
        return clip.media[chosen]
    if isinstance(clip.media, Path) and not clip.media.is_dir():
        return clip.media  # a video, in which frames are found by their times
    msg = f"clip {clip.clip_id}: {clip.media} cannot be cut, only videos and images named one by one can"
    raise AnnotationError(msg, reason="media")


def _part(clip: Clip, track: TrackT, chosen: slice) -> TrackT:
    """A track with the ``chosen`` frames of everything it holds for each frame."""
    masks = getattr(track, "masks", None)
    if isinstance(masks, Path):
        msg = f"clip {clip.clip_id}: the masks in {masks} cannot be cut, only masks named one by one can"
        raise AnnotationError(msg, reason="media")
    held = {name: value for name, value in vars(track).items() if name in PER_FRAME and value is not None}
    return replace(track, **{name: value[chosen] for name, value in held.items()})


def _events(events: Sequence[Event], times: FloatArray) -> tuple[Event, ...]:
    """What happens between the first and the last of ``times``, counted from the first."""
    first, last = float(times[0]), float(times[-1])
    inside = [event for event in events if event.start_seconds < last and event.end_seconds > first]
    return tuple(
        replace(
            event,
            start_seconds=max(event.start_seconds, first) - first,
            end_seconds=min(event.end_seconds, last) - first,
        )
        for event in inside
    )
