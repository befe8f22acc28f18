"""Synthetic clips for tasks: events with times, tracks, layouts and camera paths, exact by construction."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.native.writer import write_clip
from remot.seeding import numpy_generator
from remot.structures import Clip
from remot.synthetic.rendering import happenings, rooms

Renderer = Callable[[np.random.Generator, str], tuple[Clip, NDArray[np.uint8]]]

#: The kinds of clips, with their images per second. A collection holds each in turn.
TASK_KINDS: dict[str, tuple[Renderer, int]] = {
    "happenings": (happenings.render_happenings, happenings.FPS),
    "rooms": (rooms.render_room, rooms.FPS),
    "floors": (rooms.render_floor, rooms.FPS),
}
SOURCE, LICENCE = "remot synthetic renderer", "Apache-2.0"
CRF = 28


def render_task_clip(seed: int, index: int) -> tuple[Clip, NDArray[np.uint8], int]:
    """One clip of a collection; the same arguments always give the same clip.

    Returns:
        The clip, whose media does not exist yet, its images [N, H, W, 3], and how many there are in a second.
    """
    kind = list(TASK_KINDS)[index % len(TASK_KINDS)]
    renderer, fps = TASK_KINDS[kind]
    return *renderer(numpy_generator(seed, "render", kind, index), f"{kind}-{seed}-{index}"), fps


def render_task_clips(
    folder: Path, num_clips: int, seed: int, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Render clips 0 to ``num_clips`` - 1 of a collection into ``folder``, created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(num_clips):
        clip, frames, fps = render_task_clip(seed, index)
        write_clip(clip, frames, folder, fps=fps, source=SOURCE, licence=LICENCE, crf=CRF)
        progress(index + 1)
