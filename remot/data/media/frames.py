"""Images of annotated frames, whatever kind of media they are in."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from torch import Tensor

from remot.data.media.images import (
    images_of,
    read_image,
    size_of_image,
    to_tensor,
)
from remot.data.media.video.decoding import frames_at
from remot.data.media.video.probe import require_times, size_of_video
from remot.errors import DecodeError
from remot.structures import Clip, ImageStore


def read_frames(clip: Clip, frame_indices: Sequence[int]) -> list[Tensor]:
    """Images of annotated frames, in the order asked for, duplicates included.

    A video is opened once, whatever the number of frames.

    Args:
        clip: Where to look, see :data:`remot.structures.Media`.
        frame_indices: Indices into the clip's annotated frames, each in [0, N).

    Returns:
        uint8 tensors [3, H, W], RGB.

    Raises:
        DecodeError: If the media cannot be decoded or holds no image at one of the times.
    """
    if isinstance(clip.media, Path) and not clip.media.is_dir():
        _require_frames(clip, frame_indices)
        return read_video(clip.media, [float(clip.frame_times_in_media[index]) for index in frame_indices])
    return list(each_frame(clip, frame_indices))


def each_frame(clip: Clip, frame_indices: Sequence[int]) -> Iterator[Tensor]:
    """As :func:`read_frames`, one after another, so that one image is in memory at a time; a video is opened once.

    Args:
        clip: Where to look.
        frame_indices: Those of a video have to increase.

    Yields:
        uint8 tensors [3, H, W], RGB.

    Raises:
        DecodeError: As of :func:`read_frames`.
    """
    _require_frames(clip, frame_indices)
    media = clip.media
    if media is None:
        msg = f"clip {clip.clip_id} is annotated without images, so none can be shown; give the folder that has them"
        raise DecodeError(msg)
    if isinstance(media, ImageStore):
        yield from media.each(frame_indices)
    elif isinstance(media, Path) and not media.is_dir():
        to_rgb = VideoReformatter()  # one for all images, since setting it up takes longer than using it
        for _, frame in frames_at(media, [float(clip.frame_times_in_media[index]) for index in frame_indices]):
            yield _rgb(to_rgb, frame)
    else:
        images = images_of(media, max(frame_indices, default=-1) + 1) if isinstance(media, Path) else media
        yield from (read_image(images[index]) for index in frame_indices)


def _require_frames(clip: Clip, frame_indices: Sequence[int]) -> None:
    for index in frame_indices:
        if not 0 <= index < clip.num_frames:
            msg = (
                f"{clip.media}: clip {clip.clip_id} has frames 0 to {clip.num_frames - 1}, frame {index} was asked for"
            )
            raise DecodeError(msg)


def media_files(clip: Clip, frame_indices: Sequence[int]) -> list[Path]:
    """The files that hold annotated frames; none for stores that do not name theirs."""
    media = clip.media
    if isinstance(media, ImageStore):
        file = getattr(media, "file", None)
        return [file] if isinstance(file, Path) else []
    if isinstance(media, Path) and not media.is_dir():
        return [media]
    if isinstance(media, Path):
        media = tuple(images_of(media, max(frame_indices, default=-1) + 1))
    return [media[index] for index in frame_indices] if media else []


def read_video(media: Path, times: Sequence[float]) -> list[Tensor]:
    """Images uint8 [3, H, W] of a video at ``times`` in seconds from its first frame, in the order asked for.

    Raises:
        DecodeError: If the video cannot be decoded or shows nothing at one of the times.
    """
    to_rgb = VideoReformatter()
    pictures = {time: _rgb(to_rgb, frame) for time, frame in frames_at(media, sorted(set(times)))}
    return [pictures[time] for time in times]


def _rgb(to_rgb: VideoReformatter, frame: VideoFrame) -> Tensor:
    return to_tensor(np.asarray(to_rgb.reformat(frame, format="rgb24").to_ndarray(), dtype=np.uint8))


def image_size(clip: Clip, frame: int = 0) -> tuple[int, int]:
    """Width and height of an annotated frame's image as it is stored, where possible without decoding it.

    Raises:
        DecodeError: If the image cannot be read, or its size cannot be used.
    """
    media = clip.media
    if isinstance(media, Path) and not media.is_dir():
        return size_of_video(media)
    if isinstance(media, ImageStore) or media is None:
        height, width = read_frames(clip, [frame])[0].shape[-2:]
        return width, height
    return size_of_image(media[frame] if isinstance(media, tuple) else images_of(media, frame + 1)[frame])


def check_media(clip: Clip, *, decode: bool = True) -> None:
    """Verify that a clip's media can deliver every annotated frame; a clip without media is left alone.

    Args:
        clip: The clip to check.
        decode: Decode every image; False only compares the times that a video lists, and reads the header of each
            image file.

    Raises:
        DecodeError: Naming the file and what it lacks.
    """
    media, times = clip.media, clip.frame_times_in_media
    if media is None:
        return
    if isinstance(media, Path) and not media.is_dir():
        if decode:
            for _ in frames_at(media, sorted(set(times.tolist()))):
                pass
        require_times(media, times)
    elif decode:
        for _ in each_frame(clip, range(clip.num_frames)):
            pass
    elif isinstance(media, ImageStore):
        media.check(clip.num_frames)
        image_size(clip)  # the size of the first one can be used
    else:
        images = images_of(media, clip.num_frames) if isinstance(media, Path) else media
        if missing := next((image for image in images if not image.is_file()), None):
            msg = f"{missing}: the image is missing"
            raise DecodeError(msg)
        for image in images[: clip.num_frames]:
            size_of_image(image)
