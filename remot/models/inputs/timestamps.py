"""How a video's own times reach a processor that counts in frames a second.

Processors compute times as index / fps. With fps = 1 an index *is* a time in seconds, so the frames' presentation times
are handed over as indices, whatever their spacing, and nothing is rounded before the model's own code does it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.structures import Video


def whole_patches(video: Video, temporal_patch: int) -> tuple[Tensor, tuple[float, ...]]:
    """Frames uint8 [T, 3, H, W] and T times, the last one repeated if there are fewer than one patch takes.

    Processors repeat the last frame themselves to fill the last patch, but some refuse less than a whole patch.
    """
    missing = max(0, temporal_patch - len(video))
    if not missing:
        return video.frames, video.pts_seconds
    frames = video.frames[[*range(len(video)), *[-1] * missing]]
    return frames, (*video.pts_seconds, *[video.pts_seconds[-1]] * missing)


def video_metadata(pts_seconds: tuple[float, ...]) -> dict[str, Any]:
    """Video metadata for a transformers processor, on a clock of one frame a second.

    ``total_num_frames`` is the time that the frames stand for, so that ``sampled_fps``, from which Qwen2.5-VL takes the
    spacing of its rotary positions, is one over the mean spacing. A video without a spacing gets one second: it has
    one patch in time, which lies at the beginning whatever the spacing is.
    """
    span = pts_seconds[-1] - pts_seconds[0]
    spacing = span / (len(pts_seconds) - 1) if span > 0 else 1.0
    # A list of its own: Qwen3-VL's processor lengthens it in place.
    return {"fps": 1.0, "total_num_frames": spacing * len(pts_seconds), "frames_indices": list(pts_seconds)}


def require_times(positions: Tensor, grid_thw: Tensor, spatial_merge_size: int, intervals: Sequence[float]) -> None:
    """Refuse rotary positions in which a video takes another time than its frames.

    Older releases of transformers cut the seconds of a patch down to a whole number (huggingface/transformers#48669),
    so that all frames of a video of four a second lie at one time.

    Args:
        positions: Positions in time of all video tokens, video after video.
        grid_thw: [videos, 3] patches in time, height and width.
        spatial_merge_size: Side of a visual token in patches.
        intervals: Positions from one patch in time to the next, for each video.

    Raises:
        ConfigError: If the last patch is more than one position off.
    """
    sizes = (grid_thw.prod(-1) // spatial_merge_size**2).tolist()
    times = torch.split(positions, sizes)
    for found, (patches, _, _), interval in zip(times, grid_thw.tolist(), intervals, strict=True):
        wanted = (patches - 1) * interval
        if abs(int(found[-1] - found[0]) - wanted) > 1:
            msg = (
                f"a video takes {wanted:.1f} positions in time and gets {int(found[-1] - found[0])}: this release of "
                "transformers rounds the spacing of frames; install a newer one, or show frames whole seconds apart"
            )
            raise ConfigError(msg)
