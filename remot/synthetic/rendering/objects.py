"""Clips of a named thing that moves before a camera that does not."""

import numpy as np

from remot.structures import ObjectTrack
from remot.synthetic.rendering.profile import level_profile
from remot.synthetic.rendering.scene import (
    IMAGE_SIZE,
    LEVEL_GAP_PIXELS,
    NUM_FRAMES,
    PLAIN,
    Palette,
    RenderedScene,
    backdrop,
    bystanders,
    draw_colours,
    draw_prop,
    fixed_camera,
    painted,
    wandering_path,
)

MARGIN_PIXELS = 2.0


def render_object_scene(generator: np.random.Generator, palette: Palette = PLAIN, *, free_axis: int) -> RenderedScene:
    """A thing moves along one axis; in half of the clips a second one does so independently, in its own lane.

    Args:
        generator: Source of every choice.
        palette: Colours, materials and light.
        free_axis: 0 for horizontal motion, 1 for vertical.
    """
    background, colours = backdrop(generator, palette), draw_colours(generator, palette)
    if generator.random() < 0.5:
        lanes = [float(generator.uniform(0.2, 0.8)) * IMAGE_SIZE]
    else:  # a second thing at the other side of the image
        pair = IMAGE_SIZE * np.array([generator.uniform(0.17, 0.3), generator.uniform(0.66, 0.83)])
        lanes = [float(lane) for lane in generator.permutation(pair)]
    actors = []
    for lane in lanes:
        colour, radius = colours.pop(), float(generator.uniform(11.5, 14.5))
        margin = radius + MARGIN_PIXELS
        along = level_profile(generator, NUM_FRAMES, margin, IMAGE_SIZE - margin, LEVEL_GAP_PIXELS)
        path = wandering_path(generator, free_axis, along, lane)
        actors.append(draw_prop(generator, colour, radius, path, palette))
    others = bystanders(generator, colours, palette, free_axis=free_axis, lane=lanes[0]) if len(lanes) == 1 else []
    frames = painted(background, [prop.paint for prop in (*others, *actors)])
    return RenderedScene(
        frames, fixed_camera(), objects={actor.name: ObjectTrack(actor.boxes_xyxy) for actor in actors}
    )
