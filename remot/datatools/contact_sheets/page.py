"""A contact sheet as one HTML file with its images inside it, or as one image."""

import base64
import textwrap
from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw

from remot.datatools.contact_sheets.drawing import label_font
from remot.datatools.contact_sheets.rows import SheetRow
from remot.terminal import page_text

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:84rem;padding:0 1rem;color:#1c2024;background:#fff}
section{border-top:1px solid #c8ccd0;margin-top:1.2rem;padding-top:.8rem}h1{font-size:1.3rem}h2{font-size:.95rem}
figure{display:inline-block;margin:0 .6rem .4rem 0;vertical-align:top}figcaption{color:#555;font-size:.85rem}
img{max-width:26rem;image-rendering:auto}ul{margin:.3rem 0}pre{white-space:pre-wrap;background:#f4f5f6;padding:.5rem}
b{background:#dff2df;padding:0 .4rem}
"""
IMAGE_WIDTH, MARGIN, LINE_HEIGHT = 260, 8, 16
#: Images beside each other; twice as many, half as wide, where there are more than that.
ACROSS, MANY = 3, 6
_TEXT_WIDTH_CHARS = 62
_TEXT_WIDTH = 460


def html_sheet(rows: Sequence[SheetRow], title: str) -> str:
    """The page; it needs no network and runs no script."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    sections = "\n".join(_section(row) for row in rows)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{page_text(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{_STYLE}</style></head>'
        f"<body><h1>{page_text(title)}</h1>{sections}</body></html>\n"
    )


def _section(row: SheetRow) -> str:
    figures = "".join(
        f'<figure><img alt="" src="{_data_url(image)}"><figcaption>{page_text(caption)}</figcaption></figure>'
        for image, caption in zip(row.images, row.captions, strict=True)
    )
    labels = "".join(f"<li>{page_text(label)}</li>" for label in row.labels)
    return (
        f"<section><h2>{page_text(row.title)}</h2>{figures}<ul>{labels}</ul>"
        f"<pre>{page_text(row.text)}</pre><p>right: <b>{page_text(row.gold)}</b></p></section>"
    )


def _data_url(shown: Image.Image) -> str:
    buffer = BytesIO()
    shown.save(buffer, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


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
    images = [_sized(image, width) for image in row.images]
    lines = _lines(row)
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


def _lines(row: SheetRow) -> list[str]:
    paragraphs = [row.title, *row.labels, *row.text.split("\n"), f"right: {row.gold}"]
    return [line for text in paragraphs for line in textwrap.wrap(text, _TEXT_WIDTH_CHARS, subsequent_indent="  ")]


def _sized(shown: Image.Image, width: int) -> Image.Image:
    """As wide as its place, or as high as twice that if it is very tall."""
    scale = min(width / shown.width, 2 * width / shown.height)
    return shown.resize((max(1, round(shown.width * scale)), max(1, round(shown.height * scale))))
