"""What the recorders share: recordings, boxes from label images, and poses of cameras that look somewhere."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.native.masks import write_masks
from remot.data.annotations.native.writer import write_clip
from remot.errors import ConfigError
from remot.structures import Clip, FloatArray

#: An object with fewer visible pixels counts as not visible.
MIN_PIXELS = 30


@dataclass(frozen=True, eq=False)
class Recording:
    """A clip and its images, before they are written.

    Args:
        clip: Annotations; its media, and the masks of its objects, do not exist yet.
        frames: [N, H, W, 3] RGB.
        fps: Images per second of the video.
        labels: [N, H, W] in each pixel the ``mask_value`` of its object, 0 for none; None without masks.
    """

    clip: Clip
    frames: NDArray[np.uint8]
    fps: float
    labels: NDArray[np.uint8] | None = None


def write_recording(recording: Recording, out: Path, *, source: str, licence: str) -> Path:
    """Write a recording in the native format, its masks as ``<clip id>-masks``.

    Returns:
        The JSON file.
    """
    out.mkdir(parents=True, exist_ok=True)
    clip = recording.clip
    if recording.labels is not None and clip.objects:
        folder = write_masks(recording.labels, out / f"{clip.clip_id}-masks")
        clip = replace(clip, objects={name: replace(track, masks=folder) for name, track in clip.objects.items()})
    return write_clip(clip, recording.frames, out, fps=recording.fps, source=source, licence=licence)


def write_recordings(recordings: Iterable[Recording], out: Path, *, source: str, licence: str) -> Iterator[Path]:
    """Write recordings one by one in a process that draws nothing.

    On a processor with AVX-512, x264 was seen to give other bytes for the same images after software rendering
    (Mesa's llvmpipe) had run in its process, and never with ``mbtree=0`` or ``asm=avx2``: its look-ahead along motion
    is at fault. A process that draws nothing nearly always writes the same video for the same images. Annotations
    and masks are the same for the same seed in any case.

    Yields:
        The JSON files.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as writer:
        for recording in recordings:
            yield writer.submit(write_recording, recording, out, source=source, licence=licence).result()


@contextmanager
def required(what: str, install: str) -> Iterator[None]:
    """Turns a failed import into a sentence that says what to install.

    Raises:
        ConfigError: If an import in the block fails.
    """
    try:
        yield
    except ImportError as error:
        msg = f"{what} needs a package that is missing ({error}): {install}"
        raise ConfigError(msg) from error


def label_boxes(labels: NDArray[np.uint8], value: int) -> FloatArray:
    """Boxes [N, 4] around the pixels of ``value`` in label images [N, H, W], NaN where too few are seen.

    Left and top are the first pixel's outer edges, right and bottom the last one's.
    """
    boxes = np.full((len(labels), 4), np.nan)
    for index, image in enumerate(labels):
        rows, columns = np.nonzero(image == value)
        if len(rows) >= MIN_PIXELS:
            boxes[index] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return boxes


def looking(position: FloatArray, forward: FloatArray) -> FloatArray:
    """Camera-to-world transform [4, 4], OpenCV axes, of an upright camera in a world with z up.

    Args:
        position: [3] metres.
        forward: [3] direction of the optical axis, not straight up or down.
    """
    ahead = forward / np.linalg.norm(forward)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right = right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, np.cross(ahead, right), ahead, position
    return pose


def pinhole(width: int, height: int, vertical_fov_degrees: float) -> FloatArray:
    """Pinhole matrix [3, 3] of images with square pixels."""
    focal = height / 2 / np.tan(np.radians(vertical_fov_degrees) / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
