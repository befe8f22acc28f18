"""How a video's own times reach a processor that counts in frames a second.

Processors compute times as index / fps. With fps = 1 an index *is* a time in seconds, so the frames' presentation times
are handed over as indices, whatever their spacing, and nothing is rounded before the model's own code does it.
"""

from typing import Any

from torch import Tensor

from remot.structures import Video


def whole_patches(video: Video, temporal_patch: int) -> tuple[Tensor, tuple[float, ...]]:
    """Frames uint8 [T, 3, H, W] and T times, the last one repeated if there are fewer than one patch takes.

    Processors repeat the last frame themselves to fill the last patch, but some refuse less than a whole patch.

    Args:
        video: What is shown.
        temporal_patch: Frames of one patch.
    """
    missing = max(0, temporal_patch - len(video))
    if not missing:
        return video.frames, video.pts_seconds
    frames = video.frames[[*range(len(video)), *[-1] * missing]]
    return frames, (*video.pts_seconds, *[video.pts_seconds[-1]] * missing)


def video_metadata(pts_seconds: tuple[float, ...]) -> dict[str, Any]:
    """What a processor of transformers is told of a video, on a clock of one frame a second.

    ``total_num_frames`` is the time that the frames stand for, so that ``sampled_fps``, from which Qwen2.5-VL takes the
    spacing of its rotary positions, is one over the mean spacing. A video without a spacing gets one second: it has
    one patch in time, which lies at the beginning whatever the spacing is.

    Args:
        pts_seconds: Presentation times.
    """
    span = pts_seconds[-1] - pts_seconds[0]
    spacing = span / (len(pts_seconds) - 1) if span > 0 else 1.0
    # A list of its own: Qwen3-VL's processor lengthens it in place.
    return {"fps": 1.0, "total_num_frames": spacing * len(pts_seconds), "frames_indices": list(pts_seconds)}
