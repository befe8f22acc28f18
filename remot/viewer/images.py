"""Images as data URIs of bounded size."""

import base64
from io import BytesIO

import torch
from PIL import Image
from torch import Tensor

#: Bytes of all images of a prompt together, before base64 makes four thirds of them; and of one image.
MAX_PROMPT_BYTES, MAX_IMAGE_BYTES = 96_000, 24_000
#: Longest side in pixels of an embedded image.
MAX_SIDE = 384
#: Images up to this width are what a small policy saw: embedded without losses if they fit, scaled up in whole pixels.
LOSSLESS_WIDTH = 192


def as_image(image: Tensor, name: str = "an image") -> Image.Image:
    """An image uint8 [3, H, W] for drawing.

    Raises:
        ValueError: If it is no such tensor.
    """
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        msg = f"{name} is {image.dtype} of shape {tuple(image.shape)}, expected uint8 [3, H, W]"
        raise ValueError(msg)
    return Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())


def image_budget(num_images: int) -> int:
    """Bytes that each of a prompt's images may take."""
    return min(MAX_IMAGE_BYTES, MAX_PROMPT_BYTES // max(1, num_images))


def data_uri(image: Image.Image, max_bytes: int = MAX_IMAGE_BYTES, max_side: int = MAX_SIDE) -> str:
    """PNG for small images, else JPEG of at most ``max_bytes`` bytes, made worse and smaller until it fits."""
    if image.width <= LOSSLESS_WIDTH and image.height <= max_side:
        content = _encoded(image, "png")
        if len(content) <= max_bytes:
            return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    shown = image.convert("RGB")
    shown.thumbnail((max_side, max_side))
    content = _encoded(shown, "jpeg", quality=85)
    for quality in (75, 60, 45):
        content = _encoded(shown, "jpeg", quality=quality) if len(content) > max_bytes else content
    while len(content) > max_bytes and max(shown.size) > 16:
        shown = shown.resize((max(1, shown.width * 3 // 4), max(1, shown.height * 3 // 4)))
        content = _encoded(shown, "jpeg", quality=45)
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')}"


def _encoded(image: Image.Image, kind: str, **settings: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format=kind, optimize=True, **settings)
    return buffer.getvalue()
