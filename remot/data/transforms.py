"""Decoded images as a prompt shows them: warped, turned into masks, or edited."""

from torch import Tensor

from remot.data.masks import draw_mask
from remot.data.warping import warp_picture
from remot.structures import Clip, MaskOf, PictureTransform, Warp


def show(picture: Tensor, transform: PictureTransform | None, clip: Clip, frame: int) -> Tensor:
    """What an image shows after its transform.

    Args:
        picture: uint8 [3, H, W], decoded.
        transform: What is done to it, None for nothing.
        clip: Where it comes from.
        frame: Its annotated frame.

    Returns:
        uint8 [3, H', W'].
    """
    if transform is None:
        return picture
    if isinstance(transform, Warp):
        return warp_picture(picture, transform)
    if isinstance(transform, MaskOf):
        return draw_mask(clip.objects[transform.subject], frame, picture)
    return transform(picture)
