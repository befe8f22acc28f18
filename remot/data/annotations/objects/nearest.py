"""How a question can point at one of several people or cars: by being the nearest, or the leftmost or rightmost.

A track number means nothing to a viewer, and a place such as "at the far left" changes from image to image. What a
viewer can see in every single image is which person stands out as the nearest. So a track is asked about in those
images only in which it clearly does, and is called "nearest person" there, or "person" if no other is annotated.
The images need not follow each other: in each of them the name means the same track. Where nothing is the nearest in
enough images, the leftmost and the rightmost are found likewise.

Annotators stop a track before the person has entirely left the image or disappeared behind another. So such a person
counts as visible for a while after the last box, and for a while before the first: for longer at the border of the
image, where people stand half in it for seconds before their annotation begins.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remot.errors import AnnotationError
from remot.structures import FloatArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Appearances:
    """Every annotated appearance of what a viewer calls by one noun, those that are never asked about included.

    Args:
        where: File, for errors.
        frames: [R] image numbers.
        tracks: [R] track numbers.
        nearness: [R] larger is nearer, positive; twice as near is twice as large.
        lowest: [R] largest where it stands lowest in the image, or zeros if that does not matter.
        askable: [R] whether this appearance is seen well enough to be asked about.
    """

    where: str
    frames: IntArray
    tracks: IntArray
    nearness: FloatArray
    lowest: FloatArray
    askable: NDArray[np.bool_]

    def __post_init__(self) -> None:
        order = np.lexsort((self.tracks, self.frames))
        frames, tracks = self.frames[order], self.tracks[order]
        same = (np.diff(frames) == 0) & (np.diff(tracks) == 0)
        if same.any():
            k = int(np.flatnonzero(same)[0])
            msg = f"{self.where}: track {tracks[k]} has two boxes in frame {frames[k]}, keep one of them"
            raise AnnotationError(msg, reason="duplicate id")


@dataclass(frozen=True, eq=False)
class NearestTrack:
    """One track and the images in which it is the nearest.

    Args:
        track: Its number.
        rows: [K] rows of the sightings, in the order of their images.
        is_alone: True if nothing else of its kind is annotated in any of these images.
        word: What it is among its kind: ``nearest``, ``leftmost`` or ``rightmost``.
    """

    track: int
    rows: IntArray
    is_alone: bool
    word: str = "nearest"

    def name(self, noun: str) -> str:
        """What questions call it, such as ``nearest person``."""
        return noun if self.is_alone else f"{self.word} {noun}"


def near_border(boxes_xyxy: FloatArray, size: FloatArray) -> NDArray[np.bool_]:
    """[R] whether a box [R, 4] is so near to the border of the image that its track may come from outside of it.

    It is if less than its own width lies between it and the left or right border, or less than a quarter of its height
    between it and the lower one.

    Args:
        boxes_xyxy: [R, 4] pixels.
        size: [2] width and height of the image in pixels.
    """
    left, _, right, bottom = boxes_xyxy.T
    aside = np.minimum(left, size[0] - right) < right - left
    below = size[1] - bottom < (bottom - boxes_xyxy[:, 1]) / 4
    return np.asarray(aside | below)


def sideways_nearness(boxes_xyxy: FloatArray, side: int) -> FloatArray:
    """[R] "nearness" by which the leftmost (side -1) or rightmost (1) box [R, 4] is found with a ratio of 2.

    It is twice as large for each typical width of a box (nine in ten are narrower) that the middle lies further aside.
    """
    if not len(boxes_xyxy):
        return np.zeros(0)
    middles = (boxes_xyxy[:, 0] + boxes_xyxy[:, 2]) / 2
    width = max(float(np.quantile(boxes_xyxy[:, 2] - boxes_xyxy[:, 0], 0.9)), 1.0)
    nearness: FloatArray = np.exp2(side * (middles - middles.mean()) / width)
    return nearness


def nearest_tracks(
    sightings: Appearances,
    min_ratio: float,
    num_lingering: int | IntArray,
    min_frames: int = 3,
    word: str = "nearest",
) -> list[NearestTrack]:
    """The tracks that are clearly the nearest in at least ``min_frames`` images, by track number.

    Args:
        sightings: All appearances of one kind of thing.
        min_ratio: How many times as near as the next one it must be.
        num_lingering: For how many images before its first and after its last box of a stretch a track still counts
            as being there, with that box; one number, or one for each sighting [R].
        min_frames: Fewest images worth a clip.
        word: What the largest nearness means: ``nearest``, ``leftmost`` or ``rightmost``.
    """
    found: dict[int, list[tuple[int, bool]]] = {}
    lingering = np.broadcast_to(np.asarray(num_lingering, dtype=np.int64), sightings.frames.shape)
    for row, is_alone in _nearest_rows(_with_lingering(sightings, lingering), min_ratio):
        found.setdefault(int(sightings.tracks[row]), []).append((row, is_alone))
    return [
        NearestTrack(track, np.array([row for row, _ in rows], dtype=np.int64), all(alone for _, alone in rows), word)
        for track, rows in sorted(found.items())
        if len(rows) >= min_frames
    ]


def _with_lingering(sightings: Appearances, num_lingering: IntArray) -> Appearances:
    """The sightings, and after them copies that are never asked about, in images next to those of a track."""
    placed = {
        pair: row for row, pair in enumerate(zip(sightings.tracks.tolist(), sightings.frames.tolist(), strict=True))
    }
    ghosts: dict[tuple[int, int], int] = {}
    for (track, frame), row in placed.items():
        for step in (1, -1):
            for away in range(1, int(num_lingering[row]) + 1):
                pair = track, frame + step * away
                if pair in placed:
                    break
                ghosts.setdefault(pair, row)
    rows = np.array([*range(len(sightings.frames)), *ghosts.values()], dtype=np.int64)
    return Appearances(
        where=sightings.where,
        frames=np.concatenate([sightings.frames, np.array([frame for _, frame in ghosts], dtype=np.int64)]),
        tracks=sightings.tracks[rows],
        nearness=sightings.nearness[rows],
        lowest=sightings.lowest[rows],
        askable=sightings.askable[rows] & (np.arange(len(rows)) < len(sightings.frames)),
    )


def _nearest_rows(sightings: Appearances, min_ratio: float) -> Iterator[tuple[int, bool]]:
    """The row of the nearest one of each image that has one, and whether it is the only one."""
    order = np.argsort(sightings.frames, kind="stable")
    edges = np.flatnonzero(np.diff(sightings.frames[order])) + 1
    for rows in np.split(order, edges) if len(order) else []:
        first = int(rows[np.argmax(sightings.nearness[rows])])
        others = rows[rows != first]
        is_nearest = bool(
            np.all(sightings.nearness[first] >= min_ratio * sightings.nearness[others])
            and np.all(sightings.lowest[first] >= sightings.lowest[others])
        )
        if is_nearest and sightings.askable[first]:
            yield first, len(others) == 0
