"""What was done to pictures, measured on them: their light, what is added to them, and how fast detail fades."""

import math
from collections.abc import Iterator

import numpy as np

from remot.data.audit.tasks.prompt import AskedPrompt
from remot.data.tasks.quality import PictureQuality
from remot.structures import FloatArray

#: Share of the light below which pictures are dark, and strongly dark.
_DARK = (0.8, 0.38)
#: Standard deviation of what is added, in grey levels, above which pictures are noisy, and strongly noisy.
_NOISY = (8.0, 26.0)
#: Standard deviation of a blur as a share of the height above which pictures are blurred, and strongly blurred.
_BLURRED = (0.005, 0.021)


def check_quality(asked: AskedPrompt) -> Iterator[str]:
    """The word for what the first picture has, compared with its source."""
    task = asked.settings(PictureQuality)
    source, shown = (picture.numpy().astype(float) for picture in asked.first_picture())
    levels = {"dark": darkness(source, shown), "noise": noisiness(source, shown), "blur": blurriness(source, shown)}
    (words,) = [found for found in [asked.read(task.wordings.texts[task.ask])["choices"].split(", ")] if found]
    right = right_word(levels, task.ask)
    if sorted(words) != sorted(task.answers):
        yield f"the text offers {', '.join(words)}, which are not the answers"
    if asked.reference.answer != right:
        yield f"the pictures are said to be {asked.reference.answer!r:.40}, should be {right!r} by {levels}"


def right_word(levels: dict[str, int], ask: str) -> str:
    """The right answer.

    Args:
        levels: 0 for none, 1 for slight and 2 for strong, of ``dark``, ``noise`` and ``blur``.
        ask: One of these, or ``kind``.
    """
    if ask != "kind":
        return ("none", "slight", "strong")[levels[ask]]
    found = [name for name in ("dark", "noise", "blur") if levels[name]]
    return {"dark": "dark", "noise": "noisy", "blur": "blurred"}[found[0]] if found else "clean"


def darkness(source: FloatArray, shown: FloatArray) -> int:
    """0 to 2 by the share of light [3, H, W] that is left."""
    left = shown.mean() / max(source.mean(), 1e-9)
    return sum(left < limit for limit in _DARK)


def noisiness(source: FloatArray, shown: FloatArray) -> int:
    """0 to 2 by what changed from one pixel to the next, once less light is allowed for.

    Noise differs between neighbours; the difference of what two neighbours gained has the deviation of the noise times
    the root of 2. Pixels near black and white, where noise is cut off, are left out.
    """
    if darkness(source, shown):
        return 0
    gained = np.where((source > 60) & (source < 195), shown - source, np.nan)
    steps = gained[..., 1:] - gained[..., :-1]
    if np.isfinite(steps).sum() < 16:
        steps = np.diff(shown - source, axis=-1)
    return sum(math.sqrt(float(np.nanmean(steps**2)) / 2) > limit for limit in _NOISY)


def blurriness(source: FloatArray, shown: FloatArray) -> int:
    """0 to 2 by how fast detail fades with its fineness: a Gaussian of s takes exp(-2 (pi s f)²) of a frequency f."""
    if darkness(source, shown) or noisiness(source, shown):
        return 0
    window = np.hanning(source.shape[1])[:, None] * np.hanning(source.shape[2])
    spectra = [np.abs(np.fft.rfft2((one - one.mean((1, 2), keepdims=True)) * window)) for one in (source, shown)]
    frequency = np.hypot(np.fft.fftfreq(source.shape[1])[:, None], np.fft.rfftfreq(source.shape[2]))
    before, after = (np.sqrt((one**2).sum(0)) for one in spectra)
    told = (frequency > 0.02) & (frequency < 0.25) & (before > 0.02 * before.max()) & (after > 0.002 * before.max())
    if told.sum() < 4:
        return 0
    fading = -np.log(after[told] / before[told]) @ frequency[told] ** 2 / (frequency[told] ** 4).sum()
    deviation = math.sqrt(max(0.0, float(fading)) / 2) / math.pi / source.shape[1]
    return sum(deviation > limit for limit in _BLURRED)
