"""The pictures of a triplet as they are shown: decoded once, then seen through windows or turned into masks."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from remot.data.masks import draw_mask
from remot.data.video import read_frames
from remot.data.warping import warp_picture
from remot.structures import Clip, MaskOf, PictureTransform, Triplet, Warp


@dataclass(frozen=True, eq=False)
class ShownPictures:
    """Pictures of a prompt.

    Args:
        shown: uint8 [3, H, W] each.
        decoded_size: Width and height of the clip's own pictures in pixels.
    """

    shown: Sequence[Tensor]
    decoded_size: tuple[int, int]


def read_pictures(triplet: Triplet, num_pictures: int = 3) -> ShownPictures:
    """Decode the frames of a triplet in one go and do to them what it says.

    Raises:
        DecodeError: If one cannot be decoded.
    """
    decoded = read_frames(triplet.clip, triplet.frame_indices[:num_pictures])
    shown = [
        show(picture, transform, triplet.clip, frame)
        for picture, transform, frame in zip(decoded, triplet.transforms, triplet.frame_indices, strict=False)
    ]
    return ShownPictures(shown, (decoded[0].shape[2], decoded[0].shape[1]))


def show(picture: Tensor, transform: PictureTransform | None, clip: Clip, frame: int) -> Tensor:
    """What a picture shows after its transform.

    Args:
        picture: uint8 [3, H, W], decoded.
        transform: What is done to it, None for nothing.
        clip: Where it comes from.
        frame: Its annotated frame.
    """
    if isinstance(transform, Warp):
        return warp_picture(picture, transform)
    if isinstance(transform, MaskOf):
        return draw_mask(clip.objects[transform.subject], frame, picture)
    return picture
