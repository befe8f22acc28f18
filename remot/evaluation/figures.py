"""Images and videos as figures of a page, embedded so that nothing has to be loaded."""

import base64
from io import BytesIO

import torch
from torch import Tensor

from remot.structures import Video

#: Widths in pixels that images, and frames of videos, are shown at.
SHOWN_WIDTH, FRAME_WIDTH = 256, 128
#: Frames shown of a video; of more, so many that lie evenly.
MAX_SHOWN_FRAMES = 16
#: Wider originals are embedded with losses; small ones are what the policy saw, pixel by pixel.
_JPEG_ABOVE = 192


def image_figure(image: Tensor, caption: str, width: int = SHOWN_WIDTH) -> str:
    """A figure: small images are scaled up in whole pixels, large ones are shrunk before they are embedded.

    Args:
        image: uint8 [3, H, W].
        caption: What to call it; plain words of ours, not escaped.
        width: Largest width in pixels.

    Raises:
        ValueError: If ``image`` is no such tensor.
    """
    from PIL import Image

    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        msg = f"{caption} is {image.dtype} of shape {tuple(image.shape)}, expected uint8 [3, H, W]"
        raise ValueError(msg)
    picture = Image.fromarray(image.permute(1, 2, 0).cpu().numpy())
    scale = max(1, width // picture.width)
    shown_as = ' class="pixelated"' if scale > 1 else ""
    if picture.width > width:
        picture.thumbnail((width, width * 4))
    kind = "jpeg" if image.shape[-1] > _JPEG_ABOVE else "png"
    buffer = BytesIO()
    picture.save(buffer, format=kind, quality=90)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<figure><img{shown_as} width="{picture.width * scale}" height="{picture.height * scale}" alt="{caption}" '
        f'src="data:image/{kind};base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def video_strip(video: Video, number: int) -> str:
    """The frames of a video in a row, each with its time.

    Args:
        video: What the policy was shown.
        number: Which video of the prompt, counted from 1.
    """
    count = min(len(video), MAX_SHOWN_FRAMES)
    chosen = [round(k * (len(video) - 1) / max(1, count - 1)) for k in range(count)]
    frames = "".join(image_figure(video.frames[k], f"{video.pts_seconds[k]:.2f} s", width=FRAME_WIDTH) for k in chosen)
    left_out = f", {count} of them shown" if count < len(video) else ""
    return f"<div><p>video {number}: {len(video)} frames{left_out}</p>{frames}</div>"
