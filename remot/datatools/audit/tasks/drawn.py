"""What is drawn in the images of a prompt, read from their pixels."""

import numpy as np

from remot.data.media import read_frames
from remot.data.media.transforms import show
from remot.data.tasks.shared.marks import COLOURS, line_pixels
from remot.datatools.audit.tasks.prompt import AskedPrompt
from remot.structures import FloatArray


def drawn_places(asked: AskedPrompt, shown: int) -> dict[str, FloatArray]:
    """Pixels [R, 2] that have a colour in a shown image and had another before, by colour: x and y of their middles."""
    (source,) = read_frames(asked.clip, asked.frames[shown : shown + 1])
    transform = asked.transforms[shown] if asked.transforms else None
    image = show(source, transform, asked.clip, asked.frames[shown]).numpy()
    changed = (image != source.numpy()).any(axis=0)
    found = {}
    for colour, levels in COLOURS.items():
        rows, columns = np.nonzero(changed & (image == np.array(levels)[:, None, None]).all(axis=0))
        if len(rows):
            found[colour] = np.column_stack([columns, rows]).astype(np.float64) + 0.5
    return found


def frame_around(places: FloatArray, outside: bool, height: int) -> FloatArray:  # noqa: FBT001
    """The box [4] that pixels [R, 2] of a frame or, if they lie ``outside`` of it, of an outline are drawn around."""
    inset = line_pixels(height) if outside else 0
    low, high = places.min(axis=0) - 0.5 + inset, places.max(axis=0) + 0.5 - inset
    return np.concatenate([low, high])
