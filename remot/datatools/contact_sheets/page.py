"""A contact sheet as one HTML file with its images inside it, or as one image."""

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw

from remot.datatools.contact_sheets.rows import SheetRow
from remot.viewer import Card, page_html
from remot.viewer.drawing import label_font

IMAGE_WIDTH, MARGIN, LINE_HEIGHT = 260, 8, 16
#: Images beside each other; twice as many, half as wide, where there are more than that.
ACROSS, MANY = 3, 6
_TEXT_WIDTH_CHARS = 62
_TEXT_WIDTH = 460


def html_sheet(rows: Sequence[SheetRow], title: str) -> str:
    """The page of :mod:`remot.viewer`."""
    return page_html(map(_card, rows), title)


def _card(row: SheetRow) -> Card:
    return Card(
        title=row.title,
        images=row.images,
        captions=row.captions,
        question=row.text,
        gold_text=row.gold,
        facts=row.labels,
        tags=row.tags,
        timeline=row.timeline,
    )


def png_sheet(rows: Sequence[SheetRow], title: str) -> Image.Image:
    """The sheet: a row for each prompt, its images to the left and what is known to the right."""
    strips = [_strip(row) for row in rows]
    width = max(strip.width for strip in strips)
    sheet = Image.new("RGB", (width, 2 * LINE_HEIGHT + sum(strip.height for strip in strips)), "white")
    ImageDraw.Draw(sheet).text((MARGIN, MARGIN), title, "black", label_font())
    top = 2 * LINE_HEIGHT
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _strip(row: SheetRow) -> Image.Image:
    half = len(row.images) > MANY
    width, across = ((IMAGE_WIDTH - MARGIN) // 2, 2 * ACROSS) if half else (IMAGE_WIDTH, ACROSS)
    images = []
    for image in row.images:  # as wide as its place, or as high as twice that if it is very tall
        scale = min(width / image.width, 2 * width / image.height)
        images.append(image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale)))))
    paragraphs = [row.title, *row.labels, *row.text.split("\n"), f"right: {row.gold}"]
    lines = [line for text in paragraphs for line in textwrap.wrap(text, _TEXT_WIDTH_CHARS, subsequent_indent="  ")]
    left = ACROSS * (IMAGE_WIDTH + MARGIN) + MARGIN
    tallest = max(image.height for image in images) + LINE_HEIGHT + MARGIN
    height = max(-(-len(images) // across) * tallest, len(lines) * LINE_HEIGHT) + 2 * MARGIN
    strip = Image.new("RGB", (left + _TEXT_WIDTH, height), "white")
    draw = ImageDraw.Draw(strip)
    draw.line((0, 0, strip.width, 0), "#c0c4c8")
    for place, (image, caption) in enumerate(zip(images, row.captions, strict=True)):
        below, beside = divmod(place, across)
        x, y = MARGIN + beside * (width + MARGIN), MARGIN + below * tallest
        strip.paste(image, (x, y))
        draw.text((x, y + image.height), caption, "#555555", label_font())
    for number, line in enumerate(lines):
        draw.text((left, MARGIN + number * LINE_HEIGHT), line, "black", label_font())
    return strip
