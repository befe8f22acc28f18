"""Long clips cut into consecutive shorter ones, so that thinning of candidate frames keeps short-range pairs."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remot.errors import AnnotationError
from remot.structures import AgentTrack, CameraTrack, Clip, EffectorTrack, Event, FloatArray, Media, ObjectTrack


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
    return replace(
        clip,
        clip_id=f"{clip.clip_id}-{part:04d}",
        media=_media(clip, chosen),
        pts_seconds=times - times[0],
        media_pts_seconds=clip.frame_times_in_media[chosen] if is_video else _rows(clip.media_pts_seconds, chosen),
        camera=None if clip.camera is None else _camera(clip.camera, chosen),
        effectors={name: _effector(track, chosen) for name, track in clip.effectors.items()},
        objects={name: _object(clip, track, chosen) for name, track in clip.objects.items()},
        agent=None if clip.agent is None else _agent(clip.agent, chosen),
        events=_events(clip.events, times),
    )


def _rows(array: NDArray[np.float64] | None, chosen: slice) -> FloatArray | None:
    return None if array is None else array[chosen]


def _media(clip: Clip, chosen: slice) -> Media:
    if clip.media is None:
        return None
    if isinstance(clip.media, tuple):
        return clip.media[chosen]
    if isinstance(clip.media, Path) and not clip.media.is_dir():
        return clip.media  # a video, in which frames are found by their times
    msg = f"clip {clip.clip_id}: {clip.media} cannot be cut, only videos and images named one by one can"
    raise AnnotationError(msg, reason="media")


def _camera(track: CameraTrack, chosen: slice) -> CameraTrack:
    return replace(track, camera_to_world=track.camera_to_world[chosen])


def _effector(track: EffectorTrack, chosen: slice) -> EffectorTrack:
    visible = None if track.visible is None else track.visible[chosen]
    return replace(track, positions=track.positions[chosen], opening=_rows(track.opening, chosen), visible=visible)


def _object(clip: Clip, track: ObjectTrack, chosen: slice) -> ObjectTrack:
    if track.masks is not None and not isinstance(track.masks, tuple):
        msg = f"clip {clip.clip_id}: the masks in {track.masks} cannot be cut, only masks named one by one can"
        raise AnnotationError(msg, reason="media")
    masks = None if track.masks is None else track.masks[chosen]
    depths, centres = _rows(track.depths_metres, chosen), _rows(track.centres_metres, chosen)
    hidden = None if track.hidden is None else track.hidden[chosen]
    return replace(
        track,
        boxes_xyxy=track.boxes_xyxy[chosen],
        depths_metres=depths,
        centres_metres=centres,
        masks=masks,
        hidden=hidden,
    )


def _agent(track: AgentTrack, chosen: slice) -> AgentTrack:
    return AgentTrack(track.positions_metres[chosen], track.headings_degrees[chosen])


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
