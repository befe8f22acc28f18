"""What fits its media only by chance: boxes outside the image are refused, turned media and gaps are reported."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remot.data.media import image_size, turn_degrees
from remot.data.media.images import images_of, is_turned
from remot.errors import AnnotationError
from remot.files import gap_in_numbers
from remot.structures import Clip, FloatArray


def check_boxes(clip: Clip) -> None:
    """Verify that every box touches its image.

    A box wholly outside belongs to another size or to the image as a viewer turns it.

    Raises:
        AnnotationError: Naming the clip, the object and the frame of the first that does not.
        DecodeError: If the size of an image cannot be read.
    """
    if clip.media is None or not clip.objects:
        return
    size = image_size(clip)
    for name, track in clip.objects.items():
        for frame in np.flatnonzero(_outside(track.boxes_xyxy, size)).tolist():
            own = image_size(clip, frame)  # images of a clip may differ in size
            if _outside(track.boxes_xyxy[[frame]], own)[0]:
                box = ", ".join(f"{edge:g}" for edge in track.boxes_xyxy[frame])
                turned = _turn(clip)
                msg = (
                    f"clip {clip.clip_id}, object {name}, frame {frame}: the box [{box}] lies outside the image of "
                    f"{own[0]} x {own[1]} pixels; {turned or 'boxes are in pixels of the image as it is stored'}"
                )
                raise AnnotationError(msg, reason="outside image")


def _outside(boxes_xyxy: FloatArray, size: tuple[int, int]) -> NDArray[np.bool_]:
    """[N] True where a box [N, 4] and the image share no pixel; False where the object is not visible (NaN)."""
    left, top, right, bottom = boxes_xyxy.T
    return np.asarray((right <= 0) | (bottom <= 0) | (left >= size[0]) | (top >= size[1]))


def notes_on_media(clip: Clip) -> tuple[str, ...]:
    """What to report about a clip's media, a sentence each: that viewers turn it, or that its numbers have gaps."""
    notes = [_turn(clip)]
    if isinstance(clip.media, Path) and clip.media.is_dir():
        gap = gap_in_numbers([image.name for image in images_of(clip.media, clip.num_frames)])
        frames = f"the numbers of the images in {clip.media.name} skip some ({gap}); frame k is the k-th that exists"
        notes.append(frames if gap else "")
    return tuple(note for note in notes if note)


def _turn(clip: Clip) -> str:
    media = clip.media
    if isinstance(media, Path) and not media.is_dir():
        degrees = turn_degrees(media)
        how = f"{media.name} asks viewers to turn it by {degrees} degrees" if degrees else ""
    else:
        images = media if isinstance(media, tuple) else ()
        if isinstance(media, Path):
            images = tuple(images_of(media, clip.num_frames)[: clip.num_frames])
        turned = [image.name for image in images if is_turned(image)]
        how = f"{len(turned)} images ask viewers to turn them, the first is {turned[0]}" if turned else ""
    if not how:
        return ""
    width, height = image_size(clip)
    return f"{how}; images are read as stored ({width} x {height}), and boxes must be in pixels of these"
