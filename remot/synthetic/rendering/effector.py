"""Clips of a robot arm with a two-finger gripper, seen by a camera that does not move."""

from dataclasses import dataclass

import numpy as np

from remot.structures import EffectorTrack, FloatArray, ObjectTrack
from remot.synthetic.rendering.canvas import Canvas, Colour, paint_bar, paint_rectangle
from remot.synthetic.rendering.profile import level_profile, wander
from remot.synthetic.rendering.scene import (
    FIXED_FOCAL_PIXELS,
    IMAGE_SIZE,
    LEVEL_GAP_PIXELS,
    NUM_FRAMES,
    PLAIN,
    Palette,
    RenderedScene,
    backdrop,
    bystanders,
    draw_colours,
    fixed_camera,
    painted,
    wandering_path,
)

ARM_NAME = "arm"
DEPTH_METRES = 1.0
#: Smallest distance between two levels of the opening.
OPENING_GAP = 0.31
DARK: Colour = (38, 40, 46)
LIGHT: Colour = (232, 232, 236)
#: Directions the fingers can point to, in pixels.
DIRECTIONS = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]], dtype=np.float64)


@dataclass(frozen=True)
class GripperShape:
    """Sizes in pixels; fingers slide along the palm, so that the outline keeps its size."""

    max_gap: float
    finger_width: float = 6.5
    finger_length: float = 18.0
    palm_length: float = 9.0

    @property
    def half_span(self) -> float:
        """Half the width across both fingers when open."""
        return self.max_gap / 2 + self.finger_width

    @property
    def half_reach(self) -> float:
        """Half the length from the palm's back to the finger tips."""
        return (self.finger_length + self.palm_length) / 2


@dataclass(frozen=True, eq=False)
class Arm:
    """An arm of two links that ends in a gripper.

    Args:
        gripper: Its sizes.
        direction: Unit vector [2] that the fingers point to, along an axis of the image.
        base_xy: Where the arm enters the image.
        elbow_offset: [2] pixels of the elbow from the middle between base and palm.
        colour: Colour of the gripper.
        web_colour: Colour of the web between its fingers, so that the opening shows as an amount of colour too.
        link_colour: Colour of the links.
    """

    gripper: GripperShape
    direction: FloatArray
    base_xy: FloatArray
    elbow_offset: FloatArray
    colour: Colour
    web_colour: Colour
    link_colour: Colour

    def paint(self, canvas: Canvas, centre_xy: FloatArray, opening: float) -> None:
        """Paint the arm with its gripper around ``centre_xy``."""
        back = centre_xy - self.direction * self.gripper.half_reach
        elbow = (self.base_xy + back) / 2 + self.elbow_offset
        for start, end in ((self.base_xy, elbow), (elbow, back + self.direction * 3)):
            paint_bar(canvas, start, end, 4.5, self.link_colour)
        half_span, palm_length = self.gripper.half_span, self.gripper.palm_length
        half_gap, tips = opening * self.gripper.max_gap / 2, 2 * self.gripper.half_reach
        self._paint_part(canvas, centre_xy, (-half_span, half_span), (0, palm_length), self.colour)
        self._paint_part(canvas, centre_xy, (-half_gap, half_gap), (palm_length, tips), self.web_colour)
        for side in (-1, 1):
            inner = side * half_gap
            outer = inner + side * self.gripper.finger_width
            span = (min(inner, outer), max(inner, outer))
            self._paint_part(canvas, centre_xy, span, (palm_length, tips), self.colour)

    def _paint_part(
        self,
        canvas: Canvas,
        centre_xy: FloatArray,
        across: tuple[float, float],
        reach: tuple[float, float],
        colour: Colour,
    ) -> None:
        """Paint the rectangle given across the fingers and from the palm's back to the tips."""
        sideways = np.abs(self.direction[::-1])
        corners = [
            centre_xy + sideways * across[end] + self.direction * (reach[end] - self.gripper.half_reach)
            for end in (0, 1)
        ]
        paint_rectangle(canvas, np.minimum(*corners), np.maximum(*corners), colour)

    def boxes_xyxy(self, path_xy: FloatArray) -> FloatArray:
        """[N, 4] pixels around the gripper."""
        ahead, sideways = np.abs(self.direction), np.abs(self.direction[::-1])
        half = ahead * self.gripper.half_reach + sideways * self.gripper.half_span
        return np.concatenate([path_xy - half, path_xy + half], axis=1)


def render_effector_scene(generator: np.random.Generator, palette: Palette = PLAIN, *, free_axis: int) -> RenderedScene:
    """The gripper moves along one axis (0 horizontal, 1 vertical) and keeps its opening."""
    gripper = GripperShape(max_gap=float(generator.uniform(12, 16)))
    direction = DIRECTIONS[int(generator.integers(len(DIRECTIONS)))]
    margin = max(gripper.half_span, gripper.half_reach) + 1
    along = level_profile(generator, NUM_FRAMES, margin, IMAGE_SIZE - margin, LEVEL_GAP_PIXELS)
    lane = float(generator.uniform(0.25, 0.75)) * IMAGE_SIZE
    opening = generator.uniform(0.2, 0.8) + wander(generator, NUM_FRAMES, 0.03)
    path = wandering_path(generator, free_axis, along, lane)
    return _render(generator, palette, gripper, direction, path, opening, free_axis=free_axis)


def render_diagonal_scene(generator: np.random.Generator, palette: Palette = PLAIN) -> RenderedScene:
    """The gripper moves along one of the image's diagonals and keeps its opening."""
    gripper = GripperShape(max_gap=float(generator.uniform(12, 16)))
    direction = DIRECTIONS[int(generator.integers(len(DIRECTIONS)))]
    margin = max(gripper.half_span, gripper.half_reach) + 1
    across = level_profile(generator, NUM_FRAMES, margin, IMAGE_SIZE - margin, LEVEL_GAP_PIXELS)
    up = across if generator.integers(2) else IMAGE_SIZE - across
    path = np.stack([across, up], axis=1)
    opening = generator.uniform(0.2, 0.8) + wander(generator, NUM_FRAMES, 0.03)
    return _render(generator, palette, gripper, direction, path, opening, free_axis=int(generator.integers(2)))


def render_gripper_scene(generator: np.random.Generator, palette: Palette = PLAIN) -> RenderedScene:
    """The gripper opens and closes, and stays where it is but for a slight drift."""
    gripper = GripperShape(max_gap=40.0, finger_width=8.0, finger_length=24.0)
    direction = DIRECTIONS[int(generator.integers(len(DIRECTIONS)))]
    opening = level_profile(generator, NUM_FRAMES, 0.0, 1.0, OPENING_GAP)
    margin = max(gripper.half_span, gripper.half_reach) + 3
    place = generator.uniform(margin, IMAGE_SIZE - margin, 2)
    path = wandering_path(generator, 0, place[0] + wander(generator, NUM_FRAMES, 3.0), float(place[1]))
    return _render(generator, palette, gripper, direction, path, opening, free_axis=int(generator.integers(2)))


def _render(
    generator: np.random.Generator,
    palette: Palette,
    gripper: GripperShape,
    direction: FloatArray,
    path_xy: FloatArray,
    opening: FloatArray,
    *,
    free_axis: int,
) -> RenderedScene:
    background, colours = backdrop(generator, palette), draw_colours(generator, palette)
    # An arm that enters the image behind its fingers, with links that stand out from the background.
    half, sideways = IMAGE_SIZE / 2, direction[::-1]
    base = half - direction * (half + 8) + sideways * generator.uniform(-0.7, 0.7) * half
    elbow = sideways * generator.uniform(-18, 18)
    colour, web_colour = palette.rgb(colours.pop()), palette.rgb(colours.pop())
    link_colour = LIGHT if float(background.mean()) < 115 else DARK
    arm = Arm(gripper, direction, base, elbow, colour, web_colour, link_colour)
    lane = float(path_xy[:, 1 - free_axis].mean())
    props = bystanders(generator, colours, palette, free_axis=free_axis, lane=lane)

    def paint_arm(canvas: Canvas, frame: int) -> None:
        arm.paint(canvas, path_xy[frame], float(opening[frame]))

    frames = painted(background, [*(prop.paint for prop in props), paint_arm])
    plane = (path_xy - IMAGE_SIZE / 2) / FIXED_FOCAL_PIXELS * DEPTH_METRES
    positions = np.concatenate([plane, np.full((len(plane), 1), DEPTH_METRES)], axis=1)  # [N, 3] viewer axes
    effectors = {ARM_NAME: EffectorTrack(positions, np.clip(opening, 0, 1))}
    return RenderedScene(frames, fixed_camera(), effectors, {ARM_NAME: ObjectTrack(arm.boxes_xyxy(path_xy))})
