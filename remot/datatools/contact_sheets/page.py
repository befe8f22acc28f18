"""A contact sheet as one HTML file, with its images inside it."""

import base64
import html
from collections.abc import Sequence
from io import BytesIO

from PIL import Image

from remot.datatools.contact_sheets.rows import SheetRow

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:84rem;padding:0 1rem;color:#1c2024;background:#fff}
section{border-top:1px solid #c8ccd0;margin-top:1.2rem;padding-top:.8rem}h1{font-size:1.3rem}h2{font-size:.95rem}
figure{display:inline-block;margin:0 .6rem .4rem 0;vertical-align:top}figcaption{color:#555;font-size:.85rem}
img{max-width:26rem;image-rendering:auto}ul{margin:.3rem 0}pre{white-space:pre-wrap;background:#f4f5f6;padding:.5rem}
b{background:#dff2df;padding:0 .4rem}
"""


def html_sheet(rows: Sequence[SheetRow], title: str) -> str:
    """The page; it needs no network and runs no script."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    sections = "\n".join(_section(row) for row in rows)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{_STYLE}</style></head>'
        f"<body><h1>{html.escape(title)}</h1>{sections}</body></html>\n"
    )


def _section(row: SheetRow) -> str:
    figures = "".join(
        f'<figure><img alt="" src="{_data_url(image)}"><figcaption>{html.escape(caption)}</figcaption></figure>'
        for image, caption in zip(row.images, row.captions, strict=True)
    )
    labels = "".join(f"<li>{html.escape(label)}</li>" for label in row.labels)
    return (
        f"<section><h2>{html.escape(row.title)}</h2>{figures}<ul>{labels}</ul>"
        f"<pre>{html.escape(row.text)}</pre><p>right: <b>{html.escape(row.gold)}</b></p></section>"
    )


def _data_url(shown: Image.Image) -> str:
    buffer = BytesIO()
    shown.save(buffer, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
