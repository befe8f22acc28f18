"""Decoded images as a prompt shows them: warped, turned into masks, or edited."""

from collections.abc import Sequence

from torch import Tensor

from remot.data.media import read_frames
from remot.data.media.masks import draw_mask
from remot.data.media.warps import warp_image
from remot.structures import Clip, ImageTransform, MaskOf, Warp


def read_shown(
    clip: Clip, frame_indices: Sequence[int], transforms: Sequence[ImageTransform | None]
) -> tuple[list[Tensor], tuple[int, int]]:
    """Frames as they are shown, decoded in one go.

    Args:
        clip: Where they come from.
        frame_indices: Annotated frames, in the order shown.
        transforms: What is done to each, None for nothing.

    Returns:
        uint8 [3, H', W'] each, and width and height in pixels of the first frame before its transform.
    """
    decoded = read_frames(clip, frame_indices)
    shown = [
        show(image, transform, clip, frame)
        for image, transform, frame in zip(decoded, transforms, frame_indices, strict=True)
    ]
    return shown, (decoded[0].shape[2], decoded[0].shape[1])


def show(image: Tensor, transform: ImageTransform | None, clip: Clip, frame: int) -> Tensor:
    """What an image shows after its transform.

    Args:
        image: uint8 [3, H, W], decoded.
        transform: What is done to it, None for nothing.
        clip: Where it comes from.
        frame: Its annotated frame.

    Returns:
        uint8 [3, H', W'].
    """
    if transform is None:
        return image
    if isinstance(transform, Warp):
        return warp_image(image, transform)
    if isinstance(transform, MaskOf):
        return draw_mask(clip.objects[transform.subject], frame, image)
    return transform(image)
