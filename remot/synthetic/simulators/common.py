"""What the recorders share: recordings, boxes from label images, and poses of cameras that look somewhere."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from remot.data.annotations.native.masks import write_masks
from remot.data.annotations.native.writer import write_clip
from remot.errors import ConfigError
from remot.structures import AgentTrack, Clip, EffectorTrack, FloatArray, ObjectTrack

_Track = TypeVar("_Track", EffectorTrack, ObjectTrack)

#: An object with fewer visible pixels counts as not visible.
MIN_PIXELS = 30
#: Quality of reduced recordings.
SMALL_CRF = 30


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


def reduced(recording: Recording, num_frames: int = 30, width: int = 128) -> Recording:
    """Every second frame of a recording, smaller and without masks, with the domain of remot-bench's recorded clips.

    Args:
        recording: With images of one size.
        num_frames: Frames kept at most.
        width: Width in pixels; the height follows.
    """
    clip, kept = recording.clip, slice(0, 2 * num_frames, 2)
    scale = width / recording.frames.shape[2]
    size = (width, round(recording.frames.shape[1] * scale))
    frames = [Image.fromarray(image).resize(size, Image.Resampling.BOX) for image in recording.frames[kept]]
    camera, agent = clip.camera, clip.agent
    if camera is not None:
        zoom = np.diag([scale, scale, 1.0])
        intrinsics = None if camera.intrinsics is None else zoom @ camera.intrinsics
        camera = replace(camera, camera_to_world=camera.camera_to_world[kept], intrinsics=intrinsics)
    if agent is not None:
        agent = AgentTrack(agent.positions_metres[kept], agent.headings_degrees[kept])
    times = clip.pts_seconds[kept]
    objects = {name: _reduced_object(track, kept, scale) for name, track in clip.objects.items()}
    clip = replace(
        clip,
        domain="simulation",
        pts_seconds=times - times[0],
        camera=camera,
        agent=agent,
        effectors={name: _cut(track, kept) for name, track in clip.effectors.items()},
        objects={name: track for name, track in objects.items() if np.isfinite(track.boxes_xyxy).any()},
        layout=(),
        room_area_square_metres=None,
        complete_kinds=None,
    )
    return Recording(clip, np.stack([np.asarray(image) for image in frames]), recording.fps / 2)


def _reduced_object(track: ObjectTrack, kept: slice, scale: float) -> ObjectTrack:
    cut = _cut(track, kept)
    return replace(cut, boxes_xyxy=cut.boxes_xyxy * scale, masks=None)


def _cut(track: _Track, kept: slice) -> _Track:
    """A track whose arrays over frames are cut to those kept."""
    names = ("positions", "opening", "visible", "boxes_xyxy", "depths_metres", "centres_metres", "hidden")
    held = {name: value for name in names if isinstance(value := getattr(track, name, None), np.ndarray)}
    changes: dict[str, Any] = {name: value[kept] for name, value in held.items()}
    return replace(track, **changes)


def write_recording(recording: Recording, out: Path, *, source: str, licence: str, crf: int = 23) -> Path:
    """Write a recording in the native format, its masks as ``<clip id>-masks``.

    Returns:
        The JSON file.
    """
    out.mkdir(parents=True, exist_ok=True)
    clip = recording.clip
    if recording.labels is not None and clip.objects:
        folder = write_masks(recording.labels, out / f"{clip.clip_id}-masks")
        clip = replace(clip, objects={name: replace(track, masks=folder) for name, track in clip.objects.items()})
    return write_clip(clip, recording.frames, out, fps=recording.fps, source=source, licence=licence, crf=crf)


def write_recordings(
    recordings: Iterable[Recording], out: Path, *, source: str, licence: str, crf: int = 23
) -> Iterator[Path]:
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
            yield writer.submit(write_recording, recording, out, source=source, licence=licence, crf=crf).result()


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
