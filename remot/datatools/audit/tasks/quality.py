"""What was done to images, measured on them: their light, what is added, and which blur fits."""

import math
from collections.abc import Iterator

import numpy as np

from remot.data.media import read_frames
from remot.data.media.transforms import show
from remot.data.tasks.images.quality import ImageQuality
from remot.datatools.audit.tasks.prompt import AskedPrompt
from remot.structures import FloatArray

#: Share of the light below which images are dark, and strongly dark.
_DARK = (0.8, 0.38)
#: Standard deviation of what is added, in grey levels, above which images are noisy, and strongly noisy.
_NOISY = (8.0, 26.0)
#: Standard deviation of a blur as a share of the height above which images are blurred, and strongly blurred.
_BLURRED = (0.005, 0.021)
#: Blurs that are tried, as shares of the height.
_BLURS = (0.0, 0.008, 0.012, 0.017, 0.026, 0.035, 0.046)


def check_quality(asked: AskedPrompt) -> Iterator[str]:
    """The word for what the first image has, compared with its source."""
    task = asked.settings(ImageQuality)
    (image,) = read_frames(asked.clip, asked.frames[:1])
    transformed = show(image, asked.transforms[0] if asked.transforms else None, asked.clip, asked.frames[0])
    source, shown = (one.numpy().astype(float) for one in (image, transformed))
    levels = {"dark": darkness(source, shown), "noise": noisiness(source, shown), "blur": blurriness(source, shown)}
    words = asked.read(task.wordings.texts[task.ask])["choices"].split(", ")
    if task.ask == "kind":
        found = [name for name in ("dark", "noise", "blur") if levels[name]]
        right = {"dark": "dark", "noise": "noisy", "blur": "blurred"}[found[0]] if found else "clean"
    else:
        right = ("none", "slight", "strong")[levels[task.ask]]
    if sorted(words) != sorted(task.answers):
        yield f"the text offers {', '.join(words)}, which are not the answers"
    if asked.reference.answer != right:
        yield f"the images are said to be {asked.reference.answer!r:.40}, should be {right!r} by {levels}"


def darkness(source: FloatArray, shown: FloatArray) -> int:
    """0 to 2 by the share of light [3, H, W] that is left."""
    left = shown.mean() / max(source.mean(), 1e-9)
    return sum(bool(left < limit) for limit in _DARK)


def noisiness(source: FloatArray, shown: FloatArray) -> int:
    """0 to 2 by how much more neighbouring pixels differ than they did, where the images are not dark.

    Noise adds twice its variance to the square of the step from one pixel to the next, and a blur takes from it. Pixels
    near black and white, where noise is cut off, are left out if there are others.
    """
    if darkness(source, shown):
        return 0
    grey = (source > 60) & (source < 195)
    both = grey[..., 1:] & grey[..., :-1]
    steps = [np.diff(one, axis=-1)[both if both.sum() > 64 else ...] for one in (source, shown)]
    before, after = (float((one**2).mean()) for one in steps)
    return sum(math.sqrt(max(0.0, after - before) / 2) > limit for limit in _NOISY)


def blurriness(source: FloatArray, shown: FloatArray) -> int:
    """0 to 2 by the Gaussian that makes most nearly the shown image of the source, where nothing else was done."""
    if darkness(source, shown) or noisiness(source, shown):
        return 0
    copies = []  # grey, by the means of blocks, at most 160 high
    for image in (source, shown):
        step = -(-image.shape[1] // 160)
        height, width = (side // step for side in image.shape[1:])
        blocks = image[:, : height * step, : width * step].reshape(3, height, step, width, step)
        copies.append(blocks.mean((0, 2, 4)))
    small, wanted = copies
    mirrored = np.concatenate([small, small[::-1]], axis=0)
    mirrored = np.concatenate([mirrored, mirrored[:, ::-1]], axis=1)
    spectrum = np.fft.rfft2(mirrored)
    frequency = np.hypot(np.fft.fftfreq(mirrored.shape[0])[:, None], np.fft.rfftfreq(mirrored.shape[1]))
    misfit = {}
    for share in _BLURS:  # a Gaussian of s keeps exp(-2 (pi s f)²) of a frequency f
        kept = np.exp(-2 * (math.pi * share * len(small) * frequency) ** 2)
        blurred = np.fft.irfft2(spectrum * kept, s=mirrored.shape)[: len(small), : small.shape[1]]
        misfit[share] = float(np.abs(blurred - wanted).mean())
    return sum(min(misfit, key=lambda share: misfit[share]) > limit for limit in _BLURRED)
