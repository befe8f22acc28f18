"""Tiny images for hand-written annotations."""

import numpy as np
from PIL import Image


def write_images(folder, names, size=(64, 48)):
    """Grey images that tell their place: level 10 k in the k-th, from 0 again after 25."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        Image.fromarray(np.full((size[1], size[0]), 10 * (k % 25), dtype=np.uint8)).save(folder / name)


def levels(images):
    """Which images these are, by :func:`write_images`."""
    return [round(float(image.float().mean()) / 10) for image in images]
