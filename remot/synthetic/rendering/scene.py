"""What all synthetic scenes share: the size of a clip, the result of a renderer, and things that decorate a scene."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remot.structures import CameraTrack, Clip, EffectorTrack, FloatArray, ObjectTrack
from remot.synthetic.rendering.canvas import COLOURS, SHAPES, Canvas, Colour, Paint, Shape, paint_shape, to_image
from remot.synthetic.rendering.profile import wander
from remot.synthetic.rendering.texture import tabletop, value_noise

IMAGE_SIZE = 128
NUM_FRAMES = 20
FPS = 10
#: Drift of coordinates that are not meant to move, in pixels to either side of the middle.
WANDER_PIXELS = 0.03 * IMAGE_SIZE
#: Smallest distance between two levels of a position, in pixels.
LEVEL_GAP_PIXELS = 0.245 * IMAGE_SIZE
#: Focal length of the fixed cameras: one metre fills the image at one metre.
FIXED_FOCAL_PIXELS = float(IMAGE_SIZE)

#: Colours of the second and of the main thing of a clip.
MAIN_COLOURS = ("blue", "red")


@dataclass(frozen=True)
class Palette:
    """What things of each colour are painted with, and which colours the main things have.

    Args:
        paints: For the word a viewer would use.
        main: Colours of the second and of the main thing; empty for any.
        grain: Strength of the fine texture on a background.
    """

    paints: Mapping[str, Colour | Paint]
    main: tuple[str, ...] = ()
    grain: float = 0.0

    def rgb(self, name: str) -> Colour:
        """The plain colour of that name."""
        paint = self.paints[name]
        return paint.colour if isinstance(paint, Paint) else paint


#: Flat colours under one light, the main thing red: the clips that come with the library.
PLAIN = Palette(COLOURS, MAIN_COLOURS)


@dataclass(frozen=True, eq=False)
class RenderedScene:
    """Images [N, H, W, 3] and what is known about them."""

    frames: NDArray[np.uint8]
    camera: CameraTrack
    effectors: Mapping[str, EffectorTrack] = field(default_factory=dict)
    objects: Mapping[str, ObjectTrack] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Prop:
    """A coloured shape on its way through the image.

    Args:
        name: What a viewer would call it, such as ``red ball``.
        shape: Its figure.
        colour: RGB, or a paint.
        radius_pixels: Its size.
        path_xy: [N, 2] centre in pixels.
    """

    name: str
    shape: Shape
    colour: Colour | Paint
    radius_pixels: float
    path_xy: FloatArray

    def paint(self, canvas: Canvas, frame: int) -> None:
        """Paint it as it is in ``frame``."""
        paint_shape(canvas, self.shape, self.path_xy[frame], self.radius_pixels, self.colour)

    @property
    def boxes_xyxy(self) -> FloatArray:
        """[N, 4] pixels."""
        half = self.radius_pixels * np.array([self.shape.half_width, self.shape.half_height])
        return np.concatenate([self.path_xy - half, self.path_xy + half], axis=1)


def painted(
    background: Canvas, paints: Iterable[Callable[[Canvas, int], None]], num_frames: int = NUM_FRAMES
) -> NDArray[np.uint8]:
    """Images [N, H, W, 3] of a still background with what each of ``paints`` paints on it in a frame, in this order."""
    paints, frames = list(paints), []
    for frame in range(num_frames):
        canvas = background.copy()
        for paint in paints:
            paint(canvas, frame)
        frames.append(to_image(canvas))
    return np.stack(frames)


def named_clip(name: str, domain: str, pts_seconds: FloatArray, **annotations: Any) -> Clip:  # noqa: ANN401 (Clip's own)
    """A clip that is a scene of its own, whose video will have its name."""
    return Clip(
        clip_id=name, scene_id=name, domain=domain, media=Path(f"{name}.mp4"), pts_seconds=pts_seconds, **annotations
    )


def fixed_camera(num_frames: int = NUM_FRAMES) -> CameraTrack:
    """A camera that does not move, at the origin of its world."""
    half = IMAGE_SIZE / 2
    intrinsics = np.array([[FIXED_FOCAL_PIXELS, 0, half], [0, FIXED_FOCAL_PIXELS, half], [0, 0, 1]])
    return CameraTrack(np.tile(np.eye(4), (num_frames, 1, 1)), intrinsics)


def draw_colours(generator: np.random.Generator, palette: Palette = PLAIN) -> list[str]:
    """The palette's names, for things to take from the end: no colour is used twice.

    In the plain palette the thing a clip is about is always red and a second one blue; the rest come in random order. A
    model of a million parameters learns to find "the thing" in minutes if its colour identifies it, and in hours if
    only its name does.
    """
    others = [name for name in palette.paints if name not in palette.main]
    return [*(str(name) for name in generator.permutation(others)), *palette.main]


def backdrop(generator: np.random.Generator, palette: Palette = PLAIN) -> Canvas:
    """A still background [H, W, 3] with the palette's grain."""
    background = tabletop(generator, IMAGE_SIZE)
    return background + grain(generator, palette, IMAGE_SIZE, IMAGE_SIZE) if palette.grain else background


def grain(generator: np.random.Generator, palette: Palette, height: int, width: int) -> Canvas:
    """Fine texture [height, width, 1] around 0."""
    octaves = np.stack([value_noise(generator, height, width, cells) for cells in (11, 23, 47)])
    summed: Canvas = octaves.sum(axis=0)[..., None] * np.float32(palette.grain)
    return summed


def draw_shape(generator: np.random.Generator, *, without: Sequence[str] = ()) -> str:
    """Name of a shape."""
    return str(generator.choice([name for name in SHAPES if name not in without]))


def draw_prop(
    generator: np.random.Generator, colour: str, radius_pixels: float, path_xy: FloatArray, palette: Palette = PLAIN
) -> Prop:
    """A prop of the given colour and a random shape."""
    shape = draw_shape(generator)
    return Prop(f"{colour} {shape}", SHAPES[shape], palette.paints[colour], radius_pixels, path_xy)


def bystanders(
    generator: np.random.Generator,
    colours: Sequence[str],
    palette: Palette = PLAIN,
    *,
    free_axis: int,
    lane: float,
    moving_share: float = 0.4,
) -> list[Prop]:
    """Two to four props beside the lane of the main thing; some move on their own."""
    props = []
    for colour in colours[: int(generator.integers(2, 5))]:
        radius = float(generator.uniform(7, 11))
        path = np.tile(generator.uniform(radius, IMAGE_SIZE - radius, 2), (NUM_FRAMES, 1))
        clear = 18 + radius  # keeps clear of the lane where the image leaves room for it
        places = generator.uniform(radius, IMAGE_SIZE - radius, 32)
        apart = places[np.abs(places - lane) > clear]
        path[:, 1 - free_axis] = float(apart[0] if len(apart) else places[np.abs(places - lane).argmax()])
        if generator.random() < moving_share:
            swing, phase = generator.uniform(15, 45), generator.uniform(0, 2 * np.pi)
            turns = generator.uniform(0.4, 1.5) * np.linspace(0, 2 * np.pi, NUM_FRAMES)
            path[:, free_axis] = np.clip(IMAGE_SIZE / 2 + swing * np.sin(phase + turns), radius, IMAGE_SIZE - radius)
        props.append(draw_prop(generator, colour, radius, path, palette))
    return props


def wandering_path(generator: np.random.Generator, free_axis: int, along: FloatArray, lane: float) -> FloatArray:
    """[N, 2] pixels: ``along`` on the free axis, and ``lane`` with a slight drift on the other."""
    path = np.empty((NUM_FRAMES, 2))
    path[:, free_axis] = along
    path[:, 1 - free_axis] = lane + wander(generator, NUM_FRAMES, WANDER_PIXELS)
    return path
