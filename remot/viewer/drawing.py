"""References drawn: boxes in images, frames of a stretch of time, maps and graphs seen from above."""

import re
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from remot.structures import Box, Point, Reference

RIGHT, GIVEN = "#00a03c", "#2060ff"
#: Width of drawn frames, maps and graphs in pixels.
WIDTH = 360
_GIVEN = re.compile(r"(?:: |, )([^:\[\]]+?) \[([\d., e-]+)\]")
_TIME = re.compile(r"(\d+\.\d\d) s\b")
_COLOURS = ("#c02020", "#2060ff", "#00803c", "#a06000", "#8020a0", "#008090", "#606060", "#d0407c")


def drawn_frames(
    images: Sequence[Image.Image], times: Sequence[float], reference: Reference, text: str
) -> list[Image.Image]:
    """Copies of images, at most :data:`WIDTH` wide, with what the reference and the text state about each.

    Boxes of the reference are green, those that the text gives blue; frames of a right stretch of time have a green
    border. The times in the text say which image a single box is of.
    """
    boxes, given = boxes_of(reference, times, text), given_boxes(times, text)
    spans = reference.intervals or ()
    found = []
    for number, (image, time) in enumerate(zip(images, times, strict=True)):
        copy = image.resize((WIDTH, max(1, round(image.height * WIDTH / image.width))))
        draw = ImageDraw.Draw(copy)
        for name, box in given.get(number, []):
            _draw_box(draw, copy.size, box, GIVEN, name)
        for box in boxes.get(number, []):
            _draw_box(draw, copy.size, box, RIGHT)
        for box in _tracked(reference, time, image.size):
            _draw_box(draw, copy.size, box, RIGHT)
        if any(start <= time < end for start, end in spans):
            draw.rectangle((0, 0, copy.width - 1, copy.height - 1), outline=RIGHT, width=8)
        found.append(copy)
    return found


def drawn_tracks(
    image: Image.Image, boxes: Sequence[tuple[str, int, Box]], annotated_size: tuple[int, int]
) -> Image.Image:
    """A copy of an image, :data:`WIDTH` wide, with annotated boxes.

    Args:
        image: The image, of any size.
        boxes: Name, number of the colour, and edges in pixels of each.
        annotated_size: Width and height in pixels that the boxes belong to.
    """
    copy = image.resize((WIDTH, max(1, round(image.height * WIDTH / image.width))))
    draw = ImageDraw.Draw(copy)
    width, height = annotated_size
    for name, colour, (left, top, right, bottom) in boxes:
        shares = left / width, top / height, right / width, bottom / height
        _draw_box(draw, copy.size, shares, _COLOURS[colour % len(_COLOURS)], name[:24], width=2)
    return copy


def boxes_of(reference: Reference, times: Sequence[float], text: str) -> dict[int, list[Box]]:
    """Boxes of the reference by the number of the image they are of.

    One for each image and more of the last, as of tracking; a single one is of the image at a time that a line of
    the text without boxes names.
    """
    boxes = reference.boxes or ()
    if len(boxes) >= len(times):
        found: dict[int, list[Box]] = {}
        for number, box in enumerate(boxes):
            found.setdefault(min(number, len(times) - 1), []).append(box)
        return found
    named = {time for line in text.split("\n") if not _GIVEN.search(line) for time in _TIME.findall(line)}
    places = [number for number, time in enumerate(times) if f"{time:.2f}" in named]
    return {place: list(boxes) for place in places[:1]}


def _tracked(reference: Reference, time: float, size: tuple[int, int]) -> list[Box]:
    """Boxes of the reference's tracks at a time, in shares of an image."""
    found = []
    for track in reference.tracks or ():
        for seconds, (left, top, right, bottom) in zip(track.pts_seconds, track.boxes, strict=True):
            if seconds == time:
                found.append((left / size[0], top / size[1], right / size[0], bottom / size[1]))
    return found


def given_boxes(times: Sequence[float], text: str) -> dict[int, list[tuple[str, Box]]]:
    """Names and boxes that a line of the text gives for a time, by the number of the image."""
    found: dict[int, list[tuple[str, Box]]] = {}
    for line in text.split("\n"):
        stated, at = _GIVEN.findall(line), _TIME.search(line)
        for number, time in enumerate(times):
            if stated and at is not None and f"{time:.2f}" == at[1]:
                found[number] = []
                for name, edges in stated:
                    if re.fullmatch(r"[\d.]+(, [\d.]+){3}", edges):
                        left, top, right, bottom = map(float, edges.split(", "))
                        found[number].append((name, (left, top, right, bottom)))
    return found


def _draw_box(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, colour: str, name: str = "", width: int = 4
) -> None:
    left, top, right, bottom = (edge * side for edge, side in zip(box, (*size, *size), strict=True))
    edges = left, top, max(right, left), max(bottom, top)
    draw.rectangle(edges, outline="white", width=width + 3)
    draw.rectangle(edges, outline=colour, width=width)
    if name:
        draw.text((left + 4, top + 2), name, colour, label_font(), stroke_width=2, stroke_fill="white")


def drawn_map(cells: Mapping[str, Sequence[Point]], num_cells: int = 10) -> Image.Image:
    """A map of cells [column, row] from above, row 0 at the bottom, each thing with its name."""
    image, step = Image.new("RGB", (WIDTH, WIDTH), "white"), WIDTH / num_cells
    draw = ImageDraw.Draw(image)
    for line in range(num_cells + 1):
        draw.line((line * step, 0, line * step, WIDTH), "#dddddd")
        draw.line((0, line * step, WIDTH, line * step), "#dddddd")
    marks = [(name, ((x + 0.5) * step, WIDTH - (y + 0.5) * step)) for name, points in cells.items() for x, y in points]
    _draw_marks(draw, marks, list(cells))
    return image


def drawn_graph(nodes: Mapping[str, Point]) -> Image.Image:
    """A relation graph from above: the camera below the middle looking up, in metres, each thing with its name."""
    image = Image.new("RGB", (WIDTH, WIDTH), "white")
    draw = ImageDraw.Draw(image)
    reach = max([1.0, *(2 * abs(x) for x, _ in nodes.values()), *(abs(y) for _, y in nodes.values())])
    step = (WIDTH - 60) / reach
    places = {name: (WIDTH / 2 + x * step, WIDTH - 30 - y * step) for name, (x, y) in nodes.items()}
    for one in places.values():
        for other in places.values():
            draw.line((*one, *other), "#dddddd")
    draw.polygon([(WIDTH / 2 - 7, WIDTH - 20), (WIDTH / 2 + 7, WIDTH - 20), (WIDTH / 2, WIDTH - 34)], "#444444")
    draw.text((6, WIDTH - 18), f"{reach:.1f} m", "#555555", label_font())
    _draw_marks(draw, list(places.items()), list(nodes))
    return image


def _draw_marks(draw: ImageDraw.ImageDraw, marks: Sequence[tuple[str, Point]], names: Sequence[str]) -> None:
    for name, (x, y) in marks:
        colour = _COLOURS[names.index(name) % len(_COLOURS)]
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour)
        width = draw.textlength(name[:24], label_font())
        draw.text(
            (min(x + 8, WIDTH - width - 2), y - 8), name[:24], colour, label_font(), stroke_width=2, stroke_fill="white"
        )


def label_font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The font of names and captions."""
    return ImageFont.load_default(size=13)
